//! The step, a model of all that two replicas can do with it, and the loop against a fake API server.

mod election;
mod fake;

use std::collections::HashSet;

use super::*;

const TERMS: Terms = Terms::new(15);

fn seen(holder: Option<&str>, unchanged_for: u64) -> Option<View<'_>> {
    Some(View {
        holder,
        duration: TERMS.duration(),
        unchanged_for: Duration::from_secs(unchanged_for),
    })
}

#[test]
fn a_leader_has_stopped_two_seconds_before_another_may_start() {
    assert_eq!(TERMS.deadline(), Duration::from_secs(13));
    assert_eq!(TERMS.retry(), Duration::from_secs(2));
    assert!(TERMS.patience() * 2 <= TERMS.deadline(), "two attempts");
}

#[test]
fn a_lease_is_claimed_when_it_has_no_holder_or_has_expired() {
    let table = [
        (None, Step::Acquire),
        (seen(None, 0), Step::Acquire),
        (seen(Some("other"), 0), Step::StandBy),
        (seen(Some("other"), 14), Step::StandBy),
        (seen(Some("other"), 15), Step::Acquire),
        (seen(Some("me"), 0), Step::Renew),
        (seen(Some("me"), 15), Step::Renew),
    ];
    for (view, expected) in table {
        assert_eq!(step(view, "me"), expected, "{view:?}");
    }
}

/// Ticks of the model: the proportions of [`Terms`].
const LASTS: u8 = 6;
const DEADLINE: u8 = 5;
const NAMES: [&str; 2] = ["a", "b"];

/// A replica that may be frozen for any time between two of its steps, and whose requests may take any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Replica {
    /// Ticks since the last renewal was sent, if it believes to lead.
    leads: Option<u8>,
    /// The holder it last read, for how many ticks it knows of no change, and whether there was none.
    holder: Option<usize>,
    unchanged: u8,
    current: bool,
    /// A write under way: for how many ticks, and whether it carries the current version.
    write: Option<(u8, bool)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Model {
    holder: Option<usize>,
    replicas: [Replica; 2],
}

impl Model {
    /// Works on Secrets: it believes to lead, and by its own clock still may.
    fn works(&self, n: usize) -> bool {
        self.replicas[n].leads.is_some_and(|age| age < DEADLINE)
    }

    fn next(self) -> Vec<Self> {
        let mut states = vec![self.tick()];
        for n in 0..2 {
            states.extend([self.read(n), self.send(n)]);
            states.extend(self.land(n, true));
            states.extend(self.land(n, false));
        }
        states
    }

    fn tick(mut self) -> Self {
        let older = |age: u8| (age + 1).min(LASTS);
        for replica in &mut self.replicas {
            replica.leads = replica.leads.map(older);
            replica.unchanged = older(replica.unchanged);
            replica.write = replica.write.map(|(age, current)| (older(age), current));
        }
        self
    }

    fn read(mut self, n: usize) -> Self {
        let holder = self.holder;
        let replica = &mut self.replicas[n];
        if !replica.current {
            replica.unchanged = 0;
        }
        (replica.holder, replica.current) = (holder, true);
        self
    }

    /// Sends what [`step`] says. A leader whose time is over pauses and is a candidate again, under the same identity and
    /// with its last write still under way.
    fn send(mut self, n: usize) -> Self {
        let replica = &mut self.replicas[n];
        replica.leads = replica.leads.filter(|age| *age < DEADLINE);
        if replica.write.is_some() {
            return self;
        }
        let view = View {
            holder: replica.holder.map(|n| NAMES[n]),
            duration: Duration::from_secs(LASTS.into()),
            unchanged_for: Duration::from_secs(replica.unchanged.into()),
        };
        let sends = match step(Some(view), NAMES[n]) {
            Step::Acquire | Step::Renew => true,
            Step::StandBy => false,
        };
        if sends {
            replica.write = Some((0, replica.current));
        }
        self
    }

    /// The API server gets the write, and its answer gets back or not.
    fn land(mut self, n: usize, answered: bool) -> Option<Self> {
        let (age, current) = self.replicas[n].write.take()?;
        if !current {
            self.replicas[n].leads = None; // 409: another replica wrote
            return Some(self);
        }
        self.holder = Some(n);
        for replica in &mut self.replicas {
            replica.current = false;
            replica.write = replica.write.map(|(age, _)| (age, false));
        }
        if answered {
            let replica = &mut self.replicas[n];
            replica.leads = Some(age);
            (replica.holder, replica.unchanged, replica.current) = (Some(n), 0, true);
        }
        Some(self)
    }
}

#[test]
fn two_replicas_never_work_at_a_time() {
    let mut seen = HashSet::new();
    let mut open = vec![Model::default().read(0).read(1)];
    let (mut both_led, mut took_over) = (0, 0);
    while let Some(model) = open.pop() {
        if !seen.insert(model) {
            continue;
        }
        assert!(!(model.works(0) && model.works(1)), "{model:?}");
        both_led += usize::from(model.replicas.iter().all(|replica| replica.leads.is_some()));
        took_over += usize::from(model.works(1) && model.replicas[0].leads.is_some());
        open.extend(model.next());
    }
    assert!(
        seen.len() > 1000 && took_over > 0 && both_led > 0,
        "{} states, {took_over} after a takeover: the model reaches enough states",
        seen.len()
    );
}
