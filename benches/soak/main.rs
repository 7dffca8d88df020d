//! `make soak MINUTES=…`: two replicas, a fleet of RealtimeTokens that rotate, applications that ask for tokens all the
//! time, and one fault after another, as the seed has it. Prints figures every half a minute, and at its end a verdict,
//! which is its exit code too.
//!
//! | module | has |
//! |---|---|
//! | `world` | the control plane, proxies, operators and objects |
//! | `load` | the applications that ask |
//! | `trouble` | the faults |
//! | `look` | what Secrets, statuses and processes look like, once every ten seconds |
//! | `verdict` | what must have held |

#![allow(clippy::print_stdout, reason = "a benchmark prints")]
#![allow(clippy::disallowed_methods, reason = "a benchmark reads the clock")]

mod load;
mod look;
mod trouble;
mod verdict;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Parser;
use testkit::seed;

use crate::load::Load;
use crate::look::Looks;
use crate::trouble::Troubles;
use crate::verdict::Verdict;
use crate::world::World;

const REPORT_EVERY: Duration = Duration::from_secs(30);
/// After the last fault everything must be as it should be.
const CONVERGED_WITHIN: Duration = Duration::from_secs(60);

/// Load and faults for a while.
#[derive(Parser)]
pub(crate) struct Flags {
    /// For how long.
    #[arg(long, default_value_t = 10, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// How many tokens rotate.
    #[arg(long, default_value_t = 2000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    tokens: u32,
    /// How long they live, in seconds.
    #[arg(long, default_value_t = 300, value_name = "SECONDS", value_parser = clap::value_parser!(i64).range(130..=7200))]
    life: i64,
    /// How many tokens applications ask for in a second.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rate: u32,
    /// The seed of the faults. Default: FAULTS_SEED, else one from the clock.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
    /// The operator's binary. Default: the one that was built with this.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_realtime-token-operator"), value_name = "FILE")]
    operator: PathBuf,
    /// What cargo bench adds. `cargo test --benches` doesn't, and is no reason to run for minutes.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    testkit::bench::run(
        flags.bench,
        "this runs for minutes: `make soak MINUTES=10`",
        run(&flags),
    )
    .await
}

async fn run(flags: &Flags) -> Result<bool> {
    let seed = flags.seed.unwrap_or_else(seed::of_this_run);
    println!(
        "soak: {} tokens of {} s, {} requests/s, {} min, FAULTS_SEED={seed}",
        flags.tokens, flags.life, flags.rate, flags.minutes
    );
    let world = Arc::new(World::start(flags, seed).await?);
    println!("soak: all issued after {:.1} s", world.began.elapsed().as_secs_f64());
    let end = Instant::now() + Duration::from_secs(60 * flags.minutes);
    let load = Load::start(&world, flags.rate).await?;
    let looks = Looks::start(&world);
    let troubles = Troubles::start(&world, seed);
    let mut next = Instant::now() + REPORT_EVERY;
    while Instant::now() < end {
        tokio::time::sleep_until(next.min(end).into()).await;
        next += REPORT_EVERY;
        println!("{}", looks.line(&world, &load, &troubles));
    }
    troubles.stop(&world).await;
    let converged = looks.converged(&world, CONVERGED_WITHIN).await;
    load.stop().await;
    println!("{}", looks.line(&world, &load, &troubles));
    let leader_changes = world.leader_changes().await?;
    let verdict = Verdict::of(&world, &looks, &load, &troubles, leader_changes, converged);
    println!("{verdict}");
    Ok(verdict.holds())
}
