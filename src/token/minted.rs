//! What a mint comes to: a token, or an error by what helps.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::MintInputs;
use crate::api::Reason;

/// How long a credential is left alone if the provider limits it without saying for how long.
const UNSTATED_LIMIT: SignedDuration = SignedDuration::from_secs(10);
/// How long a credential without credit or quota is left alone: at most 15 calls an hour, and all of its tokens are
/// minted within that time once the account is topped up.
const QUOTA_PROBE: SignedDuration = SignedDuration::from_mins(4);

/// A token that was minted and not yet stored.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The provider's name as consumers get to see it.
    pub provider: Cow<'static, str>,
    pub value: SecretString,
    /// When the request was sent, by our clock.
    pub issued_at: Timestamp,
    /// Until when the token can start a session, by our clock.
    pub usable_until: Timestamp,
    /// The same instant by the provider's clock: what consumers get to see.
    pub expires_at: Timestamp,
    /// TanStack's `config`.
    pub config: Map<String, Value>,
    /// More keys of the Secret.
    pub outputs: BTreeMap<Cow<'static, str>, SecretString>,
}

impl Minted {
    /// Whether it can start a session for so many seconds yet.
    pub(crate) fn is_usable_for(&self, seconds: i64, now: Timestamp) -> bool {
        self.usable_until.duration_since(now) >= SignedDuration::from_secs(seconds)
    }
}

/// A mint that failed, by what helps: another spec or key, time that the provider names, or just time.
///
/// The messages are ours. They hold the status code and, for built-in hosts, the provider's error code and a scrubbed
/// and cut message; never the key, a token, or a raw body.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum MintError {
    /// The provider won't grant this: asking again changes nothing until the spec or the credential does.
    #[error("{message}")]
    Rejected {
        /// Whether the key is what the provider refuses.
        credential: bool,
        message: String,
    },
    /// There is nothing to ask the provider with.
    #[error("{message}")]
    NoCredential { message: String },
    #[error("{message}")]
    Throttled {
        /// How long to leave the credential alone, if the provider said so; already capped.
        retry_after: Option<SignedDuration>,
        message: String,
    },
    /// The account of the key has no credit left or has reached a limit that only a person raises. Holds for every
    /// token of the credential.
    #[error("{message}")]
    QuotaExhausted { message: String },
    /// The operator itself failed. The provider is not to blame.
    #[error("{message}")]
    Internal { message: String },
    /// The provider, or the way to it, is out of order.
    #[error("{message}")]
    Unavailable {
        /// How long to leave the provider alone, if it said so; already capped. For this token only.
        retry_after: Option<SignedDuration>,
        message: String,
    },
}

impl MintError {
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Rejected { credential: true, .. } => Reason::CredentialRejected,
            Self::NoCredential { .. } => Reason::CredentialNotFound,
            Self::Throttled { .. } => Reason::RateLimited,
            Self::QuotaExhausted { .. } => Reason::QuotaExhausted,
            Self::Unavailable { .. } => Reason::ProviderUnavailable,
            Self::Rejected { credential: false, .. } | Self::Internal { .. } => Reason::MintFailed,
        }
    }

    /// Whether another credential is what helps.
    pub(crate) const fn is_of_credential(&self) -> bool {
        matches!(
            self,
            Self::Rejected { credential: true, .. } | Self::NoCredential { .. }
        )
    }

    /// The key is not one that the provider takes.
    pub(crate) fn wrong_key(message: impl Into<String>) -> Self {
        Self::Rejected {
            credential: true,
            message: message.into(),
        }
    }

    /// The same error in other words.
    pub(crate) fn with_message(mut self, words: String) -> Self {
        let (Self::Rejected { message, .. }
        | Self::NoCredential { message }
        | Self::Throttled { message, .. }
        | Self::QuotaExhausted { message }
        | Self::Internal { message }
        | Self::Unavailable { message, .. }) = &mut self;
        *message = words;
        self
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::Internal {
            message: message.into(),
        }
    }

    /// Out of order, without a word on how long.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable {
            retry_after: None,
            message: message.into(),
        }
    }

    /// For how long the provider limits the credential, if it does.
    pub(crate) fn limit(&self) -> Option<SignedDuration> {
        match self {
            Self::Throttled { retry_after, .. } => Some(retry_after.unwrap_or(UNSTATED_LIMIT)),
            Self::QuotaExhausted { .. } => Some(QUOTA_PROBE),
            Self::Rejected { .. } | Self::NoCredential { .. } | Self::Internal { .. } | Self::Unavailable { .. } => {
                None
            }
        }
    }
}

/// A token in memory, with what it was minted from. It stays until its write has landed, and a little longer.
#[derive(Clone, Debug)]
pub(crate) struct UnstoredToken {
    pub(crate) minted: Minted,
    pub(crate) inputs: MintInputs,
    /// The revision under which it was stored, once it was.
    pub(crate) revision: Option<i64>,
    /// Whether the Secret holds it, as far as is known.
    pub(crate) stored: bool,
}
