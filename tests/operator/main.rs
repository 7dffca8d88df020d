//! The operator as a process, on a real API server, against the strict stand-in provider.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod cost;
mod expect;
mod failures;
mod lifecycle;
mod platform;
mod process;
mod secrets;
mod triggers;
mod world;
