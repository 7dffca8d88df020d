//! The parts around the operator, each the real one: image, node, registry, Prometheus, proxy, consumers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    missing_docs,
    reason = "tests"
)]

mod consumers;
mod guarantee;
mod image;
mod machine;
mod memory;
mod prometheus;
mod proxy;
mod requests;
