//! The budgets, shared between tasks. Every change wakes the task that waits in [`Budgets::next`], and news of a
//! credential goes to the one who reports its health.

use std::hash::Hash;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::{Admission, Budget, Ending, Priority};
use crate::api::RateLimit;
use crate::token::report::provider::{CredentialHealth, KeyVerdict};

/// The budgets of all credentials `C`, for tokens `K`.
pub(crate) struct Budgets<C, K> {
    budget: Mutex<Budget<C, K>>,
    /// Wakes [`Budgets::next`].
    changed: Notify,
    /// Credentials whose health may have changed.
    news: mpsc::UnboundedSender<C>,
}

impl<C: Clone + Eq + Hash, K: Clone + Eq + Hash + Ord> Budgets<C, K> {
    /// Budgets that allow `concurrency` mints at a time for each credential. The receiver gets each credential whose
    /// health may have changed.
    pub(crate) fn new(concurrency: usize) -> (Self, mpsc::UnboundedReceiver<C>) {
        let (news, receiver) = mpsc::unbounded_channel();
        let budgets = Self {
            budget: Mutex::new(Budget::new(concurrency)),
            changed: Notify::new(),
            news,
        };
        (budgets, receiver)
    }

    /// Asks for a slot to mint `token`. After [`Admission::Go`] the slot must be given back by [`Budgets::release`].
    pub(crate) fn acquire(
        &self,
        credential: &C,
        token: &K,
        priority: Priority,
        limit: Option<RateLimit>,
        now: Timestamp,
    ) -> Admission {
        let admission = self.budget.lock().acquire(credential, token, priority, limit, now);
        if admission != Admission::Go {
            self.changed.notify_one();
        }
        admission
    }

    /// Gives a slot back. Returns how much longer the credential is limited than was known before.
    pub(crate) fn release(&self, credential: &C, ending: Ending, now: Timestamp) -> SignedDuration {
        let longer = self.budget.lock().release(credential, ending, now);
        self.changed.notify_one();
        if longer.is_positive() {
            self.report(credential);
        }
        longer
    }

    /// Takes a token that is no longer to be minted out of the queue.
    pub(crate) fn withdraw(&self, token: &K) {
        self.budget.lock().withdraw(token);
        self.changed.notify_one();
    }

    pub(crate) fn note_verdict(&self, credential: &C, verdict: KeyVerdict) {
        if self.budget.lock().note_verdict(credential, verdict) {
            self.report(credential);
        }
    }

    /// Has the health of a credential reported again, since its key was changed.
    pub(crate) fn report(&self, credential: &C) {
        // Fails only after the controller has stopped.
        let _ = self.news.send(credential.clone());
    }

    /// Forgets the verdicts on credentials that are not `used`, and then everything of a credential that is idle.
    pub(crate) fn retain_verdicts(&self, used: impl Fn(&C) -> bool) {
        self.budget.lock().retain_verdicts(used);
        self.changed.notify_one(); // polls, which drops what is idle
    }

    pub(crate) fn health(&self, credential: &C, now: Timestamp) -> CredentialHealth {
        self.budget.lock().health(credential, now)
    }

    /// Waits until slots have come, and returns the tokens they are reserved for. Each of them is to
    /// [`Budgets::acquire`] within seconds. Made for one waiting task. `now` reads the clock.
    pub(crate) async fn next(&self, now: impl Fn() -> Timestamp) -> Vec<K> {
        loop {
            let at = now();
            let (woken, next) = self.budget.lock().poll(at);
            if !woken.is_empty() {
                return woken;
            }
            let wait = next.map(|next| Duration::try_from(next.duration_since(at)).unwrap_or(Duration::from_millis(1)));
            let pause = async {
                match wait {
                    Some(wait) => tokio::time::sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = pause => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
