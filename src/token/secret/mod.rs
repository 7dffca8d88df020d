//! The target Secret, as far as it can be known without a client: what its metadata says, and what it should hold.
//!
//! `view` reads metadata (with `annotations` and `managed_fields`), `desired` says what the metadata should be,
//! `content` renders a token (with `template`), `connection` says where to ask for one. Writing is `cluster::target`'s.

pub mod annotations;
mod connection;
pub(crate) mod content;
mod desired;
mod managed_fields;
pub(crate) mod template;
mod view;

use jiff::Timestamp;

pub use self::connection::Connection;
pub(crate) use self::connection::RequestsEndpoint;
pub use self::content::token_json;
pub(crate) use self::content::{Content, content_hash, data};
pub(crate) use self::desired::SecretMetadata;
pub(crate) use self::desired::{desired_metadata, owners};
pub(crate) use self::managed_fields::owned_metadata;
pub(crate) use self::view::{Meta, SecretView};
use super::MintInputs;
use crate::api::TargetContent;

/// The target Secret, as far as its metadata shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TargetState {
    Absent,
    /// It has another owner, named here, and is never touched.
    Foreign(String),
    Ours(Box<Stored>),
}

/// A Secret of ours, read from metadata alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    /// `metadata.uid`, a precondition of the next write.
    pub(crate) uid: String,
    /// `metadata.resourceVersion`, a precondition of the next write.
    pub(crate) resource_version: String,
    /// The token in it; `None` if the annotations are damaged.
    pub(crate) issued: Option<Issued>,
    /// What it was written to hold.
    pub(crate) content: TargetContent,
    /// Whether every key of the data that its content has is still as we wrote it.
    pub(crate) intact: bool,
    /// Hash of labels, annotations, owner and connection as we last wrote them; `None` if one of them is damaged.
    pub(crate) metadata_hash: Option<String>,
    /// The renewal time as we last wrote it.
    pub(crate) renewal_time: Option<Timestamp>,
    /// What is not as we write it, as part of a sentence; another writer or an admission policy changed it.
    pub(crate) damage: Option<String>,
}

/// A stored token, as the Secret's annotations describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    /// When the token was asked for, by our clock.
    pub(crate) issued_at: Timestamp,
    /// The end of its usable life, by our clock.
    pub(crate) usable_until: Timestamp,
    /// The end of its usable life as published, by the provider's clock.
    pub(crate) expires_at: Timestamp,
    pub(crate) revision: i64,
    pub(crate) inputs: MintInputs,
    /// Hash of its token.json.
    pub(crate) content_hash: String,
}

impl TargetState {
    /// The uid of our Secret.
    pub(crate) fn uid(&self) -> Option<&str> {
        match self {
            Self::Ours(stored) => Some(&stored.uid),
            Self::Absent | Self::Foreign(_) => None,
        }
    }

    pub(crate) fn issued(&self) -> Option<&Issued> {
        match self {
            Self::Ours(stored) => stored.issued.as_ref(),
            Self::Absent | Self::Foreign(_) => None,
        }
    }
}
