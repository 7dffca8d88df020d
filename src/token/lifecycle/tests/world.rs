//! A cluster, a provider and a clock around one [`Lifecycle`]: what the controller does, without I/O.

use jiff::{SignedDuration, Timestamp};

use crate::api::{ConditionType, RealtimeToken, RealtimeTokenStatus, Reason, TargetContent};
use crate::token::fixtures::{at, inputs, issued, minted, realtime_token, stored};
use crate::token::lifecycle::{MintEnd, Order, StoreOrder, WriteEnd, WrittenStatus};
use crate::token::report::{Findings, TokenKind, status};
use crate::token::secret::{Issued, RequestsEndpoint, Stored, TargetState};
use crate::token::{Connection, Effect, Event, Lifecycle, MintError, MintInputs, Observation, Trigger};

/// What a write of the Secret meets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Another writer was faster.
    Conflict,
    /// A policy refuses it.
    Refused,
    /// The API server is away.
    Unavailable,
    /// It lands, and the answer is lost.
    Unanswered,
}

/// A call to the provider.
#[derive(Clone, Debug)]
pub(super) struct Mint {
    pub at: Timestamp,
    pub trigger: Trigger,
    pub succeeded: bool,
    /// The provider was out of order, so that a retry comes soon.
    pub unavailable: bool,
    /// What is known of the token before this one was not lost with the process.
    pub remembered: bool,
}

pub(super) struct World {
    pub now: Timestamp,
    life: i64,
    // The cluster.
    pub token: RealtimeToken,
    pub secret: Option<Stored>,
    pub metadata: u32,
    pub spec: u32,
    pub key: u32,
    pub request: Option<String>,
    pub requests: u32,
    /// Of the server of tokens on request.
    pub ca: u32,
    pub endpoint_known: bool,
    pub faults: Vec<Fault>,
    // The process.
    pub lifecycle: Lifecycle,
    /// The process dies after so many more effects.
    pub dies_after: Option<u32>,
    // The provider.
    pub provider_up: bool,
    /// What it says while it isn't.
    pub failure: MintError,
    pub mints: Vec<Mint>,
}

/// The process died: what it remembered is gone.
struct Died;

impl World {
    /// With tokens on request, and a first token of this life.
    pub fn new(life: i64) -> Self {
        let mut token = realtime_token();
        token.spec.requests = serde_json::from_value(serde_json::json!({})).unwrap();
        let mut world = Self {
            now: at(0),
            life,
            lifecycle: Lifecycle::restore(&token),
            token,
            secret: None,
            metadata: 0,
            spec: 0,
            key: 0,
            request: None,
            requests: 0,
            ca: 0,
            endpoint_known: true,
            faults: Vec::new(),
            dies_after: None,
            provider_up: true,
            failure: MintError::unavailable("down"),
            mints: Vec::new(),
        };
        world.run();
        assert_eq!(world.mints.len(), 1, "the first token");
        world
    }

    pub fn wanted(&self) -> MintInputs {
        let (spec, key) = (format!("spec-{}", self.spec), format!("key-{}", self.key));
        inputs(&spec, &key, self.request.as_deref())
    }

    fn metadata_hash(&self) -> String {
        let (content, ca) = (self.content(), self.ca);
        format!("metadata-{}-{content:?}-{ca}", self.metadata)
    }

    pub fn content(&self) -> TargetContent {
        self.token.spec.target.content
    }

    pub fn wants_connection(&self) -> bool {
        self.content() == TargetContent::Connection
    }

    fn endpoint(&self) -> RequestsEndpoint {
        if !self.endpoint_known {
            return RequestsEndpoint::Unknown;
        }
        RequestsEndpoint::Known(Connection {
            url: "https://operator.svc".to_owned(),
            ca_bundle: Some(format!("ca-{}", self.ca)),
        })
    }

    /// The Secret as the view of it has it, which reads no token where none is wanted.
    fn target(&self) -> TargetState {
        let Some(mut stored) = self.secret.clone() else {
            return TargetState::Absent;
        };
        if self.wants_connection() {
            (stored.issued, stored.renewal_time) = (None, None);
            if stored.content == TargetContent::Token {
                (stored.intact, stored.metadata_hash) = (false, None);
            }
        }
        TargetState::Ours(Box::new(stored))
    }

    fn status(&self) -> RealtimeTokenStatus {
        self.token.status.clone().unwrap_or_default()
    }

    fn look<'a>(&self, token: &'a RealtimeToken) -> Observation<'a> {
        Observation {
            token,
            prior: self.lifecycle.known_status(token),
            target: self.target(),
            metadata_hash: self.metadata_hash(),
            endpoint: self.endpoint(),
            inputs: Ok(self.wanted()),
            now: self.now,
        }
    }

    /// Reconciles until there is nothing to do now. Returns when there will be.
    pub fn run(&mut self) -> Timestamp {
        for _ in 0..40 {
            match self.reconcile() {
                Ok(until) if until > self.now => return until,
                Ok(_) => {}
                Err(Died) => self.restart(),
            }
        }
        panic!("reconciles without end: {:?}", self.lifecycle);
    }

    /// Once. Returns when to look again.
    fn reconcile(&mut self) -> Result<Timestamp, Died> {
        let token = self.token.clone();
        let mut seen = self.look(&token);
        let mut step = self.lifecycle.step(Event::Looked(&seen));
        loop {
            if let Some(situation) = &step.situation {
                let findings = Findings {
                    seen: &seen,
                    situation,
                    provider: Some("openai".into()),
                    kind: TokenKind::default(),
                    health: None,
                    unknown_overridable: None,
                };
                self.write_status(status(&findings))?;
            }
            self.may_die()?;
            step = match step.effect {
                Effect::Nothing => panic!("nothing will happen"),
                Effect::Wait(until) => return Ok(until),
                Effect::Mint { pending, trigger, .. } => {
                    self.lifecycle.step(Event::MintStarted(pending));
                    let now = self.now;
                    let end = self.mint(trigger);
                    self.may_die()?;
                    self.lifecycle.step(Event::MintEnded { end, slot: None, now })
                }
                Effect::Write(order) => {
                    let end = self.write(&order);
                    self.may_die()?;
                    let before = seen;
                    seen = self.look(&token);
                    if end != WriteEnd::Written {
                        seen.target = before.target; // nothing came back to be seen
                    }
                    let seen = &seen;
                    self.lifecycle.step(Event::WriteEnded { seen, order, end })
                }
            };
        }
    }

    fn may_die(&mut self) -> Result<(), Died> {
        match &mut self.dies_after {
            Some(0) => Err(Died),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub fn restart(&mut self) {
        self.dies_after = None;
        self.lifecycle = Lifecycle::restore(&self.token);
    }

    fn write_status(&mut self, new: RealtimeTokenStatus) -> Result<(), Died> {
        if new == self.status() {
            return Ok(());
        }
        let ready = ConditionType::Ready.as_str();
        let ready = new.conditions.iter().find(|condition| condition.type_ == ready);
        let is_ready = ready.is_some_and(|ready| ready.status == "True");
        if is_ready && self.wants_connection() {
            let content = self.secret.as_ref().map(|secret| secret.content);
            assert_eq!(content, Some(TargetContent::Connection), "Ready without a connection");
        } else if is_ready {
            let issued = self.secret.as_ref().and_then(|secret| secret.issued.as_ref());
            let usable_until = issued.expect("Ready without a token").usable_until;
            assert!(usable_until > self.now, "Ready with a token that has ended");
        }
        let version: u64 = self.token.metadata.resource_version.as_ref().unwrap().parse().unwrap();
        let version = (version + 1).to_string();
        self.token.metadata.resource_version = Some(version.clone());
        self.token.status = Some(new.clone());
        self.may_die()?;
        self.lifecycle.step(Event::StatusWritten(Box::new(WrittenStatus {
            version,
            status: new,
            renew_request: None,
            at: self.now,
        })));
        Ok(())
    }

    fn mint(&mut self, trigger: Trigger) -> MintEnd {
        assert!(!self.wants_connection(), "a token that no Secret is to hold");
        let stored = self.secret.as_ref().and_then(|secret| secret.issued.as_ref());
        let before = self.tokens().last().map(|mint| mint.at);
        self.mints.push(Mint {
            at: self.now,
            trigger,
            succeeded: self.provider_up,
            unavailable: !self.provider_up && matches!(self.failure, MintError::Unavailable { .. }),
            remembered: self.lifecycle.last_mint.is_some() || stored.map(|issued| issued.issued_at) == before,
        });
        if !self.provider_up {
            return MintEnd::Failed(self.failure.clone());
        }
        MintEnd::Minted {
            minted: minted(self.now, self.life),
            credential_revision: self.wanted().credential_revision,
        }
    }

    fn write(&mut self, order: &Order) -> WriteEnd {
        let fault = self.faults.pop();
        let message = "no".to_owned();
        match fault {
            Some(Fault::Conflict) => return WriteEnd::Outdated,
            Some(Fault::Refused) => {
                return WriteEnd::Refused {
                    reason: Reason::SecretWriteFailed,
                    message,
                };
            }
            Some(Fault::Unavailable) => return WriteEnd::Unavailable { message },
            Some(Fault::Unanswered) | None => {}
        }
        match order {
            Order::Store(order) => self.store(order),
            Order::Relabel { renewal_time, .. } => {
                assert!(self.endpoint_known, "writes what it does not know");
                let (metadata_hash, content) = (Some(self.metadata_hash()), self.content());
                if self.secret.is_none() && self.wants_connection() {
                    self.secret = Some(stored(self.now, self.life));
                }
                let secret = self.secret.as_mut().expect("nothing to label");
                secret.metadata_hash = metadata_hash;
                secret.renewal_time = *renewal_time;
                if content == TargetContent::Connection {
                    (secret.content, secret.issued, secret.intact) = (content, None, true);
                }
            }
        }
        match fault {
            Some(_) => WriteEnd::Unavailable { message },
            None => WriteEnd::Written,
        }
    }

    /// A token's write leaves labels and owner of a Secret that is there.
    fn store(&mut self, order: &StoreOrder) {
        let metadata_hash = match &self.secret {
            Some(secret) => secret.metadata_hash.clone(),
            None => Some(self.metadata_hash()),
        };
        let token = &order.token;
        self.secret = Some(Stored {
            issued: Some(Issued {
                revision: order.revision,
                inputs: token.inputs.clone(),
                ..issued(token.minted.issued_at, self.life)
            }),
            metadata_hash,
            renewal_time: Some(order.renewal_time),
            ..stored(token.minted.issued_at, self.life)
        });
    }

    /// Lets time pass, reconciling whenever that was asked for.
    pub fn advance(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        loop {
            let until = self.run();
            if until > end {
                break;
            }
            self.now = until;
        }
        self.now = end;
        self.run();
    }

    /// Whether the Secret holds what is wanted, with its labels, and isn't due.
    pub fn is_settled(&self) -> bool {
        let Some(secret) = &self.secret else { return false };
        if self.wants_connection() {
            let content = secret.content == TargetContent::Connection;
            return content && secret.intact && secret.metadata_hash == Some(self.metadata_hash());
        }
        let due = secret.renewal_time.is_none_or(|due| due <= self.now);
        let issued = secret.issued.as_ref();
        let as_wanted = issued.is_some_and(|issued| issued.inputs.satisfies(&self.wanted()));
        secret.intact && as_wanted && !due && secret.metadata_hash == Some(self.metadata_hash())
    }

    /// Until the stored token is the one wanted.
    pub fn settle(&mut self) {
        for _ in 0..200 {
            let until = self.run();
            if self.is_settled() {
                return;
            }
            self.now = until;
        }
        panic!("does not settle: {:?} {:?}", self.secret, self.lifecycle);
    }

    pub fn tokens(&self) -> impl Iterator<Item = &Mint> {
        self.mints.iter().filter(|mint| mint.succeeded)
    }

    pub fn mints_not_due(&self, since: usize) -> usize {
        let mints = self.mints[since..].iter();
        mints.filter(|mint| mint.trigger != Trigger::Due).count()
    }
}
