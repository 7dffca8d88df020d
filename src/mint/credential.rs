//! What a provider is asked with: the values of a key Secret, by what it needs them for, or an access token.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::api::SecretField;

/// The values of a key Secret, each by the key of its [`SecretField`], or an access token in place of the only one.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    values: BTreeMap<&'static str, SecretString>,
    is_access_token: bool,
}

impl Credential {
    pub fn new(values: impl IntoIterator<Item = (&'static str, SecretString)>) -> Self {
        Self {
            values: values.into_iter().collect(),
            is_access_token: false,
        }
    }

    /// An access token in place of the key.
    pub(crate) fn access_token(key: &SecretField, token: SecretString) -> Self {
        Self {
            is_access_token: true,
            ..Self::new([(key.key, token)])
        }
    }

    pub(crate) const fn is_access_token(&self) -> bool {
        self.is_access_token
    }

    pub(crate) fn get(&self, field: &SecretField) -> Option<&SecretString> {
        self.values.get(field.key)
    }

    /// All values, for scrubbing error messages and for the credential's revision.
    pub(crate) fn values(&self) -> impl Iterator<Item = &SecretString> {
        self.values.values()
    }
}
