//! realtime-token-operator: mints ephemeral tokens of realtime AI providers into Kubernetes Secrets, in time.

pub mod api;
pub mod budget;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod controller;
pub mod health;
pub mod leader;
pub mod metrics;
pub mod mint;
pub mod providers;
pub mod resolve;
pub mod server;
pub mod telemetry;
mod template;
#[cfg(test)]
mod testing;
pub mod token;
