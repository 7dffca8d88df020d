//! The values of a key Secret, by what a provider needs them for.

use std::collections::BTreeMap;

use secrecy::SecretString;

use crate::api::SecretField;

/// The values of a key Secret, each by the key of its [`SecretField`].
#[derive(Clone, Debug, Default)]
pub struct Credential {
    values: BTreeMap<&'static str, SecretString>,
}

impl Credential {
    pub fn new(values: impl IntoIterator<Item = (&'static str, SecretString)>) -> Self {
        Self {
            values: values.into_iter().collect(),
        }
    }

    pub(crate) fn get(&self, field: &SecretField) -> Option<&SecretString> {
        self.values.get(field.key)
    }

    /// All values, for scrubbing error messages and for the credential's revision.
    pub(crate) fn values(&self) -> impl Iterator<Item = &SecretString> {
        self.values.values()
    }
}
