//! The budget of one credential.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

use super::{Admission, Ending, Priority};
use crate::api::RateLimit;
use crate::token::report::provider::KeyVerdict;

/// How long a slot stays reserved for a token that was woken. A token that was deleted or suspended meanwhile does not
/// claim it.
const RESERVED_FOR: SignedDuration = SignedDuration::from_secs(5);
/// A wait for the configured rate that is shorter than this is not worth a status write.
const WORTH_REPORTING: SignedDuration = SignedDuration::from_secs(10);

#[derive(Debug)]
pub(super) struct CredentialBudget<K> {
    queue: BTreeSet<(Priority, K)>,
    queued: HashMap<K, Priority>,
    in_flight: usize,
    /// Until when a slot is reserved for a token that was woken.
    reserved: HashMap<K, Timestamp>,
    /// How many mints may be in flight: one after the provider limited the credential, doubling with each answer.
    window: usize,
    limited_until: Option<Timestamp>,
    /// Whether that limit is for want of credit or quota.
    exhausted: bool,
    bucket: Option<Bucket>,
    pub(super) verdict: Option<KeyVerdict>,
}

/// A token bucket that refills evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    limit: RateLimit,
    /// When the bucket is full again if nothing is taken: the whole state, so there is nothing to tick.
    full_at: Timestamp,
}

impl<K: Clone + Eq + Hash + Ord> CredentialBudget<K> {
    pub(super) fn new(window: usize) -> Self {
        Self {
            queue: BTreeSet::new(),
            queued: HashMap::new(),
            in_flight: 0,
            reserved: HashMap::new(),
            window,
            limited_until: None,
            exhausted: false,
            bucket: None,
            verdict: None,
        }
    }

    /// A changed limit applies from now on; what was taken under the old one stays taken.
    pub(super) fn set_limit(&mut self, limit: Option<RateLimit>, now: Timestamp) {
        let full_at = self.bucket.map_or(now, |bucket| bucket.full_at);
        self.bucket = limit.map(|limit| Bucket { limit, full_at });
    }

    pub(super) fn acquire(&mut self, token: &K, priority: Priority, now: Timestamp) -> Admission {
        self.expire_reservations(now);
        if self.reserved.remove(token).is_some() {
            self.in_flight += 1;
            return Admission::Go;
        }
        self.dequeue(token);
        if self.queue.is_empty() && self.take(now) {
            self.in_flight += 1;
            return Admission::Go;
        }
        self.queue.insert((priority, token.clone()));
        self.queued.insert(token.clone(), priority);
        match self.limited_until(now).or_else(|| self.expected_slot(now)) {
            Some(until) if self.exhausted && self.limited_until(now).is_some() => Admission::Exhausted(until),
            Some(until) => Admission::Limited(until),
            None => Admission::Queued,
        }
    }

    /// Returns how much longer the credential is limited than was known before: several mints that were in flight get
    /// the same answer.
    pub(super) fn release(&mut self, ending: Ending, concurrency: usize, now: Timestamp) -> SignedDuration {
        self.in_flight = self.in_flight.saturating_sub(1);
        match ending {
            Ending::Answered => {
                self.window = (self.window * 2).min(concurrency);
                SignedDuration::ZERO
            }
            Ending::Throttled(until) | Ending::Exhausted(until) => {
                self.window = 1;
                self.exhausted = matches!(ending, Ending::Exhausted(_));
                let known = self.limited_until(now).unwrap_or(now);
                self.limited_until = self.limited_until.max(Some(until));
                until.duration_since(known).max(SignedDuration::ZERO)
            }
        }
    }

    pub(super) fn withdraw(&mut self, token: &K) {
        self.dequeue(token);
        self.reserved.remove(token);
    }

    /// Reserves slots for the first in the queue, as many as there are, and adds these tokens to `woken`.
    pub(super) fn poll(&mut self, now: Timestamp, woken: &mut Vec<K>) {
        self.expire_reservations(now);
        while !self.queue.is_empty() && self.take(now) {
            if let Some((_, token)) = self.queue.pop_first() {
                self.queued.remove(&token);
                self.reserved.insert(token.clone(), now + RESERVED_FOR);
                woken.push(token);
            }
        }
    }

    /// When to poll again if nothing changes before.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        if self.queue.is_empty() {
            return None;
        }
        if let Some(until) = self.limited_until(now) {
            return Some(until);
        }
        if self.is_window_full() {
            return self.reserved.values().min().copied(); // a release polls anyway
        }
        self.bucket
            .as_ref()
            .map(|bucket| bucket.next().max(now + SignedDuration::from_millis(1)))
    }

    pub(super) fn limited_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.limited_until.filter(|until| *until > now)
    }

    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.queue.is_empty()
            && self.reserved.is_empty()
            && self.in_flight == 0
            && self.verdict.is_none()
            && self.limited_until(now).is_none()
            && self.bucket.as_ref().is_none_or(|bucket| bucket.full_at <= now)
    }

    fn dequeue(&mut self, token: &K) {
        if let Some(priority) = self.queued.remove(token) {
            self.queue.remove(&(priority, token.clone()));
        }
    }

    fn expire_reservations(&mut self, now: Timestamp) {
        self.reserved.retain(|_, until| *until > now);
    }

    fn is_window_full(&self) -> bool {
        self.in_flight + self.reserved.len() >= self.window
    }

    fn take(&mut self, now: Timestamp) -> bool {
        if self.limited_until(now).is_some() || self.is_window_full() {
            return false;
        }
        self.bucket.as_mut().is_none_or(|bucket| bucket.take(now))
    }

    /// When the last in the queue can expect a slot from the configured rate, if that is worth reporting.
    fn expected_slot(&self, now: Timestamp) -> Option<Timestamp> {
        let bucket = self.bucket.as_ref()?;
        let ahead = i32::try_from(self.queue.len()).unwrap_or(i32::MAX);
        let at = bucket
            .next()
            .max(now)
            .checked_add(bucket.interval() * ahead.saturating_sub(1).min(10_000))
            .ok()?;
        (at > now + WORTH_REPORTING).then_some(at)
    }
}

impl Bucket {
    fn interval(&self) -> SignedDuration {
        SignedDuration::from_nanos(60_000_000_000 / self.limit.requests_per_minute.max(1))
    }

    /// The earliest time at which a slot can be taken.
    fn next(&self) -> Timestamp {
        let burst = i32::try_from(self.limit.burst.max(1)).unwrap_or(i32::MAX);
        self.full_at
            .checked_sub(self.interval() * (burst - 1))
            .unwrap_or(Timestamp::MIN)
    }

    fn take(&mut self, now: Timestamp) -> bool {
        if self.next() > now {
            return false;
        }
        self.full_at = self.full_at.max(now) + self.interval();
        true
    }
}
