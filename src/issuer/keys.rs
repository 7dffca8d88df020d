//! Where keys come from: key Secrets and exchanges of a cluster, or this machine.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::Issuer;
use super::access_tokens::AccessTokens;
use crate::api::SecretField;
use crate::cluster::Name;
use crate::cluster::credentials::Credentials;
use crate::mint::Credential;
use crate::token::Blocked;

/// The key of the only credential, in files or variables of this machine.
pub(crate) trait LocalKeys: Send + Sync {
    /// The values and their revision, or what is missing and where it is looked for.
    fn read(&self, fields: &'static [SecretField]) -> Result<(Credential, String), Blocked>;
}

#[allow(clippy::large_enum_variant, reason = "there is one in a process")]
pub(super) enum Keys {
    OfCluster {
        credentials: Credentials,
        access_tokens: AccessTokens,
    },
    Local(Arc<dyn LocalKeys>),
}

impl Keys {
    /// Drops what is no longer used.
    pub(super) fn tidy(&self, now: Timestamp) {
        if let Self::OfCluster {
            credentials,
            access_tokens,
        } = self
        {
            credentials.tidy();
            access_tokens.tidy(now);
        }
    }
}

impl Issuer {
    /// The receiver gets the name of each key Secret that changes, in place of an earlier receiver.
    pub(crate) fn subscribe_to_keys(&self) -> mpsc::UnboundedReceiver<Name> {
        match &self.keys {
            Keys::OfCluster { credentials, .. } => credentials.subscribe(),
            Keys::Local(_) => mpsc::unbounded_channel().1,
        }
    }

    /// Of how many key Secrets values are in memory.
    #[cfg(test)]
    pub(crate) async fn kept_values(&self) -> usize {
        match &self.keys {
            Keys::OfCluster { credentials, .. } => credentials.kept_values().await,
            Keys::Local(_) => 0,
        }
    }
}
