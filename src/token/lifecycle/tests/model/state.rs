//! What is stored, and what the process knows of it.

use std::fmt;
use std::sync::Arc;

use super::*;
use crate::api::{RealtimeToken, RealtimeTokenStatus};
use crate::token::lifecycle::{Order, Pending};
use crate::token::secret::{RequestsEndpoint, Stored, TargetState};
use crate::token::{Lifecycle, MintInputs, Observation};

/// The metadata that the Secret should have.
pub(super) const METADATA: &str = "desired";

/// What the API server has.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub version: u64,
    pub token: Arc<RealtimeToken>,
    pub secret: Option<Stored>,
}

impl Store {
    pub fn next_version(&mut self) -> String {
        self.version += 1;
        self.version.to_string()
    }

    pub fn edit_token(&mut self) -> &mut RealtimeToken {
        Arc::make_mut(&mut self.token)
    }

    /// A write of the RealtimeToken: its version grows.
    pub fn touch_token(&mut self) {
        let version = self.next_version();
        self.edit_token().metadata.resource_version = Some(version);
    }

    pub fn touch_secret(&mut self, change: impl FnOnce(&mut Stored)) {
        let version = self.next_version();
        if let Some(secret) = &mut self.secret {
            change(secret);
            secret.resource_version = version;
        }
    }

    pub fn secret_version(&self) -> Option<u64> {
        self.secret.as_ref()?.resource_version.parse().ok()
    }
}

/// What a reconcile has seen.
#[derive(Clone)]
pub(super) struct Seen {
    pub token: Arc<RealtimeToken>,
    pub prior: RealtimeTokenStatus,
    pub secret: Option<Stored>,
    pub inputs: MintInputs,
    pub now: Timestamp,
}

/// What tells two of them apart.
impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meta = &self.token.metadata;
        let object = (&meta.resource_version, meta.generation, &self.inputs);
        write!(f, "{object:?} {} {:?} {}", brief(&self.prior), self.secret, self.now)
    }
}

/// A status without what follows from the rest: messages, and when a condition changed.
pub(super) fn brief(status: &RealtimeTokenStatus) -> String {
    let conditions = status.conditions.iter().map(|it| (&it.status, &it.reason));
    let conditions: Vec<_> = conditions.collect();
    let attempts = (
        status.failed_mint_attempts,
        status.failed_write_attempts,
        &status.next_attempt_time,
    );
    let token = (
        status.revision,
        &status.usable_until,
        &status.last_handled_renew_request,
    );
    format!("{:?} {conditions:?} {attempts:?} {token:?}", status.observed_generation)
}

impl Seen {
    pub fn observation(&self) -> Observation<'_> {
        Observation {
            token: &self.token,
            prior: self.prior.clone(),
            target: match &self.secret {
                Some(secret) => TargetState::Ours(Box::new(secret.clone())),
                None => TargetState::Absent,
            },
            metadata_hash: METADATA.to_owned(),
            endpoint: RequestsEndpoint::default(),
            inputs: Ok(self.inputs.clone()),
            now: self.now,
        }
    }
}

/// An effect that is yet to be performed.
#[derive(Clone, Debug)]
pub(super) enum Next {
    Nothing,
    Wait(Timestamp),
    Mint {
        pending: Box<Pending>,
        /// Whether it is minted for no other reason than that the token is due.
        due: bool,
    },
    Write(Order),
}

/// Where a reconcile stands.
#[derive(Clone, Debug)]
pub(super) enum Work {
    Idle,
    Begun(Arc<RealtimeToken>),
    /// The status is to be written, then the effect performed.
    Reporting(Box<(Seen, RealtimeTokenStatus, Next)>),
    Acting(Box<(Seen, Next)>),
}

/// The process, and what it knows.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub lifecycle: Lifecycle,
    /// The RealtimeToken as the watch has shown it.
    pub shown: Arc<RealtimeToken>,
    pub shown_has_gone_back: bool,
    /// The Secret as the watch or an own write has shown it; looked up if there is none.
    pub cached: Option<Stored>,
    /// The version of the Secret that the watch has shown last.
    pub delivered: Option<u64>,
    pub look_at: Timestamp,
    /// Something came while a reconcile was under way: the next follows it.
    pub woken: bool,
    pub work: Work,
    /// When the mint was sent that is under way.
    pub minting: Option<Timestamp>,
}

impl Process {
    /// A process starts: its watches list what is there.
    pub fn start(store: &Store, now: Timestamp) -> Self {
        Self {
            lifecycle: Lifecycle::restore(&store.token),
            shown: store.token.clone(),
            shown_has_gone_back: false,
            cached: store.secret.clone(),
            delivered: store.secret_version(),
            look_at: now,
            woken: false,
            work: Work::Idle,
            minting: None,
        }
    }
}

/// What only the properties look at.
#[derive(Clone, Debug, Default)]
pub(super) struct Ghost {
    /// Each token that the Secret has held.
    pub held: Vec<(i64, Timestamp)>,
    pub needless_mint: Option<String>,
    pub hasty_mint: Option<String>,
    pub false_claim: Option<String>,
    /// The last mint of this process, unless the clock was set since.
    pub last_mint: Option<Timestamp>,
    pub due: bool,
    pub lost_token: bool,
    pub outdated_write: bool,
    pub landed_late: bool,
    pub rolled_back: bool,
    /// The API server was away for as long as it can be.
    pub long_outage: bool,
    /// Counted anew when it is left in peace.
    pub mints: u32,
    pub secret_writes: u32,
    pub status_writes: u32,
}

#[derive(Clone, Debug)]
pub(super) struct State {
    pub now: Timestamp,
    pub store: Store,
    /// What the store is rolled back to.
    pub backup: Store,
    /// The number of the key.
    pub key: u32,
    pub process: Process,
    /// A write that a process sent before it died.
    pub in_flight: Option<Box<(Seen, Order)>>,
    /// While the API server is away: so many requests get no answer, unless it returns before.
    pub unanswered: u8,
    /// So many disturbances are left.
    pub left: u8,
    /// Whether it is known already that it settles, since the state before does, by way of this one.
    pub known_to_settle: bool,
    pub ghost: Ghost,
}
