//! One budget per credential: rate, concurrency, the provider's own limit and its last verdict on the key, shared by
//! all tokens of the credential.
//!
//! [`Budget`] is a plain state machine with time as an argument. Tokens that may not be minted yet wait in a queue,
//! first issue before renewals and nearest deadline first. Credentials never wait for each other. [`Budgets`] shares it
//! between tasks and wakes what must be woken after each change.

mod credential;
mod shared;

use std::collections::HashMap;
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

use self::credential::CredentialBudget;
pub(crate) use self::shared::Budgets;
use crate::api::RateLimit;
use crate::token::report::provider::{CredentialHealth, KeyVerdict};

#[derive(Debug)]
struct Budget<C, K> {
    concurrency: usize,
    credentials: HashMap<C, CredentialBudget<K>>,
}

/// The order in the queue: lower is sooner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Priority {
    /// Whether a usable token is stored; tokens without one come first.
    pub(crate) has_token: bool,
    /// When the stored token falls below its floor.
    pub(crate) deadline: Timestamp,
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
}

/// How a mint ended, as far as the budget is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The provider answered, or was not asked.
    Answered,
    /// The provider limits this credential until then.
    Throttled(Timestamp),
}

impl<C: Clone + Eq + Hash, K: Clone + Eq + Hash + Ord> Budget<C, K> {
    fn new(concurrency: usize) -> Self {
        Self {
            concurrency: concurrency.max(1),
            credentials: HashMap::new(),
        }
    }

    fn of(&mut self, credential: &C) -> &mut CredentialBudget<K> {
        let concurrency = self.concurrency;
        self.credentials
            .entry(credential.clone())
            .or_insert_with(|| CredentialBudget::new(concurrency))
    }

    fn acquire(
        &mut self,
        credential: &C,
        token: &K,
        priority: Priority,
        limit: Option<RateLimit>,
        now: Timestamp,
    ) -> Admission {
        let budget = self.of(credential);
        budget.set_limit(limit, now);
        budget.acquire(token, priority, now)
    }

    fn release(&mut self, credential: &C, ending: Ending, now: Timestamp) -> SignedDuration {
        let concurrency = self.concurrency;
        self.credentials
            .get_mut(credential)
            .map_or(SignedDuration::ZERO, |budget| budget.release(ending, concurrency, now))
    }

    fn withdraw(&mut self, token: &K) {
        for budget in self.credentials.values_mut() {
            budget.withdraw(token);
        }
    }

    /// The tokens whose slot has come, and when to ask again.
    fn poll(&mut self, now: Timestamp) -> (Vec<K>, Option<Timestamp>) {
        let mut woken = Vec::new();
        let mut next: Option<Timestamp> = None;
        for budget in self.credentials.values_mut() {
            budget.poll(now, &mut woken);
            if let Some(at) = budget.next_change(now) {
                next = Some(next.map_or(at, |earlier| earlier.min(at)));
            }
        }
        self.credentials.retain(|_, budget| !budget.is_idle(now));
        (woken, next)
    }

    /// Remembers what the provider said of the key. Returns whether it is news.
    fn note_verdict(&mut self, credential: &C, verdict: KeyVerdict) -> bool {
        let known = &mut self.of(credential).verdict;
        let is_news = known.as_ref() != Some(&verdict);
        *known = Some(verdict);
        is_news
    }

    fn retain_verdicts(&mut self, used: impl Fn(&C) -> bool) {
        for (credential, budget) in &mut self.credentials {
            if budget.verdict.is_some() && !used(credential) {
                budget.verdict = None;
            }
        }
    }

    fn health(&self, credential: &C, now: Timestamp) -> CredentialHealth {
        self.credentials
            .get(credential)
            .map(|budget| CredentialHealth {
                limited_until: budget.limited_until(now),
                verdict: budget.verdict.clone(),
            })
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
