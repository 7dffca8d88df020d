//! A key Secret as it was read: its values for a minute, and hashes of them.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use super::KEEP;
use super::fetch::Fetched;
use crate::api::SecretField;
use crate::cluster::missing_key::Missing;
use crate::mint::Credential;
use crate::resolve::KeyRef;
use crate::token::hash;

/// The values of a Secret in sum that are kept after a mint. Those of a larger one are read for each.
const KEEP_BYTES: usize = 8 << 10;

pub(super) struct Read {
    at: Instant,
    /// `None` if there is no Secret.
    version: Option<String>,
    is_watched: bool,
    keys: Result<Keys, Missing>,
}

struct Keys {
    /// Dropped after a minute.
    values: Option<BTreeMap<String, SecretString>>,
    hashes: BTreeMap<String, String>,
}

impl Read {
    pub(super) fn new(fetched: Fetched) -> Self {
        let (version, is_watched, keys) = match fetched {
            Fetched::Secret {
                version,
                is_watched,
                values,
            } => (Some(version), is_watched, Ok(Keys::new(values))),
            // These are read again in a minute, whatever the watch shows.
            Fetched::OfType { version, type_ } => (Some(version), false, Err(Missing::OfType(type_))),
            Fetched::Absent => (None, false, Err(Missing::Secret)),
            Fetched::TooBig => (None, false, Err(Missing::TooBig)),
        };
        Self {
            at: Instant::now(),
            version,
            is_watched,
            keys,
        }
    }

    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    pub(super) const fn is_watched(&self) -> bool {
        self.is_watched
    }

    pub(super) fn age(&self) -> Duration {
        self.at.elapsed()
    }

    /// Whether a credential can be made of it: not of hashes alone, nor of values that are a minute old.
    pub(super) fn has_values(&self) -> bool {
        let has_values = |keys: &Keys| keys.values.is_some() && self.age() < KEEP;
        self.keys.as_ref().map_or(true, has_values)
    }

    #[cfg(test)]
    pub(super) fn keeps_values(&self) -> bool {
        self.keys.as_ref().is_ok_and(|keys| keys.values.is_some())
    }

    /// Drops the values if they are too old to be used again, or too large to be kept.
    pub(super) fn release(&mut self) {
        let is_old = self.age() >= KEEP;
        if let Ok(keys) = &mut self.keys {
            keys.values.take_if(|values| {
                let bytes: usize = values.values().map(|value| value.expose_secret().len()).sum();
                is_old || bytes > KEEP_BYTES
            });
        }
    }

    pub(super) fn revision(&self, key: &KeyRef, secret_fields: &[SecretField]) -> Result<String, Missing> {
        self.keys.as_ref().map_err(Missing::clone)?.revision(key, secret_fields)
    }

    pub(super) fn credential(
        &self,
        key: &KeyRef,
        secret_fields: &'static [SecretField],
    ) -> Result<(Credential, String), Missing> {
        let keys = self.keys.as_ref().map_err(Missing::clone)?;
        let revision = keys.revision(key, secret_fields)?;
        let values = fields(key, secret_fields)
            .filter_map(|(field, name)| Some((field.key, keys.values.as_ref()?.get(name)?.clone())));
        Ok((Credential::new(values), revision))
    }
}

impl Keys {
    fn new(values: BTreeMap<String, SecretString>) -> Self {
        let hashes = values
            .iter()
            .map(|(name, value)| (name.clone(), hash::credential_revision([value].into_iter())));
        Self {
            hashes: hashes.collect(),
            values: Some(values),
        }
    }

    fn revision(&self, key: &KeyRef, secret_fields: &[SecretField]) -> Result<String, Missing> {
        let hashes: Result<Vec<&str>, Missing> = fields(key, secret_fields)
            .map(|(_, name)| {
                let hash = self.hashes.get(name).map(String::as_str);
                hash.ok_or_else(|| self.missing(name))
            })
            .collect();
        Ok(hashes?.join("-"))
    }

    fn missing(&self, name: &str) -> Missing {
        let others: Vec<&str> = self.hashes.keys().map(String::as_str).take(20).collect();
        Missing::Key {
            name: name.to_owned(),
            others: others.join(", "),
        }
    }
}

/// The key of the Secret for each field: the first one's can be chosen, the others have their SDK's names.
fn fields<'a>(key: &'a KeyRef, secret_fields: &'a [SecretField]) -> impl Iterator<Item = (&'a SecretField, &'a str)> {
    let fields = secret_fields.iter().enumerate();
    fields.map(|(n, field)| (field, if n == 0 { key.key.as_str() } else { field.key }))
}
