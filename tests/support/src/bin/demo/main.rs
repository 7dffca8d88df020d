//! `make demo`: the main job, before your eyes, on a real API server.
//!
//! On a terminal a table that lives until Ctrl-C; elsewhere a line per change, and the end after the second rotation of
//! every short-lived token and a token for each user. Tokens are never printed: the hash that the Secret carries changes visibly enough.

mod journal;
mod look;
mod setup;
mod show;
mod users;

use std::{
    cell::Cell,
    env,
    io::{IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use journal::Journal;
use look::{Lookout, Token};
use setup::{Props, Setup};
use show::Table;
use tokio::sync::watch;
use users::Given;

const INTERVAL: Duration = Duration::from_millis(250);

/// The longest that a token of 40 s may keep its revision; its renewal is due after 20 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long an API server may be out of reach, which a cluster of one's own may be for a moment.
const OUTAGE: Duration = Duration::from_secs(15);

/// Without a terminal the demo ends when every short-lived token has come this far: issued, rotated, rotated again.
const LAST_REVISION: i64 = 3;

/// And when so many tokens were handed out on request.
const LAST_REQUEST: usize = 6;

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
    match play(&Flags::parse()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(flags: &Flags) -> Result<ExitCode> {
    // What may be missing, or take minutes, comes first and without a runtime: an interrupt just ends the process.
    let props = Props::gather(&flags.operator)?;
    let dumb = env::var_os("TERM").is_some_and(|it| it == "dumb");
    let terminal = std::io::stdout().is_terminal() && !dumb;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let watching = Cell::new(false);
        // Whichever way it ends, all that the performance started ends with its future.
        let code = tokio::select! {
            ended = perform(props, terminal, &watching) => return ended.map(|()| ExitCode::SUCCESS),
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
        };
        show::say(if terminal {
            "\nEverything is down again."
        } else {
            "interrupted; everything is down again"
        });
        // On a terminal there is no other end, so this one is as good as it gets.
        let well = terminal && watching.get();
        Ok(ExitCode::from(if well { 0 } else { code }))
    })
}

async fn perform(props: Props, terminal: bool, watching: &Cell<bool>) -> Result<()> {
    let mut setup = Setup::set(props).await?;
    let lookout = Lookout::new(setup.namespace.client(), setup.namespace.name());
    if terminal {
        show::say(&setup.guide());
    }
    watching.set(true);
    let (sender, given) = watch::channel(Given::default());
    let application = users::ask(&setup.cluster, &setup.namespace, setup.requests, sender);
    let seen = tokio::select! {
        ended = setup.operator.wait_exit(Duration::MAX) => match ended {
            Ok(status) => bail!("the operator ended by itself ({status}).\n{}", setup.log_tail()),
            Err(error) => return Err(error),
        },
        asked = application => asked,
        seen = watch(&lookout, given, terminal) => seen,
    };
    if let Err(error) = seen {
        bail!("{error:#}\n{}", setup.log_tail());
    }
    setup.operator.sigterm()?;
    let status = setup.operator.wait_exit(Duration::from_secs(15)).await?;
    if !status.success() {
        bail!("the operator didn't stop cleanly ({status}).\n{}", setup.log_tail());
    }
    show::say(
        "Every short-lived token was issued and rotated twice, each user got tokens of its own, and the operator stopped cleanly.",
    );
    Ok(())
}

/// On a terminal for ever, else until every token has come far enough.
async fn watch(lookout: &Lookout, mut given: watch::Receiver<Given>, terminal: bool) -> Result<()> {
    let mut table = Table::default();
    let mut journal = Journal::default();
    let mut explained = false;
    let mut seen = Instant::now();
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let scene = match lookout.look().await {
            Ok(scene) => scene,
            Err(_) if seen.elapsed() < OUTAGE => continue,
            Err(error) => return Err(error),
        };
        seen = Instant::now();
        let changes = journal.take_in(&scene);
        if terminal {
            table.draw(&scene.tokens, &journal, &given.borrow());
            continue;
        }
        if given.has_changed()? {
            show::say(&show::given(&given.borrow_and_update()));
        }
        for change in &changes {
            show::say(&show::line(change));
        }
        if !explained && scene.tokens.iter().all(|it| it.revision > 0 || it.on_request) {
            show::remarks(&scene.tokens).for_each(|it| show::say(&it));
            explained = true;
        }
        let done = |it: &Token| match (it.on_request, it.rotates_soon()) {
            (true, _) => it.holds("Serving") && given.borrow().tokens >= LAST_REQUEST,
            (false, true) => it.revision >= LAST_REVISION,
            (false, false) => it.holds("FreshnessGuaranteed"),
        };
        if !scene.tokens.is_empty() && scene.tokens.iter().all(done) {
            return Ok(());
        }
        if let Some(token) = journal.overdue(&scene, PATIENCE) {
            let why = match token.trouble() {
                Some((reason, message)) => format!("{reason}: {message}"),
                None => "no condition says why".to_owned(),
            };
            let (name, revision) = (&token.name, token.revision);
            bail!("{name} stayed at revision {revision} for {PATIENCE:?}: {why}");
        }
    }
}
