//! The requests that wait for a slot of one credential: callers, and behind them the pools that refill. Their namespaces
//! take turns; within one, who came first is first. Only the first of all may take a slot, and it is woken when it may be
//! possible.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use super::Claim;
use super::shares::Shares;

/// How many callers of one namespace wait for one credential, and how many refills. More are told at once that it is busy.
const LONGEST: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    callers: Lines,
    refills: Lines,
    last: u64,
}

/// By namespace; none is empty.
type Lines = BTreeMap<String, VecDeque<Waiter>>;

#[derive(Debug)]
struct Waiter {
    number: u64,
    wake: Arc<Notify>,
}

/// A place in the queue.
#[derive(Debug)]
pub(super) struct Ticket {
    claim: Claim,
    namespace: String,
    number: u64,
    pub(super) wake: Arc<Notify>,
}

impl Waiting {
    /// A place at the end of its namespace; `None` if that has too many already.
    pub(super) fn enter(&mut self, claim: Claim, namespace: &str) -> Option<Ticket> {
        let number = self.last + 1;
        let line = self.of_mut(claim).entry(namespace.to_owned()).or_default();
        if line.len() >= LONGEST {
            return None;
        }
        let wake = Arc::new(Notify::new());
        line.push_back(Waiter {
            number,
            wake: Arc::clone(&wake),
        });
        self.last = number;
        Some(Ticket {
            claim,
            namespace: namespace.to_owned(),
            number,
            wake,
        })
    }

    pub(super) fn leave(&mut self, ticket: &Ticket) {
        let lines = self.of_mut(ticket.claim);
        if let Some(line) = lines.get_mut(&ticket.namespace) {
            line.retain(|waiter| waiter.number != ticket.number);
            if line.is_empty() {
                lines.remove(&ticket.namespace);
            }
        }
    }

    /// About how many go before this one, or before one of this namespace that comes now: none before the first.
    pub(super) fn ahead(&self, claim: Claim, namespace: &str, ticket: Option<&Ticket>, shares: &Shares) -> usize {
        let of_its_kind = ahead(self.of(claim), namespace, ticket, shares);
        match claim {
            Claim::Caller => of_its_kind,
            Claim::Refill => self.callers.values().map(VecDeque::len).sum::<usize>() + of_its_kind,
        }
    }

    pub(super) fn has_callers(&self) -> bool {
        !self.callers.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.callers.is_empty() && self.refills.is_empty()
    }

    /// Has the first look whether it may go.
    pub(super) fn wake_first(&self, shares: &Shares) {
        if let Some(first) = first(&self.callers, shares).or_else(|| first(&self.refills, shares)) {
            first.wake.notify_one();
        }
    }

    const fn of(&self, claim: Claim) -> &Lines {
        match claim {
            Claim::Caller => &self.callers,
            Claim::Refill => &self.refills,
        }
    }

    const fn of_mut(&mut self, claim: Claim) -> &mut Lines {
        match claim {
            Claim::Caller => &mut self.callers,
            Claim::Refill => &mut self.refills,
        }
    }
}

/// Whose turn it is: that of the namespace that had fewest mints, and of several the one whose first came first.
fn first<'a>(lines: &'a Lines, shares: &Shares) -> Option<&'a Waiter> {
    let heads = lines
        .iter()
        .filter_map(|(namespace, line)| Some((namespace, line.front()?)));
    let (_, first) = heads.min_by_key(|(namespace, head)| (shares.had(namespace), head.number))?;
    Some(first)
}

fn ahead(lines: &Lines, namespace: &str, ticket: Option<&Ticket>, shares: &Shares) -> usize {
    let own = lines.get(namespace);
    // Numbers only grow, so each line is sorted by them.
    let number = ticket.map_or(u64::MAX, |ticket| ticket.number);
    let place = own.map_or(0, |line| line.partition_point(|waiter| waiter.number < number));
    let turn =
        |namespace: &str, head: Option<&Waiter>| (shares.had(namespace), head.map_or(number, |head| head.number));
    let own_turn = turn(namespace, own.and_then(VecDeque::front));
    let others = lines.iter().filter(|(other, _)| *other != namespace);
    let before = others.map(|(other, line)| {
        let goes_first = turn(other, line.front()) < own_turn;
        line.len().min(place + usize::from(goes_first))
    });
    place + before.sum::<usize>()
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn how_many_go_before_one_that_waits() {
        let (mut waiting, mut shares) = (Waiting::default(), Shares::default());
        let [shop_1, shop_2, web_1, shop_3, web_2] =
            ["shop", "shop", "web", "shop", "web"].map(|namespace| waiting.enter(Claim::Caller, namespace).unwrap());
        let refill = waiting.enter(Claim::Refill, "shop").unwrap();
        {
            let ahead = |ticket: &Ticket| waiting.ahead(ticket.claim, &ticket.namespace, Some(ticket), &shares);
            assert_eq!([&shop_1, &shop_2, &shop_3].map(ahead), [0, 2, 4]);
            assert_eq!([&web_1, &web_2].map(ahead), [1, 3]);
            assert_eq!(ahead(&refill), 5, "behind all callers");
            let newcomer = |claim, namespace| waiting.ahead(claim, namespace, None, &shares);
            assert_eq!(
                ["shop", "web", "third"].map(|of| newcomer(Claim::Caller, of)),
                [5, 5, 2]
            );
            assert_eq!(["shop", "web"].map(|of| newcomer(Claim::Refill, of)), [6, 6]);
        }
        shares.count("shop", Timestamp::UNIX_EPOCH);
        let ahead = |ticket: &Ticket| waiting.ahead(ticket.claim, &ticket.namespace, Some(ticket), &shares);
        assert_eq!([&shop_1, &web_1].map(ahead), [1, 0], "shop has had one already");
    }
}
