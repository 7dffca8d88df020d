//! The key Secrets: the only full read of a Secret in the operator.
//!
//! Each is watched by name, as metadata. Its data is read when a mint needs it, once for all tokens of the credential,
//! and kept for a minute at most; what stays is a hash by which a changed key is noticed.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use parking_lot::Mutex;
use secrecy::SecretString;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::{ClusterError, Name, bounded};
use crate::api::{Reason, SecretField};
use crate::mint::Credential;
use crate::resolve::KeyRef;
use crate::token::{Blocked, hash};

/// How long a key's value may stay in memory.
const KEEP: Duration = Duration::from_secs(60);
/// How long a watch outlives the last look at its Secret. Every RealtimeToken looks at least every five minutes.
const IDLE: Duration = Duration::from_secs(15 * 60);

/// All key Secrets in use.
pub struct Credentials {
    client: Client,
    secrets: Mutex<HashMap<Name, Arc<KeySecret>>>,
    changed: mpsc::UnboundedSender<Name>,
}

struct KeySecret {
    state: watch::Receiver<State>,
    read: tokio::sync::Mutex<Option<Read>>,
    looked_at: Mutex<Instant>,
    _watch: AbortOnDropHandle<()>,
}

/// What the watch shows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Absent,
    Present { version: String },
    Unreadable(String),
}

struct Read {
    version: String,
    at: Instant,
    /// Gone after a minute.
    values: Option<BTreeMap<String, SecretString>>,
    hashes: BTreeMap<String, String>,
}

impl Credentials {
    /// No Secret is watched yet. `changed` gets the name of each key Secret that changes.
    #[must_use]
    pub fn new(client: Client, changed: mpsc::UnboundedSender<Name>) -> Self {
        Self {
            client,
            secrets: Mutex::default(),
            changed,
        }
    }

    /// The revision of a credential, from memory if the Secret has not changed since it was last read.
    ///
    /// # Errors
    /// The outer one if the API server can't be asked, the inner one if the Secret or the key isn't there.
    pub async fn revision(
        &self,
        key: &KeyRef,
        secret_fields: &[SecretField],
    ) -> Result<Result<String, Blocked>, ClusterError> {
        let secret = self.watched(&Name::new(&key.namespace, &key.name));
        let version = match secret.settled().await {
            Ok(version) => version,
            Err(blocked) => return Ok(Err(blocked.at(key))),
        };
        let mut read = secret.read.lock().await;
        if read.as_ref().is_none_or(|read| read.version != version) {
            match self.read(key).await {
                Ok(fresh) => *read = Some(fresh),
                Err(ClusterError::NotFound) => return Ok(Err(Missing::Secret.at(key))),
                Err(error) => return Err(error),
            }
        }
        Ok(read.as_ref().map_or_else(
            || Err(Missing::Secret.at(key)),
            |read| read.revision(key, secret_fields),
        ))
    }

    /// The credential itself with its revision, read anew if the last read is more than a minute ago.
    ///
    /// # Errors
    /// As [`Self::revision`].
    pub async fn credential(
        &self,
        key: &KeyRef,
        secret_fields: &'static [SecretField],
    ) -> Result<Result<(Credential, String), Blocked>, ClusterError> {
        let secret = self.watched(&Name::new(&key.namespace, &key.name));
        let version = match secret.settled().await {
            Ok(version) => version,
            Err(blocked) => return Ok(Err(blocked.at(key))),
        };
        let mut read = secret.read.lock().await;
        let usable = |read: &Read| read.version == version && read.values.is_some() && read.at.elapsed() < KEEP;
        if !read.as_ref().is_some_and(usable) {
            match self.read(key).await {
                Ok(fresh) => *read = Some(fresh),
                Err(ClusterError::NotFound) => {
                    *read = None; // or the revision would still be there, and the mint be ordered again
                    return Ok(Err(Missing::Secret.at(key)));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(read.as_ref().map_or_else(
            || Err(Missing::Secret.at(key)),
            |read| read.credential(key, secret_fields),
        ))
    }

    /// Drops values that were kept long enough and watches that nobody looks at. To be called every few seconds.
    pub async fn tidy(&self) {
        let secrets: Vec<Arc<KeySecret>> = {
            let mut secrets = self.secrets.lock();
            secrets.retain(|_, secret| secret.looked_at.lock().elapsed() < IDLE);
            secrets.values().cloned().collect()
        };
        for secret in secrets {
            if let Some(read) = secret.read.lock().await.as_mut()
                && read.at.elapsed() >= KEEP
            {
                read.values = None;
            }
        }
    }

    fn watched(&self, name: &Name) -> Arc<KeySecret> {
        let mut secrets = self.secrets.lock();
        let secret = secrets.entry(name.clone()).or_insert_with(|| {
            let (sender, state) = watch::channel(State::Unknown);
            let follow = follow(self.client.clone(), name.clone(), sender, self.changed.clone());
            Arc::new(KeySecret {
                state,
                read: tokio::sync::Mutex::default(),
                looked_at: Mutex::new(Instant::now()),
                _watch: AbortOnDropHandle::new(tokio::spawn(follow)),
            })
        });
        *secret.looked_at.lock() = Instant::now();
        Arc::clone(secret)
    }

    async fn read(&self, key: &KeyRef) -> Result<Read, ClusterError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let secret = bounded(api.get(&key.name)).await?;
        let values: BTreeMap<String, SecretString> = secret
            .data
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, bytes)| {
                let text = String::from_utf8(bytes.0).ok()?;
                let value = text.trim();
                (!value.is_empty()).then(|| (name, SecretString::from(value)))
            })
            .collect();
        let hashes = values
            .iter()
            .map(|(name, value)| (name.clone(), hash::credential_revision([value].into_iter())));
        Ok(Read {
            version: secret.metadata.resource_version.unwrap_or_default(),
            at: Instant::now(),
            hashes: hashes.collect(),
            values: Some(values),
        })
    }
}

impl KeySecret {
    /// The Secret's resourceVersion, once the watch has shown the Secret or its absence.
    async fn settled(&self) -> Result<String, Missing> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| *state != State::Unknown);
        match tokio::time::timeout(super::REQUEST_TIMEOUT, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Present { version } => Ok(version.clone()),
                State::Absent => Err(Missing::Secret),
                State::Unreadable(problem) => Err(Missing::Unreadable(problem.clone())),
                State::Unknown => Err(Missing::Unreadable("not listed yet".to_owned())),
            },
            Ok(Err(_)) | Err(_) => Err(Missing::Unreadable("the API server does not answer".to_owned())),
        }
    }
}

impl Read {
    /// The Secret's key for a role: the first one's can be chosen, the others have their SDK's names.
    fn keys<'a>(key: &'a KeyRef, secret_fields: &'a [SecretField]) -> impl Iterator<Item = (&'a SecretField, &'a str)> {
        secret_fields
            .iter()
            .enumerate()
            .map(|(n, role)| (role, if n == 0 { key.key.as_str() } else { role.key }))
    }

    fn revision(&self, key: &KeyRef, secret_fields: &[SecretField]) -> Result<String, Blocked> {
        let mut hashes = Vec::with_capacity(secret_fields.len());
        for (_, name) in Self::keys(key, secret_fields) {
            hashes.push(
                self.hashes
                    .get(name)
                    .ok_or_else(|| self.missing(name).at(key))?
                    .as_str(),
            );
        }
        Ok(hashes.join("-"))
    }

    fn credential(&self, key: &KeyRef, secret_fields: &'static [SecretField]) -> Result<(Credential, String), Blocked> {
        let revision = self.revision(key, secret_fields)?;
        let values = Self::keys(key, secret_fields)
            .filter_map(|(role, name)| Some((role.key, self.values.as_ref()?.get(name)?.clone())));
        Ok((Credential::new(values), revision))
    }

    fn missing(&self, name: &str) -> Missing {
        let names: Vec<&str> = self.hashes.keys().map(String::as_str).take(20).collect();
        Missing::Key {
            name: name.to_owned(),
            there: names.join(", "),
        }
    }
}

enum Missing {
    Secret,
    Key { name: String, there: String },
    Unreadable(String),
}

impl Missing {
    fn at(self, key: &KeyRef) -> Blocked {
        let secret = format!("Secret {}/{}", key.namespace, key.name);
        let message = match self {
            Self::Secret => format!(
                "{secret} does not exist; create it with `kubectl create secret generic {} -n {} \
                 --from-literal={}=...`",
                key.name, key.namespace, key.key
            ),
            Self::Key { name, there } if there.is_empty() => {
                format!("{secret} is empty; it must have the key {name}")
            }
            Self::Key { name, there } => format!(
                "{secret} has no key {name}, or nothing in it; it has {there}. Add it, or name another in \
                 secretRef.key"
            ),
            Self::Unreadable(problem) => format!("{secret} can't be read: {problem}"),
        };
        Blocked::new(Reason::CredentialNotFound, message)
    }
}

/// Follows one Secret by name, and sends its name at each change.
async fn follow(client: Client, name: Name, state: watch::Sender<State>, changed: mpsc::UnboundedSender<Name>) {
    let mut events = pin!(super::watch::secret(&client, &name));
    while let Some(event) = events.next().await {
        let new = match event {
            Ok(Some(secret)) => State::Present {
                version: secret.metadata.resource_version.unwrap_or_default(),
            },
            Ok(None) => State::Absent,
            // While the watch is broken, what it showed before still holds. If it showed nothing, nothing need wait.
            Err(problem) if *state.borrow() == State::Unknown => State::Unreadable(problem.to_string()),
            Err(_) => continue,
        };
        let differs = state.send_if_modified(|old| {
            let differs = *old != new;
            *old = new;
            differs
        });
        if differs && changed.send(name.clone()).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
