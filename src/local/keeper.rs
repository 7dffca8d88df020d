//! Keeps one token: look, step, report, perform.

mod mint;
mod report;
pub(super) mod watch;
mod write;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::mint::Mint;
use self::watch::Watch;
use super::LocalError;
use super::directory::{Directory, Held};
use super::keys::KeyFiles;
use super::manifest::{Manifest, ManifestError, Read};
use super::screen::Screen;
use crate::api::{RENEW_REQUESTED_AT, RealtimeToken};
use crate::clock::now;
use crate::cluster::Name;
use crate::issuer::{Issuer, LocalKeys as _};
use crate::requests::loopback::Loopback;
use crate::resolve::Resolved;
use crate::token::secret::{RequestsEndpoint, SecretMetadata, TargetState, desired_metadata};
use crate::token::{Connection, Effect, Event, Lifecycle, MintInputs, Observation};

/// How often files are looked at that others may change, and the screen is drawn.
const TICK: Duration = Duration::from_secs(1);
/// How long the end of the process waits for a mint under way, whose token is worth keeping.
const LAST_MINT: Duration = Duration::from_secs(5);

pub(super) struct Parts {
    pub(super) manifest: Manifest,
    pub(super) keys: Arc<KeyFiles>,
    pub(super) directory: Directory,
    pub(super) issuer: Arc<Issuer>,
    /// What hands out tokens on request, and where it listens.
    pub(super) loopback: Option<(Loopback, SocketAddr)>,
    pub(super) screen: Screen,
}

pub(super) struct Keeper {
    parts: Parts,
    /// With its status as last written.
    token: Arc<RealtimeToken>,
    name: Name,
    lifecycle: Lifecycle,
    watch: Watch,
    /// What is not as it was written, as was said last.
    damage: Option<String>,
}

/// What a look has seen.
struct Look<'a> {
    held: Option<Held>,
    metadata: SecretMetadata,
    resolved: Option<Resolved>,
    seen: Observation<'a>,
}

/// When to look again: at a time of the clock, which goes on while a laptop sleeps, or after a wait, which a clock that is
/// set back doesn't make longer.
#[derive(Clone, Copy)]
struct Next {
    at: Timestamp,
    by: Instant,
}

impl Next {
    fn now() -> Self {
        Self {
            at: now(),
            by: Instant::now(),
        }
    }

    fn at(at: Timestamp) -> Self {
        let wait = Duration::try_from(at.duration_since(now())).unwrap_or_default(); // negative if it has passed
        Self {
            at,
            by: Instant::now() + wait,
        }
    }

    fn is_due(self) -> bool {
        self.at <= now() || self.by <= Instant::now()
    }
}

impl Keeper {
    /// Takes up what an earlier process has left.
    pub(super) fn new(mut parts: Parts, read: Read) -> Result<Self, LocalError> {
        let Read { mut token, mark, notes } = read;
        parts.screen.begin(&token.name_any(), parts.directory.path());
        parts.screen.notes(&notes);
        match parts.directory.status() {
            Ok(status) => token.status = Some(status),
            Err(problem) => parts.screen.event(now(), &problem),
        }
        let watch = Watch::of(&parts, &token.spec, mark);
        let keeper = Self {
            name: Name::of(&token),
            lifecycle: Lifecycle::restore(&token),
            token: Arc::new(token),
            parts,
            watch,
            damage: None,
        };
        if let TargetState::Foreign(whose) = keeper.look(&keeper.token).seen.target {
            let problem = format!(
                "--directory {} keeps another token ({whose}): name another directory, or delete that one",
                keeper.parts.directory.path().display()
            );
            let file = keeper.parts.manifest.path().display().to_string();
            return Err(ManifestError::Wrong(file, problem).into());
        }
        Ok(keeper)
    }

    /// Keeps the token until the shutdown, and stores what is minted then.
    pub(super) async fn keep(mut self, shutdown: &CancellationToken) {
        self.begin();
        let mut news = self.parts.issuer.budgets.subscribe();
        let issuer = Arc::clone(&self.parts.issuer);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut mint: Option<Mint> = None;
        let mut next = Next::now();
        loop {
            if mint.is_none() && next.is_due() {
                let (until, begun) = self.advance();
                (next, mint) = (Next::at(until), begun);
            }
            let by = next.by;
            let is_minting = mint.is_some();
            let ended = async {
                match &mut mint {
                    Some(mint) => mint.end().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                result = ended => {
                    if let Some(mint) = mint.take() {
                        self.mint_ended(&mint, result);
                    }
                    next = Next::now();
                }
                _ = issuer.budgets.next(now) => {
                    self.lifecycle.step(Event::SlotCame { now: now() });
                    next = Next::now();
                }
                () = tokio::time::sleep_until(by), if !is_minting => {}
                Some(_) = news.recv() => {} // the next look asks for the health anyway
                _ = ticks.tick() => {
                    let changed = self.watch.changed();
                    if changed {
                        self.read_again();
                    }
                    if changed || !self.parts.directory.is_whole() {
                        next = Next::now();
                    }
                    issuer.tidy(now());
                    self.draw();
                }
            }
        }
        if let Some(mut mint) = mint
            && let Ok(result) = tokio::time::timeout(LAST_MINT, mint.end()).await
        {
            self.mint_ended(&mint, result);
            let _ = self.advance(); // writes it; another mint is not begun, since its task is dropped
        }
        let until = self.usable_until();
        self.parts.screen.end(self.parts.directory.path(), until, now());
    }

    fn begin(&mut self) {
        let listens = self.parts.loopback.as_ref();
        let url = listens.map(|(_, address)| connection(*address).request_url(&self.name.namespace, &self.name.name));
        let url = url.filter(|_| self.token.spec.requests.is_some());
        if let Some(url) = url {
            let message = format!("tokens are handed out at {url}");
            self.parts.screen.event(now(), &message);
        }
        self.show();
    }

    /// Has requests answered from the RealtimeToken as it is now.
    fn show(&mut self) {
        let token = RealtimeToken::clone(&self.token);
        if let Some((loopback, _)) = &mut self.parts.loopback {
            loopback.show(token);
        }
    }

    /// Takes in a manifest or a key that was changed.
    fn read_again(&mut self) {
        let manifest = &self.parts.manifest;
        match manifest.read() {
            Ok(read) if Name::of(&read.token) != self.name => {
                let message = format!(
                    "{} has another name now: {} is kept as it was until this is restarted",
                    manifest.path().display(),
                    self.name.name
                );
                self.parts.screen.event(now(), &message);
            }
            Ok(read) => {
                self.parts.keys.set_first_key(read.first_key());
                let status = self.token.status.clone();
                let is_same = read.token.spec == self.token.spec;
                self.token = Arc::new(RealtimeToken { status, ..read.token });
                if !is_same {
                    let message = format!("{} was changed and is taken up", manifest.path().display());
                    self.parts.screen.event(now(), &message);
                    self.parts.screen.notes(&read.notes);
                }
                self.show();
                self.watch = Watch::of(&self.parts, &self.token.spec, read.mark);
            }
            Err(problem) => {
                let message = format!("{problem}. The manifest is kept as it was");
                self.parts.screen.event(now(), &message);
            }
        }
    }

    /// Looks and does what is due. Returns when to look again, or the mint that was begun.
    fn advance(&mut self) -> (Timestamp, Option<Mint>) {
        let token = Arc::clone(&self.token);
        let mut look = self.look(&token);
        self.say_damage(&look);
        let mut step = self.lifecycle.step(Event::Looked(&look.seen));
        if !matches!(step.effect, Effect::Mint { .. }) {
            self.parts.issuer.budgets.leave(&self.name);
        }
        if let Some(situation) = &step.situation {
            let issuer = &self.parts.issuer;
            issuer.wait_out(&self.name, look.resolved.as_ref(), situation, look.seen.now);
        }
        loop {
            self.report(&mut look, &step);
            let event = match step.effect {
                Effect::Nothing => return (look.seen.now + SignedDuration::from_mins(5), None),
                Effect::Wait(until) => return (until, None),
                Effect::Mint { pending, .. } => match self.begin_mint(&look, pending) {
                    Ok(mint) => return (look.seen.now, Some(mint)),
                    Err(limit) => Event::MintDeferred {
                        seen: &look.seen,
                        limit,
                    },
                },
                Effect::Write(order) => {
                    let end = self.write(&mut look, &order);
                    Event::WriteEnded {
                        seen: &look.seen,
                        order,
                        end,
                    }
                }
            };
            step = self.lifecycle.step(event);
        }
    }

    fn look<'a>(&self, token: &'a RealtimeToken) -> Look<'a> {
        let held = self.parts.directory.held(&self.name.name);
        let endpoint = self.endpoint();
        let metadata = desired_metadata(&self.name.name, &token.spec.target, endpoint.keys(token));
        let (resolved, inputs) = match self.parts.manifest.resolve(token, now()) {
            Ok(resolved) => {
                let fields = resolved.ask.block.provider().secret_fields();
                let revision = match token.spec.suspend {
                    true => Ok(String::new()),
                    false => self.parts.keys.read(fields).map(|(_, revision)| revision),
                };
                let inputs = revision.map(|credential_revision| MintInputs {
                    fingerprint: resolved.fingerprint.clone(),
                    credential_revision,
                    renew_request: token.annotations().get(RENEW_REQUESTED_AT).cloned(),
                });
                (Some(resolved), inputs)
            }
            Err(blocked) => (None, Err(blocked)),
        };
        let seen = Observation {
            token,
            prior: token.status.clone().unwrap_or_default(),
            target: target_state(held.as_ref(), token, &metadata),
            metadata_hash: metadata.hash.clone(),
            endpoint,
            inputs,
            now: now(),
        };
        Look {
            held,
            metadata,
            resolved,
            seen,
        }
    }

    fn endpoint(&self) -> RequestsEndpoint {
        let address = self.parts.loopback.as_ref().map(|(_, address)| *address);
        address.map_or(RequestsEndpoint::NotEnabled, |address| {
            RequestsEndpoint::Known(connection(address))
        })
    }

    fn draw(&mut self) {
        let until = self.usable_until();
        self.parts.screen.draw(until, now());
    }

    fn usable_until(&self) -> Option<Timestamp> {
        let status = self.token.status.as_ref()?;
        Some(status.usable_until.as_ref()?.0)
    }
}

fn connection(address: SocketAddr) -> Connection {
    Connection {
        url: format!("http://{address}"),
        ca_bundle: None,
    }
}

fn target_state(held: Option<&Held>, token: &RealtimeToken, metadata: &SecretMetadata) -> TargetState {
    let Some(held) = held else {
        return TargetState::Absent;
    };
    let uid = token.metadata.uid.as_deref().unwrap_or_default();
    let target = &token.spec.target;
    let mut state = held.view.seen_by(&token.name_any(), uid, target, &metadata.connection);
    if let TargetState::Ours(stored) = &mut state
        && held.damage.is_some()
    {
        stored.intact = false;
        stored.damage.clone_from(&held.damage);
    }
    state
}
