//! What the `main` of each benchmark does.

#![allow(clippy::print_stdout, reason = "a benchmark's output")]

use std::process::ExitCode;

/// Runs `work`, whose `false` is a failure too. Without `--bench`, as `cargo test` calls it, it says `how` instead.
pub async fn run(bench: bool, how: &str, work: impl Future<Output = anyhow::Result<bool>>) -> ExitCode {
    if !bench {
        println!("{how}");
        return ExitCode::SUCCESS;
    }
    match work.await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}
