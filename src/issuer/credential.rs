//! What a provider is asked with, wherever it comes from: a key Secret, or the exchange of a ServiceAccount's token.

use secrecy::SecretString;

use super::Issuer;
use super::keys::Keys;
use crate::api::SecretField;
use crate::cluster::ClusterError;
use crate::mint::Credential;
use crate::resolve::{CredentialRef, Identity};
use crate::token::{Blocked, MintError};

/// A credential, ready to ask a provider with.
pub(super) struct Obtained {
    pub(super) credential: Credential,
    pub(super) revision: String,
    /// The access token, if it is one, and whose.
    access_token: Option<(Identity, SecretString)>,
    /// Whether that is from an earlier exchange, and so may have been revoked since.
    is_reused: bool,
}

/// Why there is no credential.
pub(super) enum NotObtained {
    /// Secret or key are gone.
    Gone(Blocked),
    /// The key Secret can't be read now.
    Unreadable(ClusterError),
    /// No access token was to be had.
    Exchange(MintError),
}

impl Issuer {
    /// The revision of a credential, without a request if its Secret has not changed since it was last read.
    pub(crate) async fn revision(
        &self,
        credential: &CredentialRef,
        fields: &'static [SecretField],
    ) -> Result<Result<String, Blocked>, ClusterError> {
        match (&self.keys, credential) {
            (Keys::Local(keys), _) => Ok(keys.read(fields).map(|(_, revision)| revision)),
            (Keys::OfCluster { credentials, .. }, CredentialRef::Key(key)) => credentials.revision(key, fields).await,
            (_, CredentialRef::Identity(identity)) => Ok(Ok(identity.revision())),
        }
    }

    pub(super) async fn obtain(
        &self,
        credential: &CredentialRef,
        fields: &'static [SecretField],
    ) -> Result<Obtained, NotObtained> {
        let key = |(credential, revision)| Obtained {
            credential,
            revision,
            access_token: None,
            is_reused: false,
        };
        let (identity, access_tokens) = match (&self.keys, credential) {
            (Keys::Local(keys), _) => return keys.read(fields).map(key).map_err(NotObtained::Gone),
            (Keys::OfCluster { credentials, .. }, CredentialRef::Key(reference)) => {
                let read = credentials.credential(reference, fields).await;
                return read
                    .map_err(NotObtained::Unreadable)?
                    .map(key)
                    .map_err(NotObtained::Gone);
            }
            (Keys::OfCluster { access_tokens, .. }, CredentialRef::Identity(identity)) => (identity, access_tokens),
        };
        let no_field = || NotObtained::Exchange(MintError::internal("the provider takes no key"));
        let field = fields.first().ok_or_else(no_field)?;
        let (token, is_reused) = access_tokens.get(identity).await.map_err(NotObtained::Exchange)?;
        Ok(Obtained {
            credential: Credential::access_token(field, token.clone()),
            revision: identity.revision(),
            access_token: Some((identity.clone(), token)),
            is_reused,
        })
    }

    /// Drops an access token that the provider refused. Returns whether another may do: one that was exchanged just now
    /// is refused for a reason that another exchange doesn't change.
    pub(super) fn drop_refused(&self, obtained: &Obtained) -> bool {
        if let (Some((identity, token)), Keys::OfCluster { access_tokens, .. }) = (&obtained.access_token, &self.keys) {
            access_tokens.remove(identity, token);
        }
        obtained.is_reused
    }
}
