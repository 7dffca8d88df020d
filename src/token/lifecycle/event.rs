//! What happens to a RealtimeToken, and what follows from it.

use jiff::{SignedDuration, Timestamp};

use crate::api::{RealtimeTokenStatus, Reason};
use crate::token::backoff::{MintFailures, WriteFailures};
use crate::token::schedule::Swap;
use crate::token::secret::Issued;
use crate::token::{Blocked, MintError, MintInputs, Minted, Observation, Trigger, UnstoredToken};

/// What happens to a RealtimeToken.
#[derive(Debug)]
pub(crate) enum Event<'a> {
    /// A reconcile has looked at the cluster.
    Looked(&'a Observation<'a>),
    MintStarted(Box<Pending>),
    MintDeferred {
        seen: &'a Observation<'a>,
        /// The limit that holds it back, if it isn't just other mints.
        limit: Option<Limit>,
    },
    MintEnded {
        end: MintEnd,
        /// While the provider is out of order: when this RealtimeToken is to be tried again at the earliest, should the
        /// mint have failed.
        slot: Option<Timestamp>,
        now: Timestamp,
    },
    /// The credential's budget says that this is the time to try, if only time was missing: a provider that was out of
    /// order is back, or a slot has come.
    SlotCame {
        now: Timestamp,
    },
    /// The Kubernetes API, which was away, answers again.
    ApiAnswered {
        now: Timestamp,
    },
    WriteEnded {
        /// What was seen, the answer to the write included.
        seen: &'a Observation<'a>,
        order: Order,
        end: WriteEnd,
    },
    StatusWritten(Box<WrittenStatus>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) until: Timestamp,
    /// The key, as the owner of the RealtimeToken knows it.
    pub(crate) key: String,
    /// [`Reason::QuotaExhausted`], [`Reason::ProviderUnavailable`] or [`Reason::RateLimited`].
    pub(crate) reason: Reason,
}

#[derive(Debug)]
pub(crate) enum MintEnd {
    Minted {
        minted: Minted,
        credential_revision: String,
    },
    /// The provider, or the way to it, failed.
    Failed(MintError),
    /// The key is not there any more, or the mint was not begun. The next look says what is to be done.
    NotAsked,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteEnd {
    Written,
    /// The Secret had changed meanwhile, or was gone: nothing was written.
    Outdated,
    Refused {
        /// [`Reason::SecretWriteFailed`], or what it is in particular.
        reason: Reason,
        message: String,
    },
    /// The API server could not be asked, or did not answer.
    Unavailable {
        message: String,
    },
    /// `target.template` can't be rendered with this token.
    Unrenderable(Blocked),
}

/// A mint under way: what its end is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) inputs: MintInputs,
    /// The end of the current token's life, if there is one.
    pub(crate) usable_until: Option<Timestamp>,
    /// Until when its successor must be stored to keep the floor.
    pub(crate) swap_by: Option<Timestamp>,
    /// Hash of the current token, where only another one will do.
    pub(crate) content_hash: Option<String>,
}

#[derive(Clone, Debug)]
pub(crate) enum Order {
    Store(Box<StoreOrder>),
    /// Labels, annotations, owner and connection; a token stays.
    Relabel {
        renewal_time: Option<Timestamp>,
        /// Whether they were so before: another writer has changed them.
        again: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct StoreOrder {
    pub(crate) trigger: Trigger,
    pub(crate) token: UnstoredToken,
    pub(crate) revision: i64,
    pub(crate) renewal_time: Timestamp,
    pub(crate) replaces: Option<Issued>,
}

#[derive(Debug)]
pub(crate) enum Effect {
    /// Nothing: an event will come.
    Nothing,
    /// Look again at this time, or when something changes.
    Wait(Timestamp),
    /// Ask the credential's budget, then the provider.
    Mint {
        trigger: Trigger,
        pending: Box<Pending>,
    },
    Write(Order),
}

impl Effect {
    /// Whether there was a Secret, which is gone and is to be written anew.
    pub(crate) fn replaces_deleted_secret(&self) -> bool {
        match self {
            Self::Mint { trigger, .. } => *trigger == Trigger::SecretDeleted,
            Self::Write(Order::Store(order)) => order.trigger == Trigger::SecretDeleted,
            Self::Nothing | Self::Wait(_) | Self::Write(Order::Relabel { .. }) => false,
        }
    }

    /// How long nothing is to be done, if that is known.
    pub(crate) fn wait(&self, now: Timestamp) -> Option<SignedDuration> {
        match self {
            Self::Wait(until) => Some(until.duration_since(now)),
            Self::Nothing | Self::Mint { .. } | Self::Write(_) => None,
        }
    }
}

/// What goes on beside the token that is stored, for the status.
#[derive(Clone, Debug)]
pub(crate) enum Situation {
    /// The stored token is the one wanted.
    Settled,
    /// A mint is due and was not tried yet.
    Pending,
    /// Mints fail, or wait for a limit.
    MintFailing(MintFailures),
    WriteFailing(WriteFailures),
    Blocked(Blocked),
    Suspended,
}

/// What was achieved, for Events, metrics and the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredReport {
    pub(crate) trigger: Trigger,
    pub(crate) revision: i64,
    pub(crate) swap: Option<Swap>,
}

#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) effect: Effect,
    /// What the status should say; `None` leaves it as it is.
    pub(crate) situation: Option<Situation>,
    pub(crate) stored: Option<StoredReport>,
}

impl Step {
    pub(super) fn of(effect: Effect) -> Self {
        Self {
            effect,
            situation: None,
            stored: None,
        }
    }

    pub(super) fn reporting(self, situation: Situation) -> Self {
        Self {
            situation: Some(situation),
            ..self
        }
    }
}

/// A status that the watch may not have shown yet.
#[derive(Clone, Debug)]
pub(crate) struct WrittenStatus {
    /// The object's resourceVersion after the write.
    pub(crate) version: String,
    pub(crate) status: RealtimeTokenStatus,
    /// The annotation that asked for a renewal at the time.
    pub(crate) renew_request: Option<String>,
    pub(crate) at: Timestamp,
}
