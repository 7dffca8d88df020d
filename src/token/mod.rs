//! The pure core: what is known of a token, what to do next, and what to say about it.
//!
//! No Kubernetes client, no async, no I/O, no clock: time is an argument. A test holds these files to that.

pub mod backoff;
pub mod decide;
pub mod hash;
pub mod metadata;
mod minted;
pub mod report;
pub(crate) mod resource_version;
pub mod schedule;
pub mod secret;
pub mod template;

use jiff::Timestamp;

pub use self::minted::{MintError, Minted};

use crate::api::{Reason, Renewal};

/// Everything that [`decide::decide`] looks at.
#[derive(Clone, Debug)]
pub struct Observed<'a> {
    /// The RealtimeToken's uid, the seed of its jitter.
    pub uid: &'a str,
    /// `spec.suspend`.
    pub suspended: bool,
    /// `spec.renewal`.
    pub renewal: &'a Renewal,
    /// The Secret, as the watch and our own writes show it.
    pub target: &'a TargetState,
    /// Hash of the labels, annotations and owner that the Secret should have.
    pub metadata_hash: &'a str,
    /// What the token should be, or why there can't be one.
    pub wanted: Result<Wanted<'a>, &'a Blocked>,
    /// The mints that failed since the last success.
    pub attempts: Option<&'a Attempts>,
    /// A token in memory: minted and not stored, or stored a moment ago.
    pub held: Option<&'a Held>,
    /// When this RealtimeToken's last token was asked for.
    pub last_mint: Option<Timestamp>,
    /// Whether this RealtimeToken ever had a token.
    pub issued_before: bool,
    /// The clock, read once per reconcile.
    pub now: Timestamp,
}

/// What a token must match to be left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// Hash of the spec's fields that make the token.
    pub fingerprint: &'a str,
    /// Hash of the key.
    pub credential_revision: &'a str,
    /// The annotation that asks for a new token, if there is one.
    pub renew_request: Option<&'a str>,
}

/// Why nothing can be minted, until somebody changes something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Blocked {
    /// The reason of the condition.
    pub reason: Reason,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl Blocked {
    /// A reason with its message.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }
}

/// The target Secret, as far as its metadata tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    /// There is none.
    Absent,
    /// It belongs to somebody else, named here, and is never touched.
    Foreign(String),
    /// It is ours.
    Ours(Box<Stored>),
}

/// A Secret of ours, read from metadata alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// `metadata.uid`, a precondition of the next write.
    pub uid: String,
    /// `metadata.resourceVersion`, a precondition of the next write.
    pub resource_version: String,
    /// The token in it; `None` if the annotations are damaged.
    pub issued: Option<Issued>,
    /// Whether every key is still as we wrote it.
    pub intact: bool,
    /// Hash of labels, annotations and owner as we last wrote them; `None` if one of them is damaged.
    pub metadata_hash: Option<String>,
    /// The renewal time as we last wrote it.
    pub renewal_time: Option<Timestamp>,
}

/// A stored token, as the Secret's annotations tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// When the token was asked for, by our clock.
    pub issued_at: Timestamp,
    /// The end of its usable life, by our clock.
    pub usable_until: Timestamp,
    /// The end of its usable life as published, by the provider's clock.
    pub expires_at: Timestamp,
    /// Counts the tokens.
    pub revision: i64,
    /// [`Wanted::fingerprint`] at the mint.
    pub fingerprint: String,
    /// [`Wanted::credential_revision`] at the mint.
    pub credential_revision: String,
    /// [`Wanted::renew_request`] at the mint.
    pub renew_request: Option<String>,
}

/// A token in memory, with what it was minted for.
#[derive(Clone, Debug)]
pub struct Held {
    /// The token.
    pub minted: Minted,
    /// [`Wanted::fingerprint`] at the mint.
    pub fingerprint: String,
    /// [`Wanted::credential_revision`] at the mint.
    pub credential_revision: String,
    /// [`Wanted::renew_request`] at the mint.
    pub renew_request: Option<String>,
    /// The revision under which it was stored, once it was.
    pub revision: Option<i64>,
}

/// Mints that failed since the last success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempts {
    /// How many.
    pub failed: u32,
    /// When the last one failed.
    pub last: Timestamp,
    /// Not before this time, unless what was asked changes.
    pub next: Timestamp,
    /// What was asked, to notice a change; `None` after a restart.
    pub asked: Option<String>,
    /// The reason of the conditions.
    pub reason: Reason,
    /// The message of the conditions.
    pub message: String,
}

/// Why a token is minted. Nothing else mints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    /// The first token of a RealtimeToken.
    FirstIssue,
    /// The renewal time has come.
    Due,
    /// The spec asks for another token.
    SpecChanged,
    /// The annotation asks for one.
    Forced,
    /// The key Secret's data changed.
    CredentialChanged,
    /// The Secret was deleted.
    SecretDeleted,
    /// The Secret's data was edited.
    SecretEdited,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing before this time.
    Wait {
        /// Strictly in the future.
        until: Timestamp,
        /// What is waited for.
        why: WaitReason,
    },
    /// Ask the provider for a token.
    Mint(Trigger),
    /// Write the token in memory.
    Store(Trigger),
    /// Write the Secret's labels, annotations and owner; its data stays.
    Relabel,
    /// Nothing until somebody changes something.
    Blocked(Blocked),
}

/// What a [`Decision::Wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitReason {
    /// The renewal time.
    Fresh,
    /// The next attempt after a failure.
    Backoff,
    /// The smallest distance between two mints.
    MinInterval,
    /// `spec.suspend`.
    Suspended,
}
