//! The target Secret, as far as it can be known without a client: what its metadata says, and what it should hold.
//!
//! `view` reads metadata (with `annotations` and `managed_fields`), `desired` says what the metadata should be,
//! `content` renders a token (with `template`). Writing is `cluster::target`'s.

pub mod annotations;
pub mod content;
mod desired;
mod managed_fields;
pub mod template;
mod view;

use jiff::Timestamp;

pub(crate) use self::content::content_hash;
pub use self::content::{Content, token_json};
pub use self::desired::SecretMetadata;
pub(crate) use self::desired::{desired_metadata, owners};
pub(crate) use self::managed_fields::owned_metadata;
pub use self::view::{Meta, SecretView};
use super::MintInputs;

/// The target Secret, as far as its metadata shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetState {
    Absent,
    /// It has another owner, named here, and is never touched.
    Foreign(String),
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
    /// Whether every key of the data is still as we wrote it.
    pub intact: bool,
    /// Hash of labels, annotations and owner as we last wrote them; `None` if one of them is damaged.
    pub metadata_hash: Option<String>,
    /// The renewal time as we last wrote it.
    pub renewal_time: Option<Timestamp>,
}

/// A stored token, as the Secret's annotations describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// When the token was asked for, by our clock.
    pub issued_at: Timestamp,
    /// The end of its usable life, by our clock.
    pub usable_until: Timestamp,
    /// The end of its usable life as published, by the provider's clock.
    pub expires_at: Timestamp,
    pub revision: i64,
    pub inputs: MintInputs,
    /// Hash of its token.json.
    pub content_hash: String,
}

impl TargetState {
    pub fn issued(&self) -> Option<&Issued> {
        match self {
            Self::Ours(stored) => stored.issued.as_ref(),
            Self::Absent | Self::Foreign(_) => None,
        }
    }
}
