//! Namespaces that are being deleted, as refused writes have shown. The watch on namespaces shows it earlier, where the
//! operator may watch them.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;

/// A namespace may be created anew under its name.
const BELIEVED_FOR: SignedDuration = SignedDuration::from_secs(30);

#[derive(Debug, Default)]
pub(crate) struct Terminating(Mutex<HashMap<String, Timestamp>>);

impl Terminating {
    pub(crate) fn insert(&self, namespace: &str, now: Timestamp) {
        let mut known = self.0.lock();
        known.retain(|_, until| *until > now);
        known.insert(namespace.to_owned(), now + BELIEVED_FOR);
    }

    pub(crate) fn contains(&self, namespace: &str, now: Timestamp) -> bool {
        self.0.lock().get(namespace).is_some_and(|until| *until > now)
    }
}
