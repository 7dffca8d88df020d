//! The requests that wait for a slot of one credential: callers in the order in which they came, and behind them the
//! pools that refill. Only the first of all may take a slot, and it is woken when it may be possible.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::Claim;

/// How many callers wait for one credential, and how many refills. More are told at once that it is busy.
const LONGEST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    callers: VecDeque<Waiter>,
    refills: VecDeque<Waiter>,
    last: u64,
}

#[derive(Debug)]
struct Waiter {
    number: u64,
    wake: Arc<Notify>,
}

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Ticket {
    claim: Claim,
    number: u64,
    pub(super) wake: Arc<Notify>,
}

impl Waiting {
    /// A place at the end; `None` if the queue is full.
    pub(super) fn enter(&mut self, claim: Claim) -> Option<Ticket> {
        if self.of(claim).len() >= LONGEST {
            return None;
        }
        self.last += 1;
        let (number, wake) = (self.last, Arc::new(Notify::new()));
        self.of_mut(claim).push_back(Waiter {
            number,
            wake: Arc::clone(&wake),
        });
        Some(Ticket { claim, number, wake })
    }

    pub(super) fn leave(&mut self, ticket: &Ticket) {
        if let Some(place) = self.place(ticket) {
            self.of_mut(ticket.claim).remove(place);
        }
    }

    /// How many go before this one, or before one that comes now.
    pub(super) fn ahead(&self, claim: Claim, ticket: Option<&Ticket>) -> usize {
        let place = ticket.and_then(|ticket| self.place(ticket));
        let of_its_kind = place.unwrap_or(self.of(claim).len());
        match claim {
            Claim::Caller => of_its_kind,
            Claim::Refill => self.callers.len() + of_its_kind,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.callers.is_empty() && self.refills.is_empty()
    }

    /// Has the first look whether it may go.
    pub(super) fn wake_first(&self) {
        if let Some(first) = self.callers.front().or(self.refills.front()) {
            first.wake.notify_one();
        }
    }

    /// Numbers only grow, so each queue is sorted by them.
    fn place(&self, ticket: &Ticket) -> Option<usize> {
        let queue = self.of(ticket.claim);
        queue.binary_search_by_key(&ticket.number, |waiter| waiter.number).ok()
    }

    const fn of(&self, claim: Claim) -> &VecDeque<Waiter> {
        match claim {
            Claim::Caller => &self.callers,
            Claim::Refill => &self.refills,
        }
    }

    const fn of_mut(&mut self, claim: Claim) -> &mut VecDeque<Waiter> {
        match claim {
            Claim::Caller => &mut self.callers,
            Claim::Refill => &mut self.refills,
        }
    }
}
