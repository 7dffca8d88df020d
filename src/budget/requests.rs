//! Slots for requests. A slot whose mint was dropped before its end is given back by its guard; so is a
//! place in the queue.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::credential::{CredentialBudget, RequestAdmission};
use super::waiting::Ticket;
use super::{Budgets, Claim, Ending, TokenName};
use crate::api::Reason;
use crate::token::MintError;

/// Deadlines that are further away are not told apart.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// A caller that waits looks again this often: that the controller has ended, and with it the queue of Secrets, wakes
/// nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// Why a request gets no slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoSlot {
    /// The credential is limited until then, which is after the request's deadline.
    Limited { until: Timestamp, reason: Reason },
    /// Others go first until the request's deadline, or too many wait already.
    Busy,
    /// The credential was rejected just now, with this error.
    Rejected(MintError),
}

/// What a request asks a slot for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SlotRequest<'a, C, K> {
    pub(crate) credential: &'a C,
    pub(crate) token: &'a K,
    /// Of the credential.
    pub(crate) revision: &'a str,
    pub(crate) claim: Claim,
}

/// A slot for one mint of a request.
pub(crate) struct Slot<C: Clone + Eq + Hash, K: TokenName> {
    budgets: Arc<Budgets<C, K>>,
    credential: C,
    token: K,
    revision: String,
    /// When it was given.
    pub(crate) began: Timestamp,
    is_released: bool,
}

/// A place in the queue of requests, left when it is dropped.
struct Place<'a, C: Clone + Eq + Hash, K: TokenName> {
    budgets: &'a Budgets<C, K>,
    credential: &'a C,
    ticket: Ticket,
}

impl<C: Clone + Eq + Hash, K: TokenName> Budgets<C, K> {
    /// Waits for a slot until the deadline. `now` reads the clock.
    pub(crate) async fn slot_for_request(
        self: &Arc<Self>,
        wanted: SlotRequest<'_, C, K>,
        deadline: Instant,
        now: impl Fn() -> Timestamp,
    ) -> Result<Slot<C, K>, NoSlot> {
        let mut place: Option<Place<'_, C, K>> = None;
        loop {
            let at = now();
            let left = deadline.saturating_duration_since(Instant::now());
            let ends = at + SignedDuration::try_from(left.min(LONGEST_WAIT)).unwrap_or_default();
            let (admission, ticket) =
                self.acquire_for_request(&wanted, place.as_ref().map(|place| &place.ticket), ends, at);
            let until = match admission {
                RequestAdmission::Go => return Ok(self.granted(&wanted, at)),
                RequestAdmission::No(no) => return Err(no),
                RequestAdmission::Wait(_) if left.is_zero() => return Err(NoSlot::Busy),
                RequestAdmission::Wait(until) => until,
            };
            if let Some(ticket) = ticket {
                let (budgets, credential) = (self.as_ref(), wanted.credential);
                place = Some(Place {
                    budgets,
                    credential,
                    ticket,
                });
            }
            let Some(place) = &place else {
                return Err(NoSlot::Busy); // the queue is full
            };
            let wait = until.map_or(left, |until| left.min(wait(at, until))).min(LOOK_AGAIN);
            // Woken, or it is time to look again: which of the two makes no difference.
            let _ = tokio::time::timeout(wait, place.ticket.wake.notified()).await;
        }
    }

    /// What a request is to do, with its place in the queue if it has none yet and is to wait.
    fn acquire_for_request(
        &self,
        wanted: &SlotRequest<'_, C, K>,
        ticket: Option<&Ticket>,
        deadline: Timestamp,
        now: Timestamp,
    ) -> (RequestAdmission, Option<Ticket>) {
        let controller_runs = self.is_followed();
        let (admission, entered, has_woken) = self.with(wanted.credential, |budget| {
            if !controller_runs {
                budget.forget_queue();
            }
            let ahead = budget.requests_ahead(wanted.token, wanted.claim, ticket);
            let admission = budget.acquire_for_request(wanted.token, wanted.revision, ahead, deadline, now);
            let enters = ticket.is_none() && matches!(admission, RequestAdmission::Wait(_)) && deadline > now;
            let entered = enters
                .then(|| budget.waiting.enter(wanted.claim, wanted.token.namespace()))
                .flatten();
            (admission, entered, budget.has_recovered())
        });
        if has_woken {
            self.changed.notify_one();
        }
        (admission, entered)
    }

    fn granted(self: &Arc<Self>, wanted: &SlotRequest<'_, C, K>, began: Timestamp) -> Slot<C, K> {
        Slot {
            budgets: Arc::clone(self),
            credential: wanted.credential.clone(),
            token: wanted.token.clone(),
            revision: wanted.revision.to_owned(),
            began,
            is_released: false,
        }
    }

    /// Forgets what only a replica that serves requests and doesn't lead would keep: no controller takes it in. To be called
    /// every few seconds.
    pub(crate) fn sweep(&self, now: Timestamp) {
        if self.is_followed() {
            return; // `next` does it
        }
        for budget in self.credentials.lock().values_mut() {
            budget.verdict = None;
        }
        self.poll(now);
    }
}

impl<C: Clone + Eq + Hash, K: TokenName> Slot<C, K> {
    /// Gives the slot back. After `rejected`, what was said against the credential, not every request asks again. Returns how
    /// much longer the credential is limited than was known before.
    pub(crate) fn release(mut self, ending: Ending, rejected: Option<&MintError>, now: Timestamp) -> SignedDuration {
        self.is_released = true;
        let concurrency = self.budgets.concurrency;
        let longer = self.budgets.change(&self.credential, |budget| {
            let longer = budget.release_request(&self.token, ending, concurrency, now);
            if let Some(error) = rejected {
                budget.credential_rejected(&self.token, &self.revision, error, now);
            }
            longer
        });
        if longer.is_positive() {
            self.budgets.report(&self.credential);
        }
        longer
    }
}

impl<C: Clone + Eq + Hash, K: TokenName> Drop for Slot<C, K> {
    fn drop(&mut self) {
        if !self.is_released {
            self.budgets.change(&self.credential, CredentialBudget::give_back);
        }
    }
}

impl<C: Clone + Eq + Hash, K: TokenName> Drop for Place<'_, C, K> {
    fn drop(&mut self) {
        self.budgets
            .change(self.credential, |budget| budget.waiting.leave(&self.ticket));
    }
}

fn wait(now: Timestamp, until: Timestamp) -> Duration {
    let wait = Duration::try_from(until.duration_since(now)).unwrap_or_default();
    wait.max(Duration::from_millis(1))
}
