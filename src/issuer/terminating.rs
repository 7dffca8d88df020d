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
        self.0.lock().insert(namespace.to_owned(), now + BELIEVED_FOR);
    }

    /// Forgets what is no longer believed. To be called every few seconds.
    pub(crate) fn tidy(&self, now: Timestamp) {
        self.0.lock().retain(|_, until| *until > now);
    }

    pub(crate) fn contains(&self, namespace: &str, now: Timestamp) -> bool {
        self.0.lock().get(namespace).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_believed_to_end_for_half_a_minute_and_then_forgotten() {
        let now = Timestamp::UNIX_EPOCH;
        let after = |seconds| now + SignedDuration::from_secs(seconds);
        let terminating = Terminating::default();
        terminating.insert("shop", now);
        terminating.tidy(after(29));
        assert!(terminating.contains("shop", after(29)));
        assert!(!terminating.contains("shop", after(30)) && !terminating.contains("bank", after(1)));
        terminating.tidy(after(30));
        assert!(terminating.0.lock().is_empty());
    }
}
