//! `make demo`: the main job, before your eyes, on a real API server.
//!
//! On a terminal a table with keys that interfere, until q or Ctrl-C; elsewhere a line per change, and the end after the
//! second rotation of every short-lived token and a token for each user. Tokens are never shown: the hash that the
//! Secret carries changes visibly enough.

mod act;
mod journal;
mod keys;
mod kubectl;
mod lines;
mod look;
mod open;
mod reader;
mod screen;
mod setup;
mod table;
mod users;
mod view;

use std::{
    cell::Cell,
    env,
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::Parser;
use k8s_openapi::api::core::v1::Secret;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use act::Actor;
use look::Observer;
use setup::{Requirements, Setup};
use users::Given;
use view::View;

const INTERVAL: Duration = Duration::from_millis(250);

/// Shows RealtimeTokens rotating: a control plane, a stand-in for the providers, and the real operator.
///
/// CLUSTER=<kubeconfig> uses that cluster instead of starting one; KUBECONFIG is never read.
#[derive(Parser)]
struct Flags {
    /// The operator's binary.
    #[arg(long, value_name = "FILE")]
    operator: PathBuf,
}

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<ExitCode> {
    // What may be missing, or take minutes, comes first and without a runtime: an interrupt just ends the process.
    let requirements = Requirements::gather(&flags.operator)?;
    let dumb = env::var_os("TERM").is_some_and(|it| it == "dumb");
    let terminal = std::io::stdout().is_terminal() && !dumb;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let watching = Cell::new(false);
        // Whichever way it ends, all that it started ends with its future.
        let code = tokio::select! {
            ended = show(requirements, terminal, &watching) => match ended {
                Ok(()) => 0,
                Err(error) => return Err(error),
            },
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        match (terminal, code) {
            (true, _) => lines::say("Everything is down again."),
            (false, 0) => {}
            (false, _) => lines::say("interrupted; everything is down again"),
        }
        // On a terminal a signal is an end like q.
        let well = terminal && watching.get();
        Ok(ExitCode::from(if well { 0 } else { code }))
    })
}

async fn show(requirements: Requirements, terminal: bool, watching: &Cell<bool>) -> Result<()> {
    let mut setup = Setup::start(requirements).await?;
    let guide = setup.guide();
    let (client, namespace) = (setup.namespace.client(), setup.namespace.name());
    let actor = Actor::new(client.clone(), namespace, setup.standin.clone());
    let secrets = setup.namespace.api::<Secret>();
    let files = setup.files();
    watching.set(true);
    let (sender, given) = watch::channel(Given::default());
    let mut view = View::new(Observer::new(client, namespace), given, files.clone());
    let application = users::ask(&setup.cluster, &setup.namespace, setup.requests, terminal, sender);
    let seen = tokio::select! {
        ended = setup.operator.wait_exit(Duration::MAX) => match ended {
            Ok(status) => bail!("the operator ended by itself ({status}).\n{}", setup.log_tail()),
            Err(error) => return Err(error),
        },
        asked = application => asked,
        () = reader::mount(&secrets, &files) => Ok(()),
        seen = async {
            if terminal {
                screen::watch(&mut view, actor, &guide).await
            } else {
                lines::watch(&mut view).await
            }
        } => seen,
    };
    if let Err(error) = seen {
        bail!("{error:#}\n{}", setup.log_tail());
    }
    setup.operator.sigterm()?;
    let status = setup.operator.wait_exit(Duration::from_secs(15)).await?;
    if !status.success() {
        bail!("the operator didn't stop cleanly ({status}).\n{}", setup.log_tail());
    }
    if !terminal {
        lines::say(
            "Every short-lived token was issued and rotated twice, each user got tokens of its own, and the operator stopped cleanly.",
        );
    }
    Ok(())
}
