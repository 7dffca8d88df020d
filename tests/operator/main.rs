//! The operator as a process, on a real API server, against the strict stand-in provider.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod admission;
mod cli;
mod cost;
mod expect;
mod failures;
mod invalid;
mod lifecycle;
mod platform;
mod process;
mod secrets;
mod triggers;
mod world;
