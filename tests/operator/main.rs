//! The operator as a process, on a real API server, against the strict stand-in provider.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod admission;
mod alone;
mod backup;
mod case;
mod cli;
mod examples;
mod expect;
mod failures;
mod gitops;
mod invalid;
mod lifecycle;
mod metrics;
mod platform;
mod providers;
mod runbook;
mod secrets;
mod triggers;
mod world;
