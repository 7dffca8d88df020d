//! What the providers said of each credential, for the status of ClusterRealtimeProviders.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::resolve::KeyRef;

/// The last word of the provider on each credential.
#[derive(Debug)]
pub struct Accounts {
    known: Mutex<HashMap<KeyRef, Account>>,
    changed: mpsc::UnboundedSender<KeyRef>,
}

/// The provider's last word on one credential.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// What the provider said of the key; `None` if it was not asked since the start.
    pub verdict: Option<Verdict>,
    /// The provider's own limit.
    pub limited_until: Option<Timestamp>,
}

/// What the provider said of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The key's revision; of another one it says nothing.
    pub revision: String,
    /// `Ok` if the provider accepted the key, `Err` with our message if it refused it.
    pub result: Result<(), String>,
}

impl Accounts {
    /// Nothing is known yet. `changed` gets each credential of which something new is known.
    #[must_use]
    pub fn new(changed: mpsc::UnboundedSender<KeyRef>) -> Self {
        Self {
            known: Mutex::default(),
            changed,
        }
    }

    /// The provider's last word on a credential.
    #[must_use]
    pub fn get(&self, key: &KeyRef) -> Account {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(key)
            .cloned()
            .unwrap_or_default()
    }

    /// Has those look again whose key or account changed.
    pub fn changed(&self, key: &KeyRef) {
        // Fails only after the controller has stopped.
        let _ = self.changed.send(key.clone());
    }

    /// Takes note, and tells if it is news.
    pub fn note(&self, key: &KeyRef, change: impl FnOnce(&mut Account)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let account = known.entry(key.clone()).or_default();
        let before = account.clone();
        change(account);
        if *account != before {
            self.changed(key);
        }
    }
}
