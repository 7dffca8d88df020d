//! The Secrets that wait for a slot of one credential, by namespace.
//!
//! Renewals that are near the time by which they must be stored go first, nearest first, unless their namespace has had
//! more than its share already. Else the next slot goes to the namespace that had fewest.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::shares::Shares;
use super::{Priority, TokenName};

#[derive(Debug)]
pub(super) struct Queue<K> {
    lines: BTreeMap<String, Line<K>>,
    places: HashMap<K, Place>,
    /// The number of the last line that was formed or served.
    turns: u64,
}

/// What waits in one namespace.
#[derive(Debug)]
struct Line<K> {
    renewals: BTreeSet<(Timestamp, K)>,
    first_issues: BTreeSet<(Timestamp, K)>,
    /// Their last mint met an outage. If their own spec is the cause, they must not be all that is tried.
    failed: BTreeSet<(Timestamp, K)>,
    /// Of namespaces that had as many mints, the lowest is next.
    turn: u64,
}

/// The place in the line of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    of: Kind,
    at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Renewal,
    FirstIssue,
    Failed,
}

/// Who is next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Next<'a, K> {
    pub(super) token: &'a K,
    /// Whether that is for its deadline.
    pub(super) is_urgent: bool,
}

impl<K: TokenName> Queue<K> {
    pub(super) fn new() -> Self {
        Self {
            lines: BTreeMap::new(),
            places: HashMap::new(),
            turns: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    pub(super) fn contains(&self, token: &K) -> bool {
        self.places.contains_key(token)
    }

    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.places.clear();
    }

    /// Queues a token. `before` is the place that it had: asking again costs no token its place.
    pub(super) fn insert(&mut self, token: &K, priority: Priority, has_failed: bool, before: Option<Place>) {
        let mut place = Place::new(priority, has_failed);
        if let Some(before) = before.filter(|before| before.of == place.of) {
            place.at = place.at.min(before.at);
        }
        self.remove(token);
        self.places.insert(token.clone(), place);
        if !self.lines.contains_key(token.namespace()) {
            self.turns += 1;
            self.lines.insert(token.namespace().to_owned(), Line::new(self.turns));
        }
        if let Some(line) = self.lines.get_mut(token.namespace()) {
            line.of_mut(place.of).insert((place.at, token.clone()));
        }
    }

    pub(super) fn remove(&mut self, token: &K) -> Option<Place> {
        let place = self.places.remove(token)?;
        let line = self.lines.get_mut(token.namespace())?;
        line.of_mut(place.of).remove(&(place.at, token.clone()));
        if line.len() == 0 {
            self.lines.remove(token.namespace());
        }
        Some(place)
    }

    /// Who gets the next slot. Renewals that must be stored by `near` are urgent.
    pub(super) fn next(&self, shares: &Shares, near: Timestamp) -> Option<Next<'_, K>> {
        let within = self.lines.iter().filter(|(namespace, _)| shares.is_within(namespace));
        let urgent = within.filter_map(|(_, line)| line.renewals.first().filter(|(by, _)| *by <= near));
        if let Some((_, token)) = urgent.min() {
            let is_urgent = true;
            return Some(Next { token, is_urgent });
        }
        let fewest = |(namespace, line): &(&String, &Line<K>)| (shares.had(namespace), line.turn);
        let (_, line) = self.lines.iter().min_by_key(fewest)?;
        let is_urgent = false;
        line.first(near).map(|token| Next { token, is_urgent })
    }

    /// The slot of this token has come: its namespace goes behind those that had as many.
    pub(super) fn serve(&mut self, token: &K) {
        self.remove(token);
        self.turns += 1;
        if let Some(line) = self.lines.get_mut(token.namespace()) {
            line.turn = self.turns;
        }
    }

    /// About how many go before this one, if namespaces take turns.
    pub(super) fn ahead(&self, token: &K, near: Timestamp) -> usize {
        let namespace = token.namespace();
        let (Some(place), Some(line)) = (self.places.get(token), self.lines.get(namespace)) else {
            return self.len();
        };
        let own = line.ahead(&(place.at, token.clone()), place.of, near);
        let others = self.lines.iter().filter(|(other, _)| *other != namespace);
        own + others.map(|(_, line)| line.len().min(own + 1)).sum::<usize>()
    }
}

impl Place {
    const fn new(priority: Priority, has_failed: bool) -> Self {
        let (of, at) = match priority {
            Priority::Renewal { by } => (Kind::Renewal, by),
            Priority::FirstIssue { since } => (Kind::FirstIssue, since),
        };
        let of = if has_failed { Kind::Failed } else { of };
        Self { of, at }
    }
}

impl<K: Ord> Line<K> {
    const fn new(turn: u64) -> Self {
        Self {
            renewals: BTreeSet::new(),
            first_issues: BTreeSet::new(),
            failed: BTreeSet::new(),
            turn,
        }
    }

    fn len(&self) -> usize {
        self.renewals.len() + self.first_issues.len() + self.failed.len()
    }

    const fn of_mut(&mut self, kind: Kind) -> &mut BTreeSet<(Timestamp, K)> {
        match kind {
            Kind::Renewal => &mut self.renewals,
            Kind::FirstIssue => &mut self.first_issues,
            Kind::Failed => &mut self.failed,
        }
    }

    /// Renewals that are near go before first issues, and these before other renewals.
    fn first(&self, near: Timestamp) -> Option<&K> {
        let renewal = self.renewals.first();
        let first = renewal
            .filter(|(by, _)| *by <= near)
            .or_else(|| self.first_issues.first())
            .or(renewal)
            .or_else(|| self.failed.first());
        first.map(|(_, token)| token)
    }

    /// How many of the line go before this one.
    fn ahead(&self, entry: &(Timestamp, K), kind: Kind, near: Timestamp) -> usize {
        let is_near = |(by, _): &&(Timestamp, K)| *by <= near;
        match kind {
            Kind::Renewal if entry.0 <= near => self.renewals.range(..entry).count(),
            Kind::Renewal => self.first_issues.len() + self.renewals.range(..entry).count(),
            Kind::FirstIssue => {
                self.renewals.iter().take_while(is_near).count() + self.first_issues.range(..entry).count()
            }
            Kind::Failed => self.renewals.len() + self.first_issues.len() + self.failed.range(..entry).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn how_many_go_before_one_that_waits() {
        let mut queue = Queue::new();
        for (token, by) in [("shop/near", 50), ("shop/far", 90), ("shop/farther", 900)] {
            queue.insert(&token, Priority::Renewal { by: at(by) }, false, None);
        }
        for (token, since) in [
            ("shop/new", 1),
            ("shop/newer", 2),
            ("web/a", 0),
            ("web/b", 1),
            ("web/c", 2),
        ] {
            queue.insert(&token, Priority::FirstIssue { since: at(since) }, false, None);
        }
        for (token, by) in [("shop/failed", 10), ("shop/failed later", 20)] {
            queue.insert(&token, Priority::Renewal { by: at(by) }, true, None);
        }
        // Of its own namespace, and as many of the other one, with one that may be ahead in its turn.
        for (token, own, others) in [
            ("shop/near", 0, 1),
            ("shop/new", 1, 2),
            ("shop/newer", 2, 3),
            ("shop/far", 3, 3),
            ("shop/farther", 4, 3),
            ("shop/failed", 5, 3),
            ("shop/failed later", 6, 3),
            ("web/a", 0, 1),
            ("web/c", 2, 3),
        ] {
            assert_eq!(queue.ahead(&token, at(50)), own + others, "{token}");
        }
        assert_eq!(queue.ahead(&"web/unknown", at(50)), 10);
    }
}
