//! What happens to a RealtimeToken, and what follows from it.

use jiff::Timestamp;

use crate::api::RealtimeTokenStatus;
use crate::token::backoff::{MintFailures, WriteFailures};
use crate::token::schedule::Swap;
use crate::token::secret::Issued;
use crate::token::{Blocked, MintError, MintInputs, Minted, Observation, Trigger, UnstoredToken};

/// What happens to a RealtimeToken.
#[derive(Debug)]
pub enum Event<'a> {
    /// A reconcile has looked at the cluster.
    Looked(&'a Observation<'a>),
    /// The credential's budget lets the mint go ahead.
    MintStarted(Box<Pending>),
    /// The credential's budget makes the mint wait.
    MintDeferred {
        /// What was seen.
        seen: &'a Observation<'a>,
        /// The limit that holds it back, if it isn't just other mints.
        limit: Option<Limit>,
    },
    /// The mint has ended.
    MintEnded {
        /// How.
        end: MintEnd,
        /// The clock.
        now: Timestamp,
    },
    /// A write of the Secret has ended.
    WriteEnded {
        /// What was seen, the answer to the write included.
        seen: &'a Observation<'a>,
        /// What was written.
        order: Order,
        /// How.
        end: WriteEnd,
    },
    /// The status was written.
    StatusWritten(Box<WrittenStatus>),
}

/// A limit on a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// When it is over.
    pub until: Timestamp,
    /// The key, as the owner of the RealtimeToken knows it.
    pub key: String,
}

/// How a mint ended.
#[derive(Debug)]
pub enum MintEnd {
    /// With a token.
    Minted {
        /// The token.
        minted: Minted,
        /// The revision of the key that it was minted with.
        credential_revision: String,
    },
    /// The provider, or the way to it, failed.
    Failed(MintError),
    /// The key is not there any more. The next look says so.
    CredentialGone,
}

/// How a write of the Secret ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteEnd {
    /// It was written.
    Written,
    /// The Secret had changed meanwhile, or was gone: nothing was written.
    Outdated,
    /// The API server refused.
    Refused {
        /// What is wrong, for the conditions.
        message: String,
    },
    /// The API server could not be asked, or did not answer.
    Unavailable {
        /// What is wrong, for the conditions.
        message: String,
    },
    /// `target.template` can't be rendered with this token.
    Unrenderable(Blocked),
}

/// A mint under way: what its end is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What the token is minted from.
    pub inputs: MintInputs,
    /// The end of the current token's life, if there is one.
    pub usable_until: Option<Timestamp>,
    /// Until when its successor must be stored to keep the floor.
    pub swap_by: Option<Timestamp>,
    /// Hash of the current token, where only another one will do.
    pub content_hash: Option<String>,
}

/// A write of the Secret.
#[derive(Clone, Debug)]
pub enum Order {
    /// A token with its annotations.
    Store(Box<StoreOrder>),
    /// Labels, annotations and owner; the data stays.
    Relabel {
        /// When the token in the Secret is due.
        renewal_time: Option<Timestamp>,
    },
}

/// A token to be written.
#[derive(Clone, Debug)]
pub struct StoreOrder {
    /// Why it was minted.
    pub trigger: Trigger,
    /// The token.
    pub token: UnstoredToken,
    /// Counts the tokens.
    pub revision: i64,
    /// When it is due.
    pub renewal_time: Timestamp,
    /// The token that it replaces.
    pub replaces: Option<Issued>,
}

/// What to do.
#[derive(Debug)]
pub enum Effect {
    /// Nothing: an event will come.
    Nothing,
    /// Look again at this time, or when something changes.
    Wait(Timestamp),
    /// Ask the credential's budget, then the provider.
    Mint {
        /// Why.
        trigger: Trigger,
        /// What the mint's end is compared with.
        pending: Box<Pending>,
        /// When the current token falls below its floor; `None` if there is no token.
        floor_time: Option<Timestamp>,
    },
    /// Write the Secret.
    Write(Order),
}

/// What goes on beside the token that is stored, for the status.
#[derive(Clone, Debug)]
pub enum Situation {
    /// The stored token is the one wanted.
    Settled,
    /// A mint is due and was not tried yet.
    Pending,
    /// Mints fail, or wait for a limit.
    MintFailing(MintFailures),
    /// Writes of the Secret fail.
    WriteFailing(WriteFailures),
    /// Nothing can be minted.
    Blocked(Blocked),
    /// `spec.suspend`.
    Suspended,
}

/// What was achieved, for Events, metrics and the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Why the token was minted.
    pub trigger: Trigger,
    /// Counts the tokens.
    pub revision: i64,
    /// How the swap for a token that was due went.
    pub swap: Option<Swap>,
}

/// What follows from an event.
#[derive(Debug)]
pub struct Step {
    /// What to do.
    pub effect: Effect,
    /// What the status should say; `None` leaves it as it is.
    pub situation: Option<Situation>,
    /// A token was stored.
    pub stored: Option<Stored>,
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
pub struct WrittenStatus {
    /// The object's resourceVersion after the write.
    pub version: String,
    /// The status.
    pub status: RealtimeTokenStatus,
    /// The annotation that asked for a renewal at the time.
    pub renew_request: Option<String>,
}
