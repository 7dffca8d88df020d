//! What a reconcile sees of one RealtimeToken.

use jiff::Timestamp;

use super::schedule::{self, Schedule};
use super::secret::{Issued, TargetState};
use crate::api::{RealtimeToken, RealtimeTokenStatus, Reason};

/// What a token is minted from. A token minted from other inputs is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MintInputs {
    /// Hash of the spec's fields that make the token.
    pub fingerprint: String,
    pub credential_revision: String,
    /// The annotation that asks for a new token, if there is one.
    pub renew_request: Option<String>,
}

impl MintInputs {
    /// Whether a token that was minted from these inputs obeys the renewal annotation. Taking the annotation away asks
    /// for nothing.
    pub fn obeys(&self, renew_request: Option<&str>) -> bool {
        renew_request.is_none() || self.renew_request.as_deref() == renew_request
    }

    /// Whether a token that was minted from these inputs is the one that `wanted` asks for.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        self.fingerprint == wanted.fingerprint
            && self.credential_revision == wanted.credential_revision
            && self.obeys(wanted.renew_request.as_deref())
    }
}

/// Why nothing can be minted until a user changes something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Blocked {
    pub reason: Reason,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Blocked {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Everything that a reconcile has seen, at one time.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    pub token: &'a RealtimeToken,
    /// Its status as last written.
    pub prior: RealtimeTokenStatus,
    /// The Secret, as the watch and our own writes show it.
    pub target: TargetState,
    /// Hash of the labels, annotations and owner that the Secret should have.
    pub metadata_hash: String,
    /// What the token should be minted from, or why it can't be minted.
    pub inputs: Result<MintInputs, Blocked>,
    pub now: Timestamp,
}

impl Observation<'_> {
    /// The RealtimeToken's uid, from which jitter and backoff are drawn.
    pub fn uid(&self) -> &str {
        self.token.metadata.uid.as_deref().unwrap_or_default()
    }

    pub fn issued(&self) -> Option<&Issued> {
        self.target.issued()
    }

    pub fn schedule(&self) -> Option<Schedule> {
        let issued = self.issued()?;
        Some(self.schedule_of(issued.issued_at, issued.usable_until))
    }

    /// The schedule of any token of this RealtimeToken.
    pub fn schedule_of(&self, issued_at: Timestamp, usable_until: Timestamp) -> Schedule {
        schedule::plan(&self.token.spec.renewal, self.uid(), issued_at, usable_until)
    }
}
