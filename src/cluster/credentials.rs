//! The key Secrets, the only ones that are read with their data.
//!
//! A key Secret is read by name when a mint needs it, once for all tokens of the credential. Its values are kept for a
//! minute; after that only hashes remain, by which a changed key is noticed. One watch for all of them, on the metadata
//! of Secrets, says when one is to be read again: what a tenant refers to costs no connection.

mod fetch;
mod known;
mod read;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::fetch::fetch;
use self::known::{KeySecret, Known};
use self::read::Read;
use super::missing_key::Missing;
use super::watch::{self, Part, Scope};
use super::{ClusterError, Name};
use crate::api::SecretField;
use crate::health::Health;
use crate::mint::Credential;
use crate::resolve::KeyRef;
use crate::token::Blocked;

/// How long a key's value may stay in memory, and a read be relied on that the watch can't confirm.
const KEEP: Duration = Duration::from_secs(60);
/// After a panic.
const WATCH_AGAIN_AFTER: Duration = Duration::from_secs(5);

pub(crate) struct Credentials {
    keys: Arc<Keys>,
    /// Runs from the first use on: a replica that mints nothing watches nothing.
    watch: OnceLock<AbortOnDropHandle<()>>,
}

struct Keys {
    client: Client,
    /// What the watch covers.
    parts: BTreeSet<Part>,
    health: Arc<Health>,
    known: Mutex<Known>,
    /// For the names of key Secrets that change; none while no controller follows them.
    changed: Mutex<Option<mpsc::UnboundedSender<Name>>>,
}

impl Credentials {
    pub(crate) fn new(client: Client, scope: &Scope, operator_namespace: &str, health: Arc<Health>) -> Self {
        Self {
            keys: Arc::new(Keys {
                client,
                parts: scope.parts_with_keys(operator_namespace),
                health,
                known: Mutex::default(),
                changed: Mutex::default(),
            }),
            watch: OnceLock::new(),
        }
    }

    /// The receiver gets the name of each key Secret that changes, in place of an earlier receiver.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<Name> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.keys.changed.lock() = Some(sender);
        receiver
    }

    /// The revision of a credential, without a request if the Secret has not changed since it was last read. The outer
    /// error is the API server's, the inner one says that Secret or key are missing.
    pub(crate) async fn revision(
        &self,
        key: &KeyRef,
        secret_fields: &[SecretField],
    ) -> Result<Result<String, Blocked>, ClusterError> {
        self.with_read(key, |_| true, true, |read| read.revision(key, secret_fields))
            .await
    }

    /// The credential with its revision, read anew if the values of the last read are a minute old or gone. Errors are
    /// those of [`Self::revision`].
    pub(crate) async fn credential(
        &self,
        key: &KeyRef,
        secret_fields: &'static [SecretField],
    ) -> Result<Result<(Credential, String), Blocked>, ClusterError> {
        self.with_read(key, Read::has_values, false, |read| read.credential(key, secret_fields))
            .await
    }

    /// Works on the last read of the Secret if that is of its current version and usable, else on a new one; or on the last
    /// one, if no new one is to be had and `last_will_do`.
    async fn with_read<T>(
        &self,
        key: &KeyRef,
        usable: impl FnOnce(&Read) -> bool,
        last_will_do: bool,
        work: impl FnOnce(&Read) -> Result<T, Missing>,
    ) -> Result<Result<T, Blocked>, ClusterError> {
        self.watch.get_or_init(|| {
            let keys = Arc::clone(&self.keys);
            AbortOnDropHandle::new(tokio::spawn(async move { keys.follow().await }))
        });
        let name = Name::new(&key.namespace, &key.name);
        let secret = self.keys.known.lock().used(&name);
        let mut last = secret.read.lock().await;
        let current = last.as_ref().filter(|read| self.keys.is_current(&secret, &name, read));
        let will_do = current.is_some_and(usable) || last_will_do && secret.reads_are_paused();
        if !will_do && let Err(error) = self.keys.read(&secret, &name, &mut last).await {
            let is_refused = matches!(error, ClusterError::Refused { .. });
            match *last {
                // Never before was it read: the right is missing, which is for people to see. Later it is tried again
                // soon: an API server refuses for some seconds after its start.
                None if is_refused => return Ok(Err(Missing::Unreadable(error.to_string()).blocked(key))),
                Some(_) if last_will_do && (is_refused || secret.reads_are_paused()) => {}
                _ => return Err(error),
            }
        }
        let Some(read) = last.as_mut() else {
            return Ok(Err(Missing::Secret.blocked(key)));
        };
        let result = work(read);
        read.release();
        Ok(result.map_err(|missing| missing.blocked(key)))
    }

    /// Drops values after their minute, and what is known of Secrets that are no longer used, and has those looked at again
    /// that could not be read a minute ago. To be called every few seconds.
    pub(crate) fn tidy(&self) {
        let secrets = self.keys.known.lock().tidy();
        let unread = self.keys.known.lock().to_be_read_again();
        self.keys.report_changed(unread);
        for secret in secrets {
            // Where a read is under way that gets no answer, the others don't wait for it.
            if let Ok(mut read) = secret.read.try_lock()
                && let Some(read) = read.as_mut()
            {
                read.release();
            }
        }
    }
}

#[cfg(test)]
impl Credentials {
    /// Of how many Secrets values are in memory.
    pub(crate) async fn kept_values(&self) -> usize {
        let secrets = self.keys.known.lock().tidy();
        let mut kept = 0;
        for secret in secrets {
            kept += usize::from(secret.read.lock().await.as_ref().is_some_and(Read::keeps_values));
        }
        kept
    }
}

impl Keys {
    /// Whether a read still says how the Secret is.
    fn is_current(&self, secret: &KeySecret, name: &Name, read: &Read) -> bool {
        // The watch leaves out some Secrets: of those, and of one that doesn't exist, a read is not to be relied on for long.
        let confirmed = read.is_watched() && self.known.lock().is_listed(name);
        !secret.is_outdated() && (confirmed || read.age() < KEEP)
    }

    /// Reads a Secret anew. What was read before stays if that fails.
    async fn read(&self, secret: &KeySecret, name: &Name, last: &mut Option<Read>) -> Result<(), ClusterError> {
        secret.begin_read();
        match fetch(&self.client, name).await {
            Ok(fetched) => {
                let read = last.insert(Read::new(fetched));
                secret.end_read(read.version());
                Ok(())
            }
            Err(error) => {
                if last.is_some() {
                    secret.fail_read();
                }
                Err(error)
            }
        }
    }

    /// Never ends. After a panic the watch begins anew, and until it has listed, a read is good for a minute.
    async fn follow(&self) {
        loop {
            let watch = AssertUnwindSafe(self.apply_events()).catch_unwind();
            if watch.await.is_err() {
                tracing::error!("the watch on key Secrets panicked and begins anew; this is a bug of the operator");
            }
            self.known.lock().unlist();
            tokio::time::sleep(WATCH_AGAIN_AFTER).await;
        }
    }

    async fn apply_events(&self) {
        let mut events = watch::key_secrets(&self.client, self.parts.clone(), &self.health);
        while let Some((part, event)) = events.next().await {
            let Ok(event) = event else {
                continue; // it is tried again
            };
            let changed = self.known.lock().apply_event(&part, event);
            self.report_changed(changed);
        }
    }

    fn report_changed(&self, names: Vec<Name>) {
        if let Some(sender) = self.changed.lock().as_ref() {
            for name in names {
                // Fails only after the controller has stopped.
                let _ = sender.send(name);
            }
        }
    }
}

#[cfg(test)]
mod tests;
