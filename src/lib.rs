//! realtime-token-operator: mints ephemeral tokens of realtime AI providers into Kubernetes Secrets, in time.
//!
//! The house, and what each room owns:
//!
//! - [`api`]: the contract. The two kinds, their status, conditions and CEL rules; types only.
//! - [`token`]: the pure core. What is known of a token → what to do → what to say. No client, no async, no clock.
//! - [`providers`]: how to ask a provider and how to read its answer; one small file each, one HTTP client.
//! - [`budget`]: per credential: rate, concurrency, the provider's own limits, whose turn it is. Pure too.
//! - [`cluster`]: Kubernetes I/O, the only user of the API client.
//! - [`controller`]: the streams, and reconcile, which carries a token through the rooms above.
//! - [`leader`]: of several replicas one works; a pure step on the Lease, and its loop.
//! - [`health`], [`server`], [`metrics`], [`telemetry`]: what probes, Prometheus and people see.
//! - [`config`]: the command line, validated. [`cli`]: subcommands without a controller.
//!
//! The way of the data: watch → `controller::reconcile` → [`token::Observed`] → [`token::decide`] → wait, or key →
//! [`budget`] → [`providers`] → [`cluster::target`] → [`token::report`] → status.

pub mod api;
pub mod budget;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod controller;
pub mod health;
pub mod leader;
pub mod metrics;
pub mod providers;
pub mod server;
pub mod telemetry;
pub mod token;
