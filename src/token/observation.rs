//! What a reconcile sees of one RealtimeToken.

use jiff::Timestamp;

use super::schedule::{self, Schedule};
use super::secret::{Issued, RequestsEndpoint, TargetState};
use crate::api::{RealtimeToken, RealtimeTokenStatus, Reason, TargetContent};

/// What a token is minted from. A token minted from other inputs is replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct MintInputs {
    /// Hash of the spec's fields that make the token.
    pub(crate) fingerprint: String,
    pub(crate) credential_revision: String,
    /// The annotation that asks for a new token, if there is one.
    pub(crate) renew_request: Option<String>,
}

impl MintInputs {
    /// Whether a token that was minted from these inputs obeys the renewal annotation. Taking the annotation away asks
    /// for nothing.
    pub(crate) fn obeys(&self, renew_request: Option<&str>) -> bool {
        renew_request.is_none() || self.renew_request.as_deref() == renew_request
    }

    /// Whether a token that was minted from these inputs is the one that `wanted` asks for.
    pub(crate) fn satisfies(&self, wanted: &Self) -> bool {
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
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// Everything that a reconcile has seen, at one time.
#[derive(Clone, Debug)]
pub(crate) struct Observation<'a> {
    pub(crate) token: &'a RealtimeToken,
    /// Its status as last written.
    pub(crate) prior: RealtimeTokenStatus,
    /// The Secret, as the watch and our own writes show it.
    pub(crate) target: TargetState,
    /// Hash of the labels, annotations, owner and connection that the Secret should have.
    pub(crate) metadata_hash: String,
    /// Where tokens on request are asked for. Of no interest without `spec.requests`.
    pub(crate) endpoint: RequestsEndpoint,
    /// What the token should be minted from, or why it can't be minted.
    pub(crate) inputs: Result<MintInputs, Blocked>,
    pub(crate) now: Timestamp,
}

impl Observation<'_> {
    /// The RealtimeToken's uid, from which jitter and backoff are drawn.
    pub(crate) fn uid(&self) -> &str {
        self.token.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Whether the Secret is only to say where to ask for tokens, so that none is minted on a schedule.
    pub(crate) fn wants_connection(&self) -> bool {
        self.token.spec.target.content == TargetContent::Connection
    }

    /// Whether the Secret only says where to ask for tokens, and no other writer has changed that.
    pub(crate) fn holds_connection(&self) -> bool {
        match &self.target {
            TargetState::Ours(stored) => stored.content == TargetContent::Connection && stored.intact,
            TargetState::Absent | TargetState::Foreign(_) => false,
        }
    }

    /// Whether it is not known yet where tokens on request are asked for: what the Secret says of it stays.
    pub(crate) fn has_unknown_endpoint(&self) -> bool {
        self.token.spec.requests.is_some() && self.endpoint == RequestsEndpoint::Unknown
    }

    pub(crate) fn issued(&self) -> Option<&Issued> {
        self.target.issued()
    }

    pub(crate) fn schedule(&self) -> Option<Schedule> {
        let issued = self.issued()?;
        Some(self.schedule_of(issued.issued_at, issued.usable_until))
    }

    /// The schedule of any token of this RealtimeToken.
    pub(crate) fn schedule_of(&self, issued_at: Timestamp, usable_until: Timestamp) -> Schedule {
        schedule::plan(&self.token.spec.renewal, self.uid(), issued_at, usable_until)
    }
}
