//! The configured rate of a credential: a token bucket that refills evenly.

use jiff::{SignedDuration, Timestamp};

use super::credential::share;
use crate::api::RateLimit;

#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    limit: RateLimit,
    /// When the bucket is full again if nothing is taken: the whole state, so there is nothing to tick.
    full_at: Timestamp,
}

impl Bucket {
    /// A full one.
    pub(super) const fn new(limit: RateLimit) -> Self {
        let full_at = Timestamp::MIN;
        Self { limit, full_at }
    }

    /// A changed limit applies from now on; what was taken under the old one stays taken.
    pub(super) fn set_limit(&mut self, limit: RateLimit, now: Timestamp) {
        self.limit = limit;
        self.distrust_future(now);
    }

    /// Filling it takes no longer than this: the limit was raised, or the clock was set back since.
    pub(super) fn distrust_future(&mut self, now: Timestamp) {
        self.full_at = self.full_at.min(now + self.interval() * self.burst());
    }

    pub(super) fn is_full(&self, now: Timestamp) -> bool {
        self.full_at <= now
    }

    pub(super) fn interval(&self) -> SignedDuration {
        SignedDuration::from_nanos(60_000_000_000 / self.limit.requests_per_minute.max(1))
    }

    fn burst(&self) -> i32 {
        i32::try_from(self.limit.burst.clamp(1, 100_000)).unwrap_or(1)
    }

    /// The earliest time at which a slot can be taken.
    pub(super) fn next(&self) -> Timestamp {
        let earliest = self.full_at.checked_sub(self.interval() * (self.burst() - 1));
        earliest.unwrap_or(Timestamp::MIN)
    }

    /// The same for a request, which leaves a part of the burst to Secrets.
    pub(super) fn next_for_request(&self) -> Timestamp {
        let burst = usize::try_from(self.burst()).unwrap_or(1);
        let left = i32::try_from(burst - share(burst)).unwrap_or(i32::MAX);
        let after = self.next().checked_add(self.interval() * left);
        after.unwrap_or(Timestamp::MAX)
    }

    /// When a slot can be expected from `next` on by one who has so many ahead.
    pub(super) fn expected(&self, next: Timestamp, ahead: usize, now: Timestamp) -> Timestamp {
        let wait = self.interval() * i32::try_from(ahead).unwrap_or(i32::MAX).min(10_000);
        next.max(now).checked_add(wait).unwrap_or(Timestamp::MAX)
    }

    pub(super) fn take(&mut self, now: Timestamp) -> bool {
        let is_free = self.next() <= now;
        if is_free {
            self.full_at = self.full_at.max(now) + self.interval();
        }
        is_free
    }

    pub(super) fn take_for_request(&mut self, now: Timestamp) -> bool {
        self.next_for_request() <= now && self.take(now)
    }
}
