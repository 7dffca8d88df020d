//! The key Secrets, the only ones that are read with their data.
//!
//! Each is watched by name, as metadata. Its data is read when a mint needs it, once for all tokens of the credential, and
//! kept for a minute; after that only hashes remain, by which a changed key is noticed.

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

use super::missing_key::{KEY_LABEL, KEY_TYPE, Missing};
use super::{ClusterError, Name, bounded};
use crate::api::SecretField;
use crate::mint::Credential;
use crate::resolve::KeyRef;
use crate::token::{Blocked, hash};

/// How long a key's value may stay in memory.
const KEEP_VALUES: Duration = Duration::from_secs(60);
/// How long a Secret is watched after its last use. Every RealtimeToken uses its own at least every five minutes.
const IDLE: Duration = Duration::from_secs(15 * 60);

pub(crate) struct Credentials {
    client: Client,
    secrets: Mutex<HashMap<Name, Arc<KeySecret>>>,
    changed: Changed,
}

/// For the names of key Secrets that change; none while no controller follows them.
type Changed = Arc<Mutex<Option<mpsc::UnboundedSender<Name>>>>;

struct KeySecret {
    state: watch::Receiver<State>,
    read: tokio::sync::Mutex<Option<Read>>,
    used_at: Mutex<Instant>,
    _watch: AbortOnDropHandle<()>,
}

/// What the watch has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Unknown,
    Absent,
    Present {
        version: String,
    },
    /// Nothing yet, since the watch fails.
    Unreadable(String),
}

struct Read {
    version: String,
    at: Instant,
    /// Why nothing of it is used, if so: its type.
    of_type: Option<String>,
    /// Dropped after a minute.
    values: Option<BTreeMap<String, SecretString>>,
    hashes: BTreeMap<String, String>,
}

impl Credentials {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            secrets: Mutex::default(),
            changed: Changed::default(),
        }
    }

    /// The receiver gets the name of each key Secret that changes, in place of an earlier receiver.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Name> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.changed.lock() = Some(sender);
        receiver
    }

    /// The revision of a credential, without a request if the Secret has not changed since it was last read. The outer
    /// error is the API server's, the inner one says that Secret or key are missing.
    pub(crate) async fn revision(
        &self,
        key: &KeyRef,
        secret_fields: &[SecretField],
    ) -> Result<Result<String, Blocked>, ClusterError> {
        self.with_read(key, |_| true, |read| read.revision(key, secret_fields))
            .await
    }

    /// The credential with its revision, read anew if the values of the last read are a minute old or gone. Errors are
    /// those of [`Self::revision`].
    pub(crate) async fn credential(
        &self,
        key: &KeyRef,
        secret_fields: &'static [SecretField],
    ) -> Result<Result<(Credential, String), Blocked>, ClusterError> {
        let has_values = |read: &Read| read.values.is_some() && read.at.elapsed() < KEEP_VALUES;
        self.with_read(key, has_values, |read| read.credential(key, secret_fields))
            .await
    }

    /// Works on the last read of the Secret if that is of its current version and usable, else on a new one.
    async fn with_read<T>(
        &self,
        key: &KeyRef,
        usable: impl FnOnce(&Read) -> bool,
        work: impl FnOnce(&Read) -> Result<T, Missing>,
    ) -> Result<Result<T, Blocked>, ClusterError> {
        let secret = self.watched(&Name::new(&key.namespace, &key.name));
        let version = match secret.version().await {
            Ok(version) => version,
            Err(missing) => return Ok(Err(missing.blocked(key))),
        };
        let mut last = secret.read.lock().await;
        if !last
            .as_ref()
            .is_some_and(|read| read.version == version && usable(read))
        {
            *last = match self.read(key).await {
                Ok(fresh) => Some(fresh),
                Err(ClusterError::NotFound) => None,
                Err(error) => return Err(error),
            };
        }
        let result = last.as_ref().ok_or(Missing::Secret).and_then(work);
        Ok(result.map_err(|missing| missing.blocked(key)))
    }

    /// Drops values after their minute, and watches of Secrets that are no longer used. To be called every few seconds.
    pub(crate) async fn tidy(&self) {
        let secrets: Vec<Arc<KeySecret>> = {
            let mut secrets = self.secrets.lock();
            secrets.retain(|_, secret| secret.used_at.lock().elapsed() < IDLE);
            secrets.values().cloned().collect()
        };
        for secret in secrets {
            if let Some(read) = secret.read.lock().await.as_mut()
                && read.at.elapsed() >= KEEP_VALUES
            {
                read.values = None;
            }
        }
    }

    fn watched(&self, name: &Name) -> Arc<KeySecret> {
        let mut secrets = self.secrets.lock();
        let secret = secrets.entry(name.clone()).or_insert_with(|| {
            let (sender, state) = watch::channel(State::Unknown);
            let follow = follow(self.client.clone(), name.clone(), sender, Arc::clone(&self.changed));
            Arc::new(KeySecret {
                state,
                read: tokio::sync::Mutex::default(),
                used_at: Mutex::new(Instant::now()),
                _watch: AbortOnDropHandle::new(tokio::spawn(follow)),
            })
        });
        *secret.used_at.lock() = Instant::now();
        Arc::clone(secret)
    }

    async fn read(&self, key: &KeyRef) -> Result<Read, ClusterError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        Ok(Read::new(bounded(api.get(&key.name)).await?))
    }
}

impl KeySecret {
    /// The Secret's resourceVersion, once the watch has shown the Secret or its absence.
    async fn version(&self) -> Result<String, Missing> {
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
    fn new(secret: Secret) -> Self {
        let of_type = foreign_type(&secret);
        let data = secret.data.filter(|_| of_type.is_none());
        let values: BTreeMap<String, SecretString> = data
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
        Self {
            version: secret.metadata.resource_version.unwrap_or_default(),
            at: Instant::now(),
            of_type,
            hashes: hashes.collect(),
            values: Some(values),
        }
    }

    fn revision(&self, key: &KeyRef, secret_fields: &[SecretField]) -> Result<String, Missing> {
        if let Some(type_) = &self.of_type {
            return Err(Missing::OfType(type_.clone()));
        }
        let hashes: Result<Vec<&str>, Missing> = keys(key, secret_fields)
            .map(|(_, name)| {
                let hash = self.hashes.get(name).map(String::as_str);
                hash.ok_or_else(|| self.missing(name))
            })
            .collect();
        Ok(hashes?.join("-"))
    }

    fn credential(&self, key: &KeyRef, secret_fields: &'static [SecretField]) -> Result<(Credential, String), Missing> {
        let revision = self.revision(key, secret_fields)?;
        let values = keys(key, secret_fields)
            .filter_map(|(field, name)| Some((field.key, self.values.as_ref()?.get(name)?.clone())));
        Ok((Credential::new(values), revision))
    }

    fn missing(&self, name: &str) -> Missing {
        let others: Vec<&str> = self.hashes.keys().map(String::as_str).take(20).collect();
        Missing::Key {
            name: name.to_owned(),
            others: others.join(", "),
        }
    }
}

/// The type of a Secret that no key is read from: a ServiceAccount's token, a TLS key or another controller's Secret would be
/// sent to a provider, or signed with, by whoever may create a RealtimeToken.
fn foreign_type(secret: &Secret) -> Option<String> {
    let type_ = secret.type_.as_deref().unwrap_or("Opaque");
    let labels = secret.metadata.labels.as_ref();
    let is_labelled = labels
        .and_then(|labels| labels.get(KEY_LABEL))
        .is_some_and(|value| value == "true");
    let is_for_keys = is_labelled || ["Opaque", KEY_TYPE].contains(&type_);
    (!is_for_keys).then(|| type_.to_owned())
}

/// The key of the Secret for each field: the first one's can be chosen, the others have their SDK's names.
fn keys<'a>(key: &'a KeyRef, secret_fields: &'a [SecretField]) -> impl Iterator<Item = (&'a SecretField, &'a str)> {
    let fields = secret_fields.iter().enumerate();
    fields.map(|(n, field)| (field, if n == 0 { key.key.as_str() } else { field.key }))
}

/// Follows one Secret by name, and sends its name at each change.
async fn follow(client: Client, name: Name, state: watch::Sender<State>, changed: Changed) {
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
        if differs && let Some(changed) = changed.lock().as_ref() {
            // Fails only after the controller has stopped.
            let _ = changed.send(name.clone());
        }
    }
}

#[cfg(test)]
mod tests;
