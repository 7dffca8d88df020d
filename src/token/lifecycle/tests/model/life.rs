//! The steps of the store and of the process.

use std::sync::Arc;

use super::state::{Ghost, METADATA, Process, Seen, Store};
use super::*;
use crate::api::{RENEW_REQUESTED_AT, RealtimeToken, RealtimeTokenStatus};
use crate::clock::whole_second;
use crate::token::fixtures::{inputs, issued, minted, realtime_token, stored};
use crate::token::lifecycle::{MintEnd, Order, Step, WriteEnd, WrittenStatus};
use crate::token::report::{Findings, TokenKind, status};
use crate::token::secret::{Issued, Stored};
use crate::token::{Effect, Event, MintInputs};

/// Later than any other time, in seconds.
const NEVER: i64 = 10_000;

impl State {
    /// A RealtimeToken that was just created.
    pub fn new(left: u8) -> Self {
        let mut token = realtime_token();
        token.status = None;
        token.metadata.resource_version = Some("8".to_owned()); // soon with a digit more
        let store = Store {
            version: 8,
            token: Arc::new(token),
            secret: None,
        };
        Self {
            now: at(0),
            process: Process::start(&store, at(0)),
            backup: store.clone(),
            store,
            key: 0,
            in_flight: None,
            unanswered: 0,
            left,
            known_to_settle: false,
            ghost: Ghost::default(),
        }
    }

    /// One whose first token was stored a minute ago.
    pub fn with_token(left: u8) -> Self {
        let mut state = Self::new(0);
        while let Some(action) = state.own_actions().next().filter(|action| *action != Action::Sleep) {
            state.act(action);
        }
        state.now = at(60);
        (state.left, state.backup) = (left, state.store.clone());
        state
    }

    pub fn revision(&self) -> Option<i64> {
        Some(self.store.secret.as_ref()?.issued.as_ref()?.revision)
    }

    /// What goes on without a disturbance, in no order. Time passes only when all else is done.
    pub fn own_actions(&self) -> impl Iterator<Item = Action> + use<> {
        let process = &self.process;
        let idle = matches!(process.work, Work::Idle);
        let is_away = self.unanswered > 0;
        let back = is_away.then_some(Action::Return);
        let late = (self.in_flight.is_some() && !is_away).then_some(Action::LandLate);
        let work = match &process.work {
            // A mint under way: the reconcile ends before it has looked.
            Work::Idle if process.minting.is_some() => Some(Action::EndMint),
            Work::Idle if process.look_at <= self.now => Some(Action::Begin),
            Work::Idle => None,
            Work::Begun(_) => Some(Action::Look),
            Work::Reporting(_) => Some(Action::WriteStatus),
            Work::Acting(acting) => match acting.1 {
                Next::Mint { .. } => Some(Action::StartMint),
                _ => Some(Action::WriteSecret),
            },
        };
        let token = (self.token_lags() && !is_away).then_some(Action::ShowToken);
        let secret_lags = process.delivered != self.store.secret_version();
        let secret = (secret_lags && !is_away).then_some(Action::ShowSecret);
        let all_done = idle && work.is_none() && late.is_none() && token.is_none() && secret.is_none();
        let sleep = all_done.then_some(Action::Sleep);
        [back, late, work, token, secret, sleep].into_iter().flatten()
    }

    /// Whether the watch has yet to show the RealtimeToken. After a rollback the same version may be another.
    pub fn token_lags(&self) -> bool {
        !Arc::ptr_eq(&self.process.shown, &self.store.token)
    }

    pub fn act(&mut self, action: Action) {
        match action {
            Action::Begin => self.process.work = Work::Begun(Arc::clone(&self.process.shown)),
            Action::Look => self.look(),
            Action::WriteStatus => {
                let answers = self.is_answered();
                self.write_status(answers, answers);
            }
            Action::StartMint => self.start_mint(),
            Action::EndMint => self.end_mint(None),
            Action::WriteSecret => {
                let answers = self.is_answered();
                self.write_secret(answers, answers);
            }
            Action::Return => self.unanswered = 0,
            Action::ShowToken => self.show_token(),
            Action::ShowSecret => self.show_secret(),
            Action::LandLate => {
                if let Some(sent) = self.in_flight.take() {
                    self.ghost.landed_late |= self.land(&sent.0, &sent.1);
                }
            }
            Action::Sleep => self.now = self.now.max(self.process.look_at),
            Action::Disturb(_) => {}
        }
    }

    /// Whether the API server answers the request that is sent now.
    fn is_answered(&mut self) -> bool {
        let is_away = self.unanswered > 0;
        self.unanswered = self.unanswered.saturating_sub(1);
        self.ghost.long_outage |= is_away && self.unanswered == 0;
        !is_away
    }

    fn look(&mut self) {
        let Work::Begun(token) = std::mem::replace(&mut self.process.work, Work::Idle) else {
            return;
        };
        if self.process.cached.is_none() && !self.is_answered() {
            return self.fail(); // the Secret can't be looked up
        }
        let renew_request = token.metadata.annotations.as_ref();
        let renew_request = renew_request.and_then(|all| all.get(RENEW_REQUESTED_AT)).cloned();
        let spec = format!("spec-{}", token.metadata.generation.unwrap_or(0));
        let seen = Seen {
            prior: self.process.lifecycle.known_status(&token),
            secret: self.process.cached.clone().or_else(|| self.store.secret.clone()),
            inputs: inputs(&spec, &self.key_revision(), renew_request.as_deref()),
            now: self.now,
            token,
        };
        let step = self.process.lifecycle.step(Event::Looked(&seen.observation()));
        if let Effect::Mint { trigger, .. } = &step.effect
            && let Some(token) = self.will_do(&seen)
        {
            self.ghost.needless_mint = Some(format!("{trigger:?} at {}, but there is one of {token}", self.now));
        }
        self.take(seen, step);
    }

    pub fn key_revision(&self) -> String {
        format!("key-{}", self.key)
    }

    /// A token in the Secret, as far as that can be known, or in memory that is what is wanted, and isn't due. One from
    /// the future is due.
    fn will_do(&self, seen: &Seen) -> Option<Timestamp> {
        let stored = seen.secret.as_ref().filter(|secret| secret.intact);
        let stored = stored.and_then(|secret| secret.issued.as_ref());
        let stored = stored.map(|issued| (&issued.inputs, issued.issued_at));
        let unstored = self.process.lifecycle.unstored.as_deref();
        let unstored = unstored.map(|token| (&token.inputs, token.minted.issued_at));
        let will_do = |(inputs, issued_at): (&MintInputs, Timestamp)| {
            let due = crate::token::fixtures::renewal(issued_at, LIFE);
            let soon = self.now + SignedDuration::from_secs(10);
            (inputs.satisfies(&seen.inputs) && due > self.now && issued_at <= soon).then_some(issued_at)
        };
        stored.and_then(will_do).or_else(|| unstored.and_then(will_do))
    }

    /// Takes in a step: the status is written if it differs, then the effect is performed.
    fn take(&mut self, seen: Seen, step: Step) {
        let next = match step.effect {
            Effect::Nothing => Next::Nothing,
            Effect::Wait(until) => Next::Wait(until),
            Effect::Mint { pending, trigger, .. } => Next::Mint {
                pending,
                due: trigger == crate::token::Trigger::Due,
            },
            Effect::Write(order) => Next::Write(order),
        };
        let new = step.situation.as_ref().map(|situation| {
            status(&Findings {
                seen: &seen.observation(),
                situation,
                provider: Some("openai".into()),
                kind: TokenKind::default(),
                health: None,
                unknown_overridable: None,
            })
        });
        match new.filter(|new| *new != seen.prior) {
            Some(new) => self.process.work = Work::Reporting(Box::new((seen, new, next))),
            None => self.go_on(seen, next),
        }
    }

    fn go_on(&mut self, seen: Seen, next: Next) {
        match next {
            Next::Nothing => self.end(at(NEVER)),
            // As `requeue_at` does it: the clock may have been set since the look.
            Next::Wait(until) => self.end(until.min(self.now + crate::token::decide::MAX_WAIT)),
            next @ (Next::Mint { .. } | Next::Write(_)) => self.process.work = Work::Acting(Box::new((seen, next))),
        }
    }

    /// A reconcile that fails is tried again.
    fn fail(&mut self) {
        self.end(self.now + SignedDuration::from_secs(1));
    }

    pub fn write_status(&mut self, lands: bool, answered: bool) {
        let Work::Reporting(reporting) = std::mem::replace(&mut self.process.work, Work::Idle) else {
            return;
        };
        let (mut seen, new, next) = *reporting;
        if lands {
            self.check_claim(&new, seen.now);
            self.ghost.status_writes += 1;
            self.store.touch_token();
            self.store.edit_token().status = Some(new.clone());
        }
        if !lands || !answered {
            return self.fail();
        }
        seen.prior = new.clone();
        let version = self.store.token.metadata.resource_version.clone().unwrap_or_default();
        self.process
            .lifecycle
            .step(Event::StatusWritten(Box::new(WrittenStatus {
                version,
                status: new,
                renew_request: seen.inputs.renew_request.clone(),
                at: seen.now,
            })));
        self.go_on(seen, next);
    }

    /// What is said of the token was true of the Secret at some time, and the token hasn't ended.
    fn check_claim(&mut self, new: &RealtimeTokenStatus, seen: Timestamp) {
        let ready = new.conditions.first().is_some_and(|ready| ready.status == "True");
        let claim = (new.revision, new.usable_until.as_ref().map(|until| until.0));
        let is_held = |held: &(i64, Timestamp)| (Some(held.0), Some(whole_second(held.1))) == claim;
        let is_alive = claim.1.is_some_and(|until| until > seen);
        if ready && !(self.ghost.held.iter().any(is_held) && is_alive) {
            self.ghost.false_claim = Some(format!("{claim:?} of {:?} seen at {seen}", self.ghost.held));
        }
    }

    fn start_mint(&mut self) {
        let Work::Acting(acting) = std::mem::replace(&mut self.process.work, Work::Idle) else {
            return;
        };
        let Next::Mint { pending, due } = acting.1 else { return };
        self.process.lifecycle.step(Event::MintStarted(pending));
        let hasty = |last: Timestamp| self.now.duration_since(last) < SignedDuration::from_secs(10);
        if self.ghost.last_mint.is_some_and(hasty) {
            self.ghost.hasty_mint = Some(format!("{:?}, then {}", self.ghost.last_mint, self.now));
        }
        self.ghost.mints += 1;
        self.ghost.due |= due;
        (self.ghost.last_mint, self.process.minting) = (Some(self.now), Some(self.now));
        self.end(at(NEVER)); // the mint's end has the RealtimeToken reconciled
    }

    pub fn end_mint(&mut self, error: Option<crate::token::MintError>) {
        let Some(sent) = self.process.minting.take() else {
            return;
        };
        let end = match error {
            Some(error) => {
                self.ghost.last_mint = None; // a failure has a backoff of its own
                MintEnd::Failed(error)
            }
            None => MintEnd::Minted {
                minted: minted(sent, LIFE),
                credential_revision: self.key_revision(),
            },
        };
        let now = self.now;
        self.process.lifecycle.step(Event::MintEnded { end, slot: None, now });
        self.process.look_at = now;
    }

    /// `lands`: the API server gets it. `answered`: the process gets the answer.
    pub fn write_secret(&mut self, lands: bool, answered: bool) {
        let Work::Acting(acting) = std::mem::replace(&mut self.process.work, Work::Idle) else {
            return;
        };
        let (mut seen, next) = *acting;
        let Next::Write(order) = next else { return };
        let landed = lands && self.land(&seen, &order);
        seen.now = self.now;
        let end = if !lands || !answered {
            let message = "no answer".to_owned();
            WriteEnd::Unavailable { message }
        } else if landed {
            WriteEnd::Written
        } else {
            self.ghost.outdated_write = true;
            WriteEnd::Outdated
        };
        if end == WriteEnd::Written {
            seen.secret = self.store.secret.clone();
            self.process.cached = self.store.secret.clone();
        } else {
            self.process.cached = None;
        }
        let event = Event::WriteEnded {
            seen: &seen.observation(),
            order,
            end,
        };
        let step = self.process.lifecycle.step(event);
        self.take(seen, step);
    }

    /// Whether the API server applies a write: the Secret must be as it was seen.
    fn land(&mut self, seen: &Seen, order: &Order) -> bool {
        let version = |secret: &Option<Stored>| secret.as_ref().map(|secret| secret.resource_version.clone());
        if version(&seen.secret) != version(&self.store.secret) {
            return false;
        }
        self.ghost.secret_writes += 1;
        let resource_version = self.store.next_version();
        match order {
            Order::Store(order) => {
                let issued_at = order.token.minted.issued_at;
                let before = self.store.secret.take();
                self.store.secret = Some(Stored {
                    resource_version,
                    issued: Some(Issued {
                        revision: order.revision,
                        inputs: order.token.inputs.clone(),
                        ..issued(issued_at, LIFE)
                    }),
                    renewal_time: Some(order.renewal_time),
                    metadata_hash: before.map_or(Some(METADATA.to_owned()), |before| before.metadata_hash),
                    ..stored(issued_at, LIFE)
                });
                self.ghost
                    .held
                    .push((order.revision, issued_at + SignedDuration::from_secs(LIFE)));
            }
            Order::Relabel { renewal_time, .. } => {
                if let Some(secret) = &mut self.store.secret {
                    secret.resource_version = resource_version;
                    secret.metadata_hash = Some(METADATA.to_owned());
                    secret.renewal_time = *renewal_time;
                }
            }
        }
        true
    }

    fn show_token(&mut self) {
        let version = |token: &RealtimeToken| token.metadata.resource_version.as_ref()?.parse::<u64>().ok();
        self.process.shown_has_gone_back = version(&self.store.token) < version(&self.process.shown);
        self.process.shown = Arc::clone(&self.store.token);
        if !self.process.lifecycle.take_echo(&*self.process.shown) {
            self.wake();
        }
    }

    fn show_secret(&mut self) {
        self.process.delivered = self.store.secret_version();
        if self.process.cached != self.store.secret {
            self.process.cached = self.store.secret.clone();
            self.wake();
        }
    }

    pub fn wake(&mut self) {
        match self.process.work {
            Work::Idle => self.process.look_at = self.process.look_at.min(self.now),
            _ => self.process.woken = true,
        }
    }

    /// A reconcile has ended.
    fn end(&mut self, look_at: Timestamp) {
        self.process.work = Work::Idle;
        self.process.look_at = look_at;
        if std::mem::take(&mut self.process.woken) {
            self.wake();
        }
    }
}
