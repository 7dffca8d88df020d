//! The budget of one credential.

mod requests;

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

pub(super) use self::requests::RequestAdmission;
use self::requests::share;
use super::outage::Outage;
use super::pauses::Pauses;
use super::waiting::Waiting;
use super::{Admission, Ending, Mint, Priority};
use crate::api::RateLimit;
use crate::token::report::provider::KeyVerdict;

/// How long a slot stays reserved for a token that was woken. A token that was deleted or suspended meanwhile does not
/// claim it.
const RESERVED_FOR: SignedDuration = SignedDuration::from_secs(5);
/// A wait for the configured rate that is shorter than this is not worth a status write.
const WORTH_REPORTING: SignedDuration = SignedDuration::from_secs(10);

#[derive(Debug)]
pub(super) struct CredentialBudget<K> {
    queue: BTreeSet<(Place, K)>,
    queued: HashMap<K, Place>,
    in_flight: usize,
    /// How many of these are for requests.
    for_requests: usize,
    pub(super) waiting: Waiting,
    pauses: Pauses<K>,
    /// Until when a slot is reserved for a token that was woken.
    reserved: HashMap<K, Timestamp>,
    /// How many mints may be in flight: one after the provider limited the credential or was out of order, doubling with
    /// each answer.
    window: usize,
    limited_until: Option<Timestamp>,
    /// Whether that limit is for want of credit or quota.
    exhausted: bool,
    outage: Outage<K>,
    /// Tokens that are to be looked at, since the provider is back.
    recovered: Vec<K>,
    /// Whether an outage was reported as such.
    reported_out: bool,
    bucket: Option<Bucket>,
    pub(super) verdict: Option<KeyVerdict>,
}

/// The place in the queue. Tokens whose last mint met an outage go last: if their own spec is the cause, they must not be
/// all that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    has_failed: bool,
    priority: Priority,
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
            for_requests: 0,
            waiting: Waiting::default(),
            pauses: Pauses::new(),
            reserved: HashMap::new(),
            window,
            limited_until: None,
            exhausted: false,
            outage: Outage::new(),
            recovered: Vec::new(),
            reported_out: false,
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
        let before = self.dequeue(token);
        if self.queue.is_empty() && self.take(now) {
            self.in_flight += 1;
            return Admission::Go;
        }
        let mut place = Place {
            has_failed: self.outage.is_failing(token),
            priority,
        };
        // Asking again costs no one its place.
        if let Some(before) = before.filter(|before| before.priority.has_token == priority.has_token) {
            place = place.min(before);
        }
        let entry = (place, token.clone());
        let ahead = self.queue.range(..&entry).count();
        self.queue.insert(entry);
        self.queued.insert(token.clone(), place);
        self.queued_until(ahead, now)
    }

    /// Until when a token waits that has so many ahead of it.
    fn queued_until(&self, ahead: usize, now: Timestamp) -> Admission {
        if let Some(until) = self.limited_until(now) {
            return if self.exhausted {
                Admission::Exhausted(until)
            } else {
                Admission::Limited(until)
            };
        }
        let worth_reporting = |at: &Timestamp| *at > now + WORTH_REPORTING;
        let rate = self.expected_slot(now).filter(worth_reporting);
        match (self.outage.slot(ahead, now).filter(worth_reporting), rate) {
            (Some(slot), rate) => Admission::Unavailable(rate.map_or(slot, |rate| rate.max(slot))),
            (None, Some(rate)) => Admission::Limited(rate),
            (None, None) => Admission::Queued,
        }
    }

    /// Returns how much longer the credential is limited than was known before: several mints that were in flight get
    /// the same answer.
    pub(super) fn release(
        &mut self,
        token: &K,
        ending: Ending,
        mint: Mint,
        concurrency: usize,
        now: Timestamp,
    ) -> SignedDuration {
        self.in_flight = self.in_flight.saturating_sub(1);
        let mut longer = SignedDuration::ZERO;
        match ending {
            Ending::Granted => {
                self.window = (self.window * 2).min(concurrency);
                self.outage.answered(token, mint);
                let waiting = self.outage.granted(&self.queued, now);
                self.resume(waiting);
            }
            Ending::Refused => {
                self.window = (self.window * 2).min(concurrency);
                self.outage.answered(token, mint);
            }
            Ending::NotAsked => {}
            Ending::Unavailable { began } => {
                if !self.outage.failed(token, began, mint, now) && mint == Mint::ForSecret {
                    self.recovered.push(token.clone());
                }
            }
            Ending::Throttled(until) | Ending::Exhausted(until) => {
                self.outage.answered(token, mint);
                self.window = 1;
                self.exhausted = matches!(ending, Ending::Exhausted(_));
                let known = self.limited_until(now).unwrap_or(now);
                self.limited_until = self.limited_until.max(Some(until));
                longer = until.duration_since(known).max(SignedDuration::ZERO);
            }
        }
        self.settle(now);
        longer
    }

    /// A token waits out failures of its own, of which the last was then.
    pub(super) fn wait_out(&mut self, token: &K, failed: u32, last: Timestamp, now: Timestamp) {
        if !self.outage.knows(token, failed, last, now) {
            self.recovered.push(token.clone());
        }
        self.settle(now);
    }

    /// When a token that fails now is to be tried again at the earliest, since others go first.
    pub(super) fn slot(&self, now: Timestamp) -> Option<Timestamp> {
        self.outage.slot_after_failure(&self.queued, now)
    }

    fn settle(&mut self, now: Timestamp) {
        let waiting = self.outage.settle(&self.queued, now);
        self.resume(waiting);
    }

    /// The provider is back: those that wait for that are looked at.
    fn resume(&mut self, waiting: Option<Vec<K>>) {
        let Some(waiting) = waiting else {
            return;
        };
        self.window = self.window.min(self.in_flight + 1);
        self.recovered.extend(waiting);
    }

    pub(super) fn withdraw(&mut self, token: &K) {
        self.dequeue(token);
        self.reserved.remove(token);
        self.outage.forget(token);
    }

    /// Reserves slots for the first in the queue, as many as there are, and adds to `woken` these tokens and those that
    /// waited for the provider to be back. Returns whether an outage has begun or ended.
    pub(super) fn poll(&mut self, now: Timestamp, woken: &mut Vec<K>) -> bool {
        self.settle(now);
        woken.append(&mut self.recovered);
        self.pauses.forget_old(now);
        self.expire_reservations(now);
        while !self.queue.is_empty() && self.take(now) {
            if let Some((_, token)) = self.queue.pop_first() {
                self.queued.remove(&token);
                self.reserved.insert(token.clone(), now + RESERVED_FOR);
                woken.push(token);
            }
        }
        let is_out = self.outage.since().is_some();
        std::mem::replace(&mut self.reported_out, is_out) != is_out
    }

    /// Another replica leads: no controller takes the slots of Secrets here any more.
    pub(super) fn forget_queue(&mut self) {
        self.queue.clear();
        self.queued.clear();
        self.reserved.clear();
    }

    /// Whether Secrets' RealtimeTokens are to be looked at.
    pub(super) const fn has_recovered(&self) -> bool {
        !self.recovered.is_empty()
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
        let by_rate = self.bucket.as_ref().map(Bucket::next);
        by_rate
            .max(self.outage.next(now))
            .map(|next| next.max(now + SignedDuration::from_millis(1)))
    }

    /// Since when the provider is out of order, if it is.
    pub(super) const fn unavailable_since(&self) -> Option<Timestamp> {
        self.outage.since()
    }

    pub(super) fn limited_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.limited_until.filter(|until| *until > now)
    }

    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.queue.is_empty()
            && self.reserved.is_empty()
            && self.in_flight == 0
            && self.waiting.is_empty()
            && self.pauses.is_idle(now)
            && self.verdict.is_none()
            && self.outage.is_idle()
            && self.recovered.is_empty()
            && self.limited_until(now).is_none()
            && self.bucket.as_ref().is_none_or(|bucket| bucket.full_at <= now)
    }

    fn dequeue(&mut self, token: &K) -> Option<Place> {
        let place = self.queued.remove(token)?;
        self.queue.remove(&(place, token.clone()));
        Some(place)
    }

    fn expire_reservations(&mut self, now: Timestamp) {
        self.reserved.retain(|_, until| *until > now);
    }

    fn is_window_full(&self) -> bool {
        self.in_flight + self.reserved.len() >= self.window
    }

    fn take(&mut self, now: Timestamp) -> bool {
        if self.limited_until(now).is_some() || self.is_window_full() || self.outage.next(now).is_some() {
            return false;
        }
        let taken = self.bucket.as_mut().is_none_or(|bucket| bucket.take(now));
        if taken {
            self.outage.begin(now);
        }
        taken
    }

    /// When the last in the queue can expect a slot from the configured rate.
    fn expected_slot(&self, now: Timestamp) -> Option<Timestamp> {
        let bucket = self.bucket.as_ref()?;
        let ahead = i32::try_from(self.queue.len()).unwrap_or(i32::MAX);
        bucket
            .next()
            .max(now)
            .checked_add(bucket.interval() * ahead.saturating_sub(1).min(10_000))
            .ok()
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

    /// The same for a request, which leaves a part of the burst to Secrets.
    fn next_for_request(&self) -> Timestamp {
        let burst = usize::try_from(self.limit.burst.max(1)).unwrap_or(usize::MAX);
        let left = i32::try_from(burst - share(burst)).unwrap_or(i32::MAX);
        let after = self.next().checked_add(self.interval() * left);
        after.unwrap_or(Timestamp::MAX)
    }

    fn take_for_request(&mut self, now: Timestamp) -> bool {
        self.next_for_request() <= now && self.take(now)
    }

    fn take(&mut self, now: Timestamp) -> bool {
        if self.next() > now {
            return false;
        }
        self.full_at = self.full_at.max(now) + self.interval();
        true
    }
}
