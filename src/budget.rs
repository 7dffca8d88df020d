//! One budget per credential: rate, concurrency, the provider's own limit, its outages and its last verdict on the key,
//! shared by all tokens of the credential.
//!
//! Tokens that may not be minted yet wait in a queue: renewals that are near their deadline first, and else the namespaces
//! that use the credential take turns. Credentials never wait for each other. Time is an argument. Every change wakes the
//! task that waits in [`Budgets::next`], and news of a credential goes to the receiver that [`Budgets::subscribe`] returns.

mod bucket;
mod credential;
mod outage;
mod pauses;
mod queue;
mod requests;
mod shares;
mod waiting;

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use self::credential::CredentialBudget;
pub(crate) use self::requests::{NoSlot, Slot, SlotRequest};
use crate::api::{RateLimit, Reason};
use crate::token::lifecycle::Limit;
use crate::token::report::provider::{CredentialHealth, KeyVerdict};

/// What a token is called by.
pub(crate) trait TokenName: Clone + Eq + Hash + Ord {
    /// Whose mints it counts as. The namespaces that use a credential share it evenly.
    fn namespace(&self) -> &str;
}

/// The budgets of all credentials `C`, for tokens `K`.
#[derive(Debug)]
pub(crate) struct Budgets<C, K> {
    concurrency: usize,
    /// The configured rates.
    limits: Mutex<HashMap<C, RateLimit>>,
    credentials: Mutex<HashMap<C, CredentialBudget<K>>>,
    /// Wakes [`Budgets::next`].
    changed: Notify,
    /// For credentials whose health may have changed; none while no controller reports it.
    news: Mutex<Option<mpsc::UnboundedSender<C>>>,
}

/// What the order in the queue depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Priority {
    /// A stored token is replaced, and its successor must be stored by then to keep the floor for every reader.
    Renewal { by: Timestamp },
    /// There is no token.
    FirstIssue { since: Timestamp },
}

/// The answer to a token that is to be minted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Mint now, and [`Budgets::release`] afterwards.
    Go,
    /// Queued; [`Budgets::next`] returns the token when its slot has come.
    Queued,
    /// Queued, and the provider's or the configured limit holds until this time.
    Limited(Timestamp),
    /// Queued, and the account has no credit or quota left; one mint is tried at this time.
    Exhausted(Timestamp),
    /// Queued, and the provider is out of order; the slot of this token is at about this time.
    Unavailable(Timestamp),
}

impl Admission {
    /// The limit that holds a mint back, if it isn't just other mints. `key` is its title for the owner of the token.
    pub(crate) fn limit(self, key: String) -> Option<Limit> {
        let (until, reason) = match self {
            Self::Go | Self::Queued => return None,
            Self::Limited(until) => (until, Reason::RateLimited),
            Self::Exhausted(until) => (until, Reason::QuotaExhausted),
            Self::Unavailable(until) => (until, Reason::ProviderUnavailable),
        };
        Some(Limit { until, key, reason })
    }
}

/// What a token is minted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mint {
    ForSecret,
    ForRequest,
}

/// Which request a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// Of a caller who waits.
    Caller,
    /// Of a pool of tokens that are minted ahead.
    Refill,
}

/// How a mint ended, as far as the budget is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The provider gave a token.
    Granted,
    /// The provider answered, and gave none.
    Refused,
    /// The provider was not asked.
    NotAsked,
    /// The provider, or the way to it, is out of order.
    Unavailable { began: Timestamp },
    /// The provider limits this credential until then.
    Throttled(Timestamp),
    /// The account of the credential has no credit or quota left; to be tried again then.
    Exhausted(Timestamp),
}

impl<C: Clone + Eq + Hash, K: TokenName> Budgets<C, K> {
    /// Budgets that allow `concurrency` mints at a time for each credential.
    pub(crate) fn new(concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            limits: Mutex::default(),
            credentials: Mutex::default(),
            changed: Notify::new(),
            news: Mutex::default(),
        }
    }

    /// Whether nothing is remembered of any credential.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.credentials.lock().is_empty() && self.limits.lock().is_empty()
    }

    /// The receiver gets each credential whose health may have changed, in place of an earlier receiver.
    pub(crate) fn subscribe(&self) -> mpsc::UnboundedReceiver<C> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.news.lock() = Some(sender);
        receiver
    }

    /// Whether the controller runs, which takes in news and the slots of Secrets.
    fn is_followed(&self) -> bool {
        self.news.lock().as_ref().is_some_and(|news| !news.is_closed())
    }

    /// Sets the configured rates of all credentials, in place of those before.
    pub(crate) fn set_limits(&self, limits: HashMap<C, RateLimit>, now: Timestamp) {
        self.limits.lock().clone_from(&limits);
        for (credential, budget) in self.credentials.lock().iter_mut() {
            budget.set_limit(limits.get(credential).copied(), now);
            budget.wake_first_request();
        }
        self.changed.notify_one();
    }

    fn with<T>(&self, credential: &C, work: impl FnOnce(&mut CredentialBudget<K>) -> T) -> T {
        let mut all = self.credentials.lock();
        let new = || {
            let limit = self.limits.lock().get(credential).copied();
            CredentialBudget::new(self.concurrency, limit)
        };
        work(all.entry(credential.clone()).or_insert_with(new))
    }

    /// Makes a change after which a slot may be free.
    fn change<T>(&self, credential: &C, work: impl FnOnce(&mut CredentialBudget<K>) -> T) -> T {
        let result = self.with(credential, |budget| {
            let result = work(budget);
            budget.wake_first_request();
            result
        });
        self.changed.notify_one();
        result
    }

    /// Asks for a slot to mint `token` for its Secret. After [`Admission::Go`] the slot must be given back by [`Budgets::release`].
    pub(crate) fn acquire(&self, credential: &C, token: &K, priority: Priority, now: Timestamp) -> Admission {
        let admission = self.with(credential, |budget| {
            let admission = budget.acquire(token, priority, now);
            budget.wake_first_request();
            admission
        });
        if admission != Admission::Go {
            self.changed.notify_one();
        }
        admission
    }

    /// Gives the slot of a token back. Returns how much longer the credential is limited than was known before.
    pub(crate) fn release(&self, credential: &C, token: &K, ending: Ending, now: Timestamp) -> SignedDuration {
        let longer = self.change(credential, |budget| {
            budget.release(token, ending, Mint::ForSecret, self.concurrency, now)
        });
        if longer.is_positive() {
            self.report(credential);
        }
        longer
    }

    /// Takes in that a token waits out failures of [`Ending::Unavailable`], of which the last was then: after a restart
    /// only it knows. [`Budgets::next`] returns it when the provider is back.
    pub(crate) fn wait_out(&self, credential: &C, token: &K, failed: u32, last: Timestamp, now: Timestamp) {
        self.change(credential, |budget| budget.wait_out(token, failed, last, now));
    }

    /// While the provider is out of order: when a token that fails now is to be tried again at the earliest.
    pub(crate) fn slot(&self, credential: &C, now: Timestamp) -> Option<Timestamp> {
        self.credentials.lock().get(credential)?.slot(now)
    }

    /// Forgets a RealtimeToken that is gone.
    pub(crate) fn withdraw(&self, token: &K) {
        for budget in self.credentials.lock().values_mut() {
            budget.withdraw(token);
            budget.wake_first_request();
        }
        self.changed.notify_one();
    }

    /// Takes a token that is not to be minted now out of the queue, whichever credential it was to be minted with.
    pub(crate) fn leave(&self, token: &K) {
        self.give_up(|budget| budget.leave(token));
    }

    /// Gives up the slot that is reserved for a token that can't be looked at now.
    pub(crate) fn give_up_slot(&self, token: &K) {
        self.give_up(|budget| budget.give_up_slot(token));
    }

    fn give_up(&self, gives_up: impl Fn(&mut CredentialBudget<K>) -> bool) {
        let mut has_changed = false;
        for budget in self.credentials.lock().values_mut() {
            if gives_up(budget) {
                budget.wake_first_request();
                has_changed = true;
            }
        }
        if has_changed {
            self.changed.notify_one();
        }
    }

    /// Remembers what the provider said of the key, and reports what is news.
    pub(crate) fn note_verdict(&self, credential: &C, verdict: KeyVerdict) {
        let is_news = self.with(credential, |budget| {
            let is_news = budget.verdict.as_ref().is_none_or(|known| !verdict.repeats(known));
            budget.verdict = Some(verdict);
            is_news
        });
        if is_news {
            self.report(credential);
        }
    }

    /// Has the health of a credential reported again, since its key was changed.
    pub(crate) fn report(&self, credential: &C) {
        if let Some(news) = self.news.lock().as_ref() {
            // Fails only after the controller has stopped.
            let _ = news.send(credential.clone());
        }
    }

    /// Forgets the verdicts on credentials that are not `used`, and then everything of a credential that is idle.
    pub(crate) fn retain_verdicts(&self, used: impl Fn(&C) -> bool) {
        for (credential, budget) in self.credentials.lock().iter_mut() {
            budget.verdict.take_if(|_| !used(credential));
        }
        self.changed.notify_one(); // polls, which drops what is idle
    }

    pub(crate) fn health(&self, credential: &C, now: Timestamp) -> CredentialHealth {
        let all = self.credentials.lock();
        let health = all.get(credential).map(|budget| CredentialHealth {
            limited_until: budget.limited_until(now),
            unavailable_since: budget.unavailable_since(),
            verdict: budget.verdict.clone(),
        });
        health.unwrap_or_default()
    }

    /// Waits until slots have come, or a provider that was out of order is back. Returns the tokens that slots are
    /// reserved for, and those that have waited for the provider. Each of them is to [`Budgets::acquire`] within seconds,
    /// whatever it waits for by itself. Made for one waiting task. `now` reads the clock.
    pub(crate) async fn next(&self, now: impl Fn() -> Timestamp) -> Vec<K> {
        loop {
            let at = now();
            let (woken, next) = self.poll(at);
            if !woken.is_empty() {
                return woken;
            }
            let changed = self.changed.notified();
            let Some(next) = next else {
                changed.await;
                continue;
            };
            let wait = Duration::try_from(next.duration_since(at)).unwrap_or(Duration::from_millis(1));
            let _ = tokio::time::timeout(wait, changed).await;
        }
    }

    /// The tokens whose slot has come, and when to ask again.
    fn poll(&self, now: Timestamp) -> (Vec<K>, Option<Timestamp>) {
        let mut all = self.credentials.lock();
        let mut woken = Vec::new();
        for (credential, budget) in all.iter_mut() {
            if budget.poll(now, &mut woken) {
                self.report(credential);
            }
            budget.wake_first_request();
        }
        let next = all.values().filter_map(|budget| budget.next_change(now)).min();
        all.retain(|_, budget| !budget.is_idle(now));
        (woken, next)
    }
}

#[cfg(test)]
mod tests;
