//! Whether the provider is out of order for the tokens of one credential, and how far apart their mints begin meanwhile
//! and just after.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

use super::queue::Queue;
use super::{Mint, TokenName};

/// The provider is out of order after so many failures since the last token.
const OUT_AT: u32 = 4;
/// More failures of one RealtimeToken don't count: its own spec may be their cause.
const COUNTED_OF_EACH: u32 = 2;
/// How far apart mints begin while the provider is out of order; of mints for requests, those of one RealtimeToken.
pub(super) const PROBE_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Over what time the mints that have waited begin once the provider is back.
const SPREAD: SignedDuration = SignedDuration::from_secs(5);
/// Few of them need not be spread so far.
const FARTHEST_SPREAD: SignedDuration = SignedDuration::from_millis(100);
/// No RealtimeToken that has failed comes back later.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);
/// A RealtimeToken that has not failed again by now has another key, or is asked for no longer.
const FORGET_AFTER: SignedDuration = SignedDuration::from_mins(15);

#[derive(Debug)]
pub(super) struct Outage<K> {
    /// RealtimeTokens whose last mint failed since the provider is out of order, or seems to be.
    failing: HashMap<K, Failing>,
    since: Option<Timestamp>,
    /// When the last outage ended.
    ended: Option<Timestamp>,
    /// When a token was granted last.
    granted: Option<Timestamp>,
    pace: Option<Pace>,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    /// How often, since a token was granted.
    failed: u32,
    last: Timestamp,
    /// Whether it comes back by itself: a Secret needs its token. A request that has failed is over.
    comes_back: bool,
}

#[derive(Clone, Copy, Debug)]
struct Pace {
    interval: SignedDuration,
    next: Timestamp,
    until: Option<Timestamp>,
}

impl<K: TokenName> Outage<K> {
    pub(super) fn new() -> Self {
        Self {
            failing: HashMap::new(),
            since: None,
            ended: None,
            granted: None,
            pace: None,
        }
    }

    /// Takes in a failure, of the token for a Secret or of one for a request. Returns false if it says nothing of now,
    /// since an outage has ended after its mint `began`.
    pub(super) fn failed(&mut self, token: &K, began: Timestamp, mint: Mint, now: Timestamp) -> bool {
        self.let_go(now);
        if self.ended.is_some_and(|ended| began < ended) {
            return false;
        }
        let known = self.failing.get(token);
        let failing = Failing {
            failed: known.map_or(0, |known| known.failed).saturating_add(1),
            last: now,
            comes_back: mint == Mint::ForSecret || known.is_some_and(|known| known.comes_back),
        };
        self.failing.insert(token.clone(), failing);
        true
    }

    /// Takes in the failures that a RealtimeToken knows of itself, after a restart. Returns false if an outage has ended
    /// since.
    pub(super) fn knows(&mut self, token: &K, failed: u32, last: Timestamp, now: Timestamp) -> bool {
        self.let_go(now);
        if self.ended.is_some_and(|ended| last < ended) {
            return false;
        }
        if self.granted.is_none_or(|granted| granted <= last) {
            let failing = Failing {
                failed,
                last,
                comes_back: true,
            };
            let known = self.failing.entry(token.clone()).or_insert(failing);
            known.comes_back = true;
        }
        true
    }

    /// The provider has answered otherwise. What it answers a request doesn't make up for the Secret's token.
    pub(super) fn answered(&mut self, token: &K, mint: Mint) {
        if mint == Mint::ForSecret || self.failing.get(token).is_some_and(|failing| !failing.comes_back) {
            self.forget(token);
        }
    }

    /// The RealtimeToken is gone.
    pub(super) fn forget(&mut self, token: &K) {
        self.failing.remove(token);
    }

    /// The provider has granted a token: whatever ails a single RealtimeToken, it is in order. Returns who waits for that,
    /// if an outage has ended with it.
    pub(super) fn granted(&mut self, queue: &Queue<K>, now: Timestamp) -> Option<Vec<K>> {
        self.granted = Some(now);
        for failing in self.failing.values_mut() {
            failing.failed = 0;
        }
        self.end(queue, now)
    }

    fn end(&mut self, queue: &Queue<K>, now: Timestamp) -> Option<Vec<K>> {
        self.since.take()?;
        self.ended = Some(now);
        let waiting = i32::try_from(self.waiting(queue)).unwrap_or(i32::MAX).max(1);
        self.pace = Some(Pace {
            interval: (SPREAD / waiting).min(FARTHEST_SPREAD),
            next: now,
            until: Some(now + SPREAD * 2), // looking at them takes time, too
        });
        Some(self.coming_back().cloned().collect())
    }

    /// Notices an outage that begins, or ends without a token.
    pub(super) fn settle(&mut self, queue: &Queue<K>, now: Timestamp) -> Option<Vec<K>> {
        self.let_go(now);
        self.pace.take_if(|pace| pace.until.is_some_and(|until| until <= now));
        let failures: u32 = self.failing.values().map(|it| it.failed.min(COUNTED_OF_EACH)).sum();
        match self.since {
            Some(_) if failures < OUT_AT => self.end(queue, now),
            None if failures >= OUT_AT => {
                self.since = Some(now);
                self.pace = Some(Pace {
                    interval: PROBE_EVERY,
                    next: now + PROBE_EVERY,
                    until: None,
                });
                None
            }
            _ => None,
        }
    }

    /// Lets go of what is old, and of times in the future: the clock has been set back since.
    fn let_go(&mut self, now: Timestamp) {
        let is_recent = |at: Timestamp| at <= now && now.duration_since(at) < FORGET_AFTER;
        self.failing.retain(|_, it| is_recent(it.last));
        for at in [&mut self.ended, &mut self.granted] {
            at.take_if(|at| !is_recent(*at));
        }
    }

    /// Since when the provider is out of order, if it is.
    pub(super) const fn since(&self) -> Option<Timestamp> {
        self.since
    }

    /// Whether the last mint for its Secret failed.
    pub(super) fn is_failing(&self, token: &K) -> bool {
        self.failing.get(token).is_some_and(|failing| failing.comes_back)
    }

    fn coming_back(&self) -> impl Iterator<Item = &K> {
        let failing = self.failing.iter().filter(|(_, failing)| failing.comes_back);
        failing.map(|(token, _)| token)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.failing.is_empty() && self.ended.is_none()
    }

    /// When the next mint may begin, if not at once.
    pub(super) fn next(&self, now: Timestamp) -> Option<Timestamp> {
        let pace = self.pace.as_ref()?;
        // A clock that is set back must not stop the mints.
        Some(pace.next.min(now + pace.interval)).filter(|next| *next > now)
    }

    /// A mint begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        if let Some(pace) = &mut self.pace {
            pace.next = now + pace.interval;
        }
    }

    /// While the provider is out of order: when it is the slot of a RealtimeToken that has so many others ahead of it.
    pub(super) fn slot(&self, ahead: usize, now: Timestamp) -> Option<Timestamp> {
        self.since?;
        let wait = PROBE_EVERY * i32::try_from(ahead).unwrap_or(i32::MAX).min(86_400);
        Some(self.next(now).unwrap_or(now) + wait)
    }

    /// The same for one that fails now, to come back after all others.
    pub(super) fn slot_after_failure(&self, queue: &Queue<K>, now: Timestamp) -> Option<Timestamp> {
        let slot = self.slot(self.waiting(queue), now)?;
        Some(slot.min(now + LONGEST_WAIT))
    }

    /// How many wait for a slot: those in the queue, and those that have failed and come back.
    fn waiting(&self, queue: &Queue<K>) -> usize {
        let back = self.coming_back().filter(|token| !queue.contains(token));
        queue.len() + back.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// An outage from 1 on, of two tokens that have failed twice.
    fn outage(queue: &Queue<&'static str>) -> Outage<&'static str> {
        let mut outage = Outage::new();
        for token in ["a", "a", "b", "b"] {
            assert!(outage.failed(&token, at(0), Mint::ForSecret, at(1)));
        }
        assert_eq!(outage.settle(queue, at(1)), None);
        assert_eq!(outage.since(), Some(at(1)));
        outage
    }

    #[test]
    fn a_failure_from_before_the_end_of_an_outage_says_nothing() {
        let queue = Queue::new();
        let mut outage = outage(&queue);
        outage.forget(&"b");
        assert_eq!(
            outage.settle(&queue, at(10)),
            Some(vec!["a"]),
            "two failures are no outage"
        );
        for (then, counts) in [(9, false), (10, true)] {
            assert_eq!(
                outage.failed(&"c", at(then), Mint::ForSecret, at(20)),
                counts,
                "began at {then}"
            );
            assert_eq!(outage.knows(&"d", 1, at(then), at(20)), counts, "failed at {then}");
        }
    }

    #[test]
    fn a_failure_from_before_a_token_was_granted_is_not_counted() {
        let mut outage = Outage::new();
        assert_eq!(outage.granted(&Queue::new(), at(5)), None);
        for (token, last, counts) in [("a", 4, false), ("b", 5, true)] {
            assert!(outage.knows(&token, 3, at(last), at(6)));
            assert_eq!(outage.is_failing(&token), counts, "failed at {last}");
        }
    }
}
