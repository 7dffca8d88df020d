//! How many mints each namespace has had with one credential, so that the next slot goes to the one that had fewest.
//!
//! Every mint that begins counts, whatever becomes of it, and one that the provider refuses or fails counts twice.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

/// So many mints is a namespace ahead of those that ask all the time, at most: what its Secrets may need at once after a
/// rest, and no more, so that a long rest is no right to a flood.
const MOST_AHEAD: i64 = 10;
/// A namespace that has had none for so long counts as new.
const FORGET_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// How often that is looked for.
const SWEEP_EVERY: SignedDuration = SignedDuration::from_mins(1);

#[derive(Debug, Default)]
pub(super) struct Shares {
    namespaces: HashMap<String, Count>,
    /// What a namespace has had that asks all the time: the most that any had when it was given a slot.
    level: i64,
    swept: Option<Timestamp>,
}

#[derive(Debug)]
struct Count {
    had: i64,
    last: Timestamp,
}

impl Shares {
    /// What a namespace has had. One that is new, or has rested, had [`MOST_AHEAD`] less than those that ask all the time.
    pub(super) fn had(&self, namespace: &str) -> i64 {
        let least = self.level - MOST_AHEAD;
        self.namespaces
            .get(namespace)
            .map_or(least, |count| count.had.max(least))
    }

    /// Whether a namespace has had no more than those that ask all the time.
    pub(super) fn is_within(&self, namespace: &str) -> bool {
        self.had(namespace) <= self.level
    }

    /// A mint begins.
    pub(super) fn count(&mut self, namespace: &str, now: Timestamp) {
        self.level = self.level.max(self.had(namespace));
        self.add(namespace, now);
    }

    /// A mint has failed.
    pub(super) fn count_failure(&mut self, namespace: &str, now: Timestamp) {
        self.add(namespace, now);
    }

    fn add(&mut self, namespace: &str, now: Timestamp) {
        let had = self.had(namespace) + 1;
        let count = Count { had, last: now };
        match self.namespaces.get_mut(namespace) {
            Some(known) => *known = count,
            None => {
                self.namespaces.insert(namespace.to_owned(), count);
            }
        }
    }

    /// Forgets what is old, and what was counted in the future: the clock has been set back since.
    pub(super) fn forget_old(&mut self, now: Timestamp) {
        let is_within = |at: Timestamp, limit| at <= now && now.duration_since(at) < limit;
        if self.swept.is_some_and(|at| is_within(at, SWEEP_EVERY)) {
            return;
        }
        self.swept = Some(now);
        self.namespaces.retain(|_, count| is_within(count.last, FORGET_AFTER));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.namespaces.len()
    }
}
