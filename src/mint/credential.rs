//! The values of a key Secret, by what a provider needs them for.

use std::collections::BTreeMap;

use secrecy::SecretString;

/// A value that a provider needs from the key Secret.
#[derive(Debug, PartialEq, Eq)]
pub struct SecretField {
    /// The key in the Secret, unless `secretRef.key` names another.
    pub key: &'static str,
    /// The environment variable from which the provider's own SDK reads it.
    pub env: &'static str,
}

/// The values of a key Secret, by role.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    values: BTreeMap<&'static str, SecretString>,
}

impl Credential {
    /// A credential from values by role key.
    pub fn new(values: impl IntoIterator<Item = (&'static str, SecretString)>) -> Self {
        Self {
            values: values.into_iter().collect(),
        }
    }

    /// The value of a role.
    #[must_use]
    pub fn get(&self, role: &SecretField) -> Option<&SecretString> {
        self.values.get(role.key)
    }

    /// All values, for scrubbing error messages and for the credential's revision.
    pub fn values(&self) -> impl Iterator<Item = &SecretString> {
        self.values.values()
    }
}
