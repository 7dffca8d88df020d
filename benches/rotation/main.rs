//! `make bench N=…`: N tokens created at once, then rotating, then through a restart of the operator, beside a bare
//! client that does the same writes on the same API server in the same run.
//!
//! It prints what it saw and judges nothing: a benchmark, no test. The phases don't overlap, and while one is measured
//! the bench itself asks the API server next to nothing.
//!
//! | phase | from | to |
//! |---|---|---|
//! | sample | an operator and one token | its Secret and status: what the bare client is to write |
//! | bare | nothing | N RealtimeTokens, Secrets and statuses by the bare client, then swept away |
//! | create | an idle operator | N Secrets by the operator |
//! | rotate | all there, none due | every token rotated once |
//! | restart | all rotated, none due | a new process that has looked at all of them |

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod bare;
mod fleet;
mod mark;
mod phases;
mod report;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// The cost of N tokens.
#[derive(Parser)]
pub(crate) struct Flags {
    /// How many tokens.
    #[arg(long, default_value_t = 1000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    /// How long a token lives, in seconds. Default: long enough that all are created before the first is due.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(122..=7200))]
    life: Option<i64>,
    /// How long before its end a token is renewed, in seconds; at most half of its life.
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(60..=3600))]
    renew_before: i64,
    /// Leave out the bare client, which takes as long as the operator. The life is to be chosen then.
    #[arg(long, requires = "life")]
    no_bare: bool,
    /// A further argument of the operator; repeat it for several: --operator-arg=--concurrency=8.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    operator_arg: Vec<String>,
    /// What cargo bench adds. `cargo test --benches` doesn't, and is no reason to run for minutes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    testkit::bench::run(flags.bench, "this is a benchmark: `make bench N=1000`", run(&flags)).await
}

async fn run(flags: &Flags) -> Result<bool> {
    let report = phases::all(flags).await?;
    println!("\n{report}\n{}", serde_json::to_string(&report)?);
    Ok(true)
}
