//! The test control plane by hand: build it ahead of the tests, with its progress in view, or run it for a while.

use std::{env, io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use testkit::{
    build,
    cluster::{Cluster, Options},
};
use tokio::signal::unix::{SignalKind, signal};

/// The control plane that the tests and the demo run against.
#[derive(Parser)]
struct Flags {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build it unless it is in the cache. Does nothing if CLUSTER or KUBEBUILDER_ASSETS makes it needless.
    Build,
    /// Run one until SIGINT or SIGTERM, and print how to reach it: `CLUSTER=<that file> make test` uses it.
    Run,
}

fn main() -> ExitCode {
    let done = match Flags::parse().command {
        Command::Build => build(),
        // Built before there is a runtime: its end would wait for a build that goes on in it.
        Command::Run => build::control_plane().and_then(|_| run()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "control-plane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> anyhow::Result<()> {
    if env::var_os("CLUSTER").is_none_or(|it| it.is_empty()) {
        build::control_plane()?;
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn run() -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let running = async {
        let cluster = Cluster::start(Options {
            controller_manager: true,
            ..Options::default()
        })
        .await?;
        let _ = writeln!(std::io::stdout(), "{}", cluster.kubeconfig().display());
        std::future::pending::<anyhow::Result<()>>().await
    };
    tokio::select! {
        ended = running => ended,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}
