//! `make bench-requests`: tokens on request, beside TanStack's own `realtimeToken()`, which asks the same stand-in
//! provider directly from Node.js, in one run.
//!
//! It prints what it saw and judges nothing: a benchmark, no test. The load generator runs on the same processors as the
//! operator, so rates are what is left beside it; CPU is the operator's own, or that of Node.js where Node.js asks the provider itself.
//!
//! | phase | what is asked |
//! |---|---|
//! | node | N tokens by `realtimeToken({ adapter: openaiRealtimeToken() })`, one after the other, with the API key |
//! | minted | N tokens on request, one after the other, none minted ahead |
//! | pool | bursts of 50 requests at 500 a second, each burst once 50 tokens are minted ahead; CPU is that of the bursts, without the minting ahead |
//! | load | as many tokens on request as come, from several clients, for ten seconds |
//! | idle | 1,000 connections over TLS on which a token was asked for, and nothing since |

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod node;
mod phases;
mod report;
mod world;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// The cost of tokens on request.
#[derive(Parser)]
pub(crate) struct Flags {
    /// How many tokens each of the first two phases asks for.
    #[arg(long, default_value_t = 500, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests: u32,
    /// How long the provider takes to answer, in milliseconds.
    #[arg(long, default_value_t = 20, value_name = "MS")]
    provider_ms: u64,
    /// How many clients ask at a time in the phase of load.
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=512))]
    clients: u32,
    /// What cargo bench adds. `cargo test --benches` doesn't, and is no reason to run for minutes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    testkit::bench::run(flags.bench, "this is a benchmark: `make bench-requests`", run(&flags)).await
}

async fn run(flags: &Flags) -> Result<bool> {
    let report = phases::all(flags).await?;
    println!("\n{report}\n{}", serde_json::to_string(&report)?);
    Ok(true)
}
