//! One budget per credential: rate, concurrency and the provider's own limits, shared by all its tokens.
//!
//! A plain state machine with time as an argument. Who may not mint yet waits in a queue, first issue before renewals
//! and nearest deadline first; [`Budget::poll`] says whose turn it is. Credentials never wait for each other.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

use crate::api::RateLimit;

/// How long a turn is kept for somebody who was called and doesn't come: deleted or suspended meanwhile.
const TURN: SignedDuration = SignedDuration::from_secs(5);

/// The budgets of all credentials `C`, for objects `K`.
#[derive(Debug)]
pub struct Budget<C, K> {
    concurrency: usize,
    accounts: HashMap<C, Account<K>>,
}

/// Who comes first: lower is sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority {
    /// Whether a usable token is there already; those without come first.
    pub has_token: bool,
    /// When the current token falls below its floor.
    pub deadline: Timestamp,
}

/// What a credential says to somebody who wants to mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go ahead, and [`Budget::release`] afterwards.
    Go,
    /// Queued; [`Budget::poll`] will call.
    Queued,
    /// Queued, and the provider's or the configured limit holds until this time.
    Limited(Timestamp),
}

/// How a mint ended, as far as the budget is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The provider answered.
    Answered,
    /// The provider limits this credential until then.
    Throttled(Timestamp),
}

#[derive(Debug)]
struct Account<K> {
    queue: BTreeSet<(Priority, K)>,
    queued: HashMap<K, Priority>,
    in_flight: usize,
    called: HashMap<K, Timestamp>,
    /// How many may be in flight: one after the provider said stop, doubling with each answer.
    window: usize,
    limited_until: Option<Timestamp>,
    bucket: Option<Bucket>,
}

/// A token bucket that refills evenly.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    limit: RateLimit,
    /// When the bucket is full again if nothing is taken: the whole state, so there is nothing to tick.
    full_at: Timestamp,
}

impl<C: Clone + Eq + Hash, K: Clone + Eq + Hash + Ord> Budget<C, K> {
    /// Budgets that allow `concurrency` mints at a time for each credential.
    #[must_use]
    pub fn new(concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            accounts: HashMap::new(),
        }
    }

    /// Asks for a turn.
    pub fn acquire(
        &mut self,
        credential: &C,
        who: &K,
        priority: Priority,
        limit: Option<RateLimit>,
        now: Timestamp,
    ) -> Admission {
        let concurrency = self.concurrency;
        let account = self
            .accounts
            .entry(credential.clone())
            .or_insert_with(|| Account::new(concurrency));
        account.set_limit(limit, now);
        account.expire(now);
        if account.called.remove(who).is_some() {
            account.in_flight += 1;
            return Admission::Go;
        }
        account.dequeue(who);
        if account.queue.is_empty() && account.take(now) {
            account.in_flight += 1;
            return Admission::Go;
        }
        account.enqueue(who.clone(), priority);
        match account.limited_until.filter(|until| *until > now) {
            Some(until) => Admission::Limited(until),
            None => match account.patience(now) {
                Some(until) => Admission::Limited(until),
                None => Admission::Queued,
            },
        }
    }

    /// Gives a turn back.
    pub fn release(&mut self, credential: &C, ending: Ending) {
        let concurrency = self.concurrency;
        if let Some(account) = self.accounts.get_mut(credential) {
            account.in_flight = account.in_flight.saturating_sub(1);
            match ending {
                Ending::Answered => account.window = (account.window * 2).min(concurrency),
                Ending::Throttled(until) => {
                    account.window = 1;
                    account.limited_until = account.limited_until.max(Some(until));
                }
            }
        }
    }

    /// Takes somebody out of the queue who no longer wants to mint.
    pub fn withdraw(&mut self, who: &K) {
        for account in self.accounts.values_mut() {
            account.dequeue(who);
            account.called.remove(who);
        }
    }

    /// Whose turn it is, and when to ask again.
    pub fn poll(&mut self, now: Timestamp) -> (Vec<K>, Option<Timestamp>) {
        let mut turns = Vec::new();
        let mut next: Option<Timestamp> = None;
        for account in self.accounts.values_mut() {
            account.expire(now);
            while !account.queue.is_empty() && account.take(now) {
                if let Some((_, who)) = account.queue.pop_first() {
                    account.queued.remove(&who);
                    account.called.insert(who.clone(), now + TURN);
                    turns.push(who);
                }
            }
            if let Some(at) = account.next_change(now) {
                next = Some(next.map_or(at, |earlier| earlier.min(at)));
            }
        }
        self.accounts.retain(|_, account| !account.is_idle(now));
        (turns, next)
    }

    /// Until when the provider limits a credential.
    #[must_use]
    pub fn limited_until(&self, credential: &C, now: Timestamp) -> Option<Timestamp> {
        self.accounts
            .get(credential)?
            .limited_until
            .filter(|until| *until > now)
    }
}

impl<K: Clone + Eq + Hash + Ord> Account<K> {
    fn new(window: usize) -> Self {
        Self {
            queue: BTreeSet::new(),
            queued: HashMap::new(),
            in_flight: 0,
            called: HashMap::new(),
            window,
            limited_until: None,
            bucket: None,
        }
    }

    /// A changed limit applies from now on; what was taken under the old one stays taken.
    fn set_limit(&mut self, limit: Option<RateLimit>, now: Timestamp) {
        let full_at = self.bucket.map_or(now, |bucket| bucket.full_at);
        self.bucket = limit.map(|limit| Bucket { limit, full_at });
    }

    fn enqueue(&mut self, who: K, priority: Priority) {
        self.queue.insert((priority, who.clone()));
        self.queued.insert(who, priority);
    }

    fn dequeue(&mut self, who: &K) {
        if let Some(priority) = self.queued.remove(who) {
            self.queue.remove(&(priority, who.clone()));
        }
    }

    fn expire(&mut self, now: Timestamp) {
        self.called.retain(|_, until| *until > now);
    }

    fn take(&mut self, now: Timestamp) -> bool {
        let limited = self.limited_until.is_some_and(|until| until > now);
        if limited || self.in_flight + self.called.len() >= self.window {
            return false;
        }
        self.bucket.as_mut().is_none_or(|bucket| bucket.take(now))
    }

    /// When somebody at the end of the queue can expect a turn from the configured rate, if that is long enough to be
    /// worth telling.
    fn patience(&self, now: Timestamp) -> Option<Timestamp> {
        let bucket = self.bucket.as_ref()?;
        let ahead = i32::try_from(self.queue.len()).unwrap_or(i32::MAX);
        let at = bucket
            .next()
            .max(now)
            .checked_add(bucket.interval() * ahead.saturating_sub(1).min(10_000))
            .ok()?;
        (at > now + SignedDuration::from_secs(10)).then_some(at)
    }

    fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        if self.queue.is_empty() {
            return None;
        }
        if let Some(until) = self.limited_until.filter(|until| *until > now) {
            return Some(until);
        }
        if self.in_flight + self.called.len() >= self.window {
            return self.called.values().min().copied(); // a release polls anyway
        }
        self.bucket
            .as_ref()
            .map(|bucket| bucket.next().max(now + SignedDuration::from_millis(1)))
    }

    fn is_idle(&self, now: Timestamp) -> bool {
        self.queue.is_empty()
            && self.called.is_empty()
            && self.in_flight == 0
            && self.limited_until.is_none_or(|until| until <= now)
            && self.bucket.as_ref().is_none_or(|bucket| bucket.full_at <= now)
    }
}

impl Bucket {
    fn interval(&self) -> SignedDuration {
        SignedDuration::from_nanos(60_000_000_000 / self.limit.requests_per_minute.max(1))
    }

    /// The earliest time at which a token can be taken.
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

#[cfg(test)]
mod tests;
