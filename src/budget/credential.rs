//! The budget of one credential.

mod requests;

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};

pub(super) use self::requests::{RequestAdmission, share};
use super::bucket::Bucket;
use super::outage::Outage;
use super::pauses::Pauses;
use super::queue::Queue;
use super::shares::Shares;
use super::waiting::Waiting;
use super::{Admission, Ending, Mint, Priority, TokenName};
use crate::api::RateLimit;
use crate::token::report::provider::KeyVerdict;

/// How long a slot stays reserved for a token that was woken: it is looked at first, which takes several requests, and
/// many others may be looked at before it. Who turns out not to need it gives it up at once.
const RESERVED_FOR: SignedDuration = SignedDuration::from_secs(30);
/// A wait for the configured rate that is shorter than this is not worth a status write.
const WORTH_REPORTING: SignedDuration = SignedDuration::from_secs(10);
/// A renewal that must be stored within this time is near, and one that must be within the time that the queue needs.
const NEAR: SignedDuration = SignedDuration::from_mins(1);
/// While the next slot is a caller's, Secrets are looked at this often.
const NEXT_LOOK: SignedDuration = SignedDuration::from_secs(1);
/// No limit of a provider is longer. One that ends later was counted by a clock that has been set back since.
const LONGEST_LIMIT: SignedDuration = SignedDuration::from_mins(10);

#[derive(Debug)]
pub(super) struct CredentialBudget<K> {
    queue: Queue<K>,
    /// Of Secrets. Requests have their own: who asks for many delays no Secret of its namespace.
    shares: Shares,
    request_shares: Shares,
    in_flight: usize,
    /// How many of these are for requests.
    for_requests: usize,
    pub(super) waiting: Waiting,
    /// How many Secrets without need for haste have gone since the last request, while callers waited.
    gone_before_callers: usize,
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

impl<K: TokenName> CredentialBudget<K> {
    pub(super) fn new(window: usize, limit: Option<RateLimit>) -> Self {
        Self {
            queue: Queue::new(),
            shares: Shares::default(),
            request_shares: Shares::default(),
            in_flight: 0,
            for_requests: 0,
            waiting: Waiting::default(),
            gone_before_callers: 0,
            pauses: Pauses::new(),
            reserved: HashMap::new(),
            window,
            limited_until: None,
            exhausted: false,
            outage: Outage::new(),
            recovered: Vec::new(),
            reported_out: false,
            bucket: limit.map(Bucket::new),
            verdict: None,
        }
    }

    pub(super) fn set_limit(&mut self, limit: Option<RateLimit>, now: Timestamp) {
        match (&mut self.bucket, limit) {
            (Some(bucket), Some(limit)) => bucket.set_limit(limit, now),
            (bucket, limit) => *bucket = limit.map(Bucket::new),
        }
    }

    pub(super) fn acquire(&mut self, token: &K, priority: Priority, now: Timestamp) -> Admission {
        self.distrust_future(now);
        if self.reserved.remove(token).is_some() {
            self.in_flight += 1;
            return Admission::Go;
        }
        let before = self.queue.remove(token);
        if self.queue.is_empty() && !self.yields_to_caller() && self.take(now) {
            self.goes_before_callers();
            self.shares.count(token.namespace(), now);
            self.in_flight += 1;
            return Admission::Go;
        }
        let has_failed = self.outage.is_failing(token);
        self.queue.insert(token, priority, has_failed, before);
        self.queued_until(token, now)
    }

    /// Until when a token of the queue waits.
    fn queued_until(&self, token: &K, now: Timestamp) -> Admission {
        if let Some(until) = self.limited_until(now) {
            return if self.exhausted {
                Admission::Exhausted(until)
            } else {
                Admission::Limited(until)
            };
        }
        let ahead = self.queue.ahead(token, self.near(now));
        let worth_reporting = |at: &Timestamp| *at > now + WORTH_REPORTING;
        let rate = self.bucket.map(|bucket| bucket.expected(bucket.next(), ahead, now));
        let rate = rate.filter(worth_reporting);
        match (self.outage.slot(ahead, now).filter(worth_reporting), rate) {
            (Some(slot), rate) => Admission::Unavailable(rate.map_or(slot, |rate| rate.max(slot))),
            (None, Some(rate)) => Admission::Limited(rate),
            (None, None) => Admission::Queued,
        }
    }

    /// Until when a renewal that must be stored is near.
    fn near(&self, now: Timestamp) -> Timestamp {
        let whole_queue = self.bucket.map(|bucket| bucket.expected(now, self.queue.len(), now));
        whole_queue.unwrap_or(now).max(now + NEAR)
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
        if matches!(ending, Ending::Refused | Ending::Unavailable { .. }) {
            let shares = match mint {
                Mint::ForSecret => &mut self.shares,
                Mint::ForRequest => &mut self.request_shares,
            };
            shares.count_failure(token.namespace(), now);
        }
        let mut longer = SignedDuration::ZERO;
        match ending {
            Ending::Granted => {
                self.window = (self.window * 2).min(concurrency);
                self.outage.answered(token, mint);
                let waiting = self.outage.granted(&self.queue, now);
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
        self.outage.slot_after_failure(&self.queue, now)
    }

    fn settle(&mut self, now: Timestamp) {
        let waiting = self.outage.settle(&self.queue, now);
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

    /// The RealtimeToken is gone.
    pub(super) fn withdraw(&mut self, token: &K) {
        self.leave(token);
        self.outage.forget(token);
    }

    /// A token gives up its place in the queue and the slot that is reserved for it. Returns whether it had any.
    pub(super) fn leave(&mut self, token: &K) -> bool {
        let had_place = self.queue.remove(token).is_some();
        self.give_up_slot(token) || had_place
    }

    /// A token gives up the slot that is reserved for it. Returns whether there was one.
    pub(super) fn give_up_slot(&mut self, token: &K) -> bool {
        self.reserved.remove(token).is_some()
    }

    /// Reserves slots for the first in the queue, as many as there are, and adds to `woken` these tokens and those that
    /// waited for the provider to be back. Returns whether an outage has begun or ended.
    pub(super) fn poll(&mut self, now: Timestamp, woken: &mut Vec<K>) -> bool {
        self.settle(now);
        woken.append(&mut self.recovered);
        self.pauses.forget_old(now);
        self.shares.forget_old(now);
        self.request_shares.forget_old(now);
        self.distrust_future(now);
        while let Some(next) = self.queue.next(&self.shares, self.near(now)) {
            let (token, is_urgent) = (next.token.clone(), next.is_urgent);
            if !is_urgent && self.yields_to_caller() || !self.take(now) {
                break;
            }
            if !is_urgent {
                self.goes_before_callers();
            }
            self.queue.serve(&token);
            self.shares.count(token.namespace(), now);
            self.reserved.insert(token.clone(), now + RESERVED_FOR);
            woken.push(token);
        }
        let is_out = self.outage.since().is_some();
        std::mem::replace(&mut self.reported_out, is_out) != is_out
    }

    /// Another replica leads: no controller takes the slots of Secrets here any more.
    pub(super) fn forget_queue(&mut self) {
        self.queue.clear();
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
        if self.yields_to_caller() {
            return Some(now + NEXT_LOOK); // a renewal may have become urgent
        }
        let by_rate = self.bucket.map(|bucket| bucket.next());
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
            && self.bucket.is_none_or(|bucket| bucket.is_full(now))
    }

    /// Lets go of reservations that have ended, and of what was timed by a clock that has been set back since.
    fn distrust_future(&mut self, now: Timestamp) {
        let is_reserved = |until: Timestamp| until > now && until <= now + RESERVED_FOR;
        self.reserved.retain(|_, until| is_reserved(*until));
        self.limited_until.take_if(|until| *until > now + LONGEST_LIMIT);
        if let Some(bucket) = &mut self.bucket {
            bucket.distrust_future(now);
        }
    }

    #[cfg(test)]
    pub(super) fn known_namespaces(&self) -> usize {
        self.shares.len() + self.request_shares.len()
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
}
