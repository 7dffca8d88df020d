//! Two replicas, one Lease and one Secret, in every order: processes that stand still between any two of their steps,
//! requests that take any time, answers that get lost, renewals that overlap, and a process that dies.

use std::hash::Hash;

use stateright::{Model, Property};

use super::*;
use crate::testing::explore;

/// Ticks of the model: the Lease lasts, and its holder stops before another may take it.
const LASTS: u8 = 4;
const DEADLINE: u8 = 3;
/// The most renewals of one leader that are under way at a time.
const RENEWALS: usize = 2;

/// The identity of a process. One that has died is nobody's: a new process has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Holder {
    Replica(usize),
    Dead,
}

impl Holder {
    const fn name(self) -> &'static str {
        match self {
            Self::Replica(0) => "a",
            Self::Replica(_) => "b",
            Self::Dead => "dead",
        }
    }
}

/// The Lease as a replica has last read or written it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    holder: Option<Holder>,
    /// For how many ticks it knows of no change.
    unchanged: u8,
    /// Whether it is still so.
    current: bool,
}

/// A write of the Lease under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Write {
    /// Ticks since it was sent.
    age: u8,
    /// Whether it carries the Lease's version.
    current: bool,
    as_holder: Holder,
    /// Whether its sender still waits for the answer.
    awaited: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Replica {
    /// Ticks since the last renewal was sent that was answered, while it believes to lead.
    leads: Option<u8>,
    seen: Option<Seen>,
    writes: [Option<Write>; RENEWALS],
    /// A write of the Secret under way, and whether it carries the Secret's version.
    secret: Option<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct State {
    holder: Option<Holder>,
    replicas: [Replica; 2],
    deaths: u8,
    /// Whether a Secret that another replica has written meanwhile was overwritten.
    overwritten: bool,
    /// Whether a write of the Secret came after its time and was refused.
    refused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Read(usize),
    Send(usize),
    /// A write reaches the API server, and its answer the sender, or not.
    Land {
        replica: usize,
        write: usize,
        answered: bool,
    },
    SendSecret(usize),
    LandSecret(usize),
    Die(usize),
}

use Action::*;

impl State {
    /// Works on Secrets: it believes to lead, and by its own clock still may.
    fn works(&self, n: usize) -> bool {
        self.replicas[n].leads.is_some_and(|age| age < DEADLINE)
    }

    fn tick(&mut self) {
        let older = |age: &mut u8| *age = (*age + 1).min(LASTS);
        for replica in &mut self.replicas {
            replica.leads.iter_mut().for_each(older);
            replica.seen.iter_mut().for_each(|seen| older(&mut seen.unchanged));
            replica
                .writes
                .iter_mut()
                .flatten()
                .for_each(|write| older(&mut write.age));
        }
    }

    fn read(&mut self, n: usize) {
        let seen = &mut self.replicas[n].seen;
        if seen.is_none_or(|seen| !seen.current) {
            *seen = Some(Seen {
                holder: self.holder,
                unchanged: 0,
                current: true,
            });
        }
    }

    /// The Lease was lost: what is under way is awaited no more, and it is read anew.
    fn lose(&mut self, n: usize) {
        let replica = &mut self.replicas[n];
        (replica.leads, replica.seen) = (None, None);
        replica
            .writes
            .iter_mut()
            .flatten()
            .for_each(|write| write.awaited = false);
    }

    /// Sends what [`step`] says of what was read last, if there is a slot for it.
    fn send(&mut self, n: usize, renewals: usize) -> Option<()> {
        if self.replicas[n].leads.is_some_and(|age| age >= DEADLINE) {
            self.lose(n);
            return Some(());
        }
        let replica = &mut self.replicas[n];
        let seen = replica.seen?;
        let view = View {
            holder: seen.holder.map(Holder::name),
            duration: Duration::from_secs(LASTS.into()),
            unchanged_for: Duration::from_secs(seen.unchanged.into()),
        };
        if step(Some(view), Holder::Replica(n).name()) == LeaseAction::StandBy {
            return None;
        }
        // Only a renewal is sent beside another.
        let awaited = replica.writes.iter().flatten().filter(|write| write.awaited).count();
        let most = if replica.leads.is_some() { renewals } else { 1 };
        let slot = replica.writes.iter_mut().find(|slot| slot.is_none());
        *slot.filter(|_| awaited < most)? = Some(Write {
            age: 0,
            current: seen.current,
            as_holder: Holder::Replica(n),
            awaited: true,
        });
        Some(())
    }

    fn land(&mut self, n: usize, slot: usize, answered: bool) -> Option<()> {
        let write = self.replicas[n].writes[slot].take()?;
        let answered = answered && write.awaited;
        if !write.current {
            // A 409: it reads who holds the Lease now.
            if answered {
                if self.holder == Some(write.as_holder) {
                    self.read(n);
                } else {
                    self.lose(n);
                }
            }
            return Some(());
        }
        self.holder = Some(write.as_holder);
        for replica in &mut self.replicas {
            replica.seen.iter_mut().for_each(|seen| seen.current = false);
            replica
                .writes
                .iter_mut()
                .flatten()
                .for_each(|write| write.current = false);
        }
        // An answer that comes after the deadline is of no use.
        if answered && write.age < DEADLINE {
            let replica = &mut self.replicas[n];
            replica.leads = Some(write.age);
            replica
                .writes
                .iter_mut()
                .flatten()
                .for_each(|write| write.awaited = false);
            replica.seen = Some(Seen {
                holder: self.holder,
                unchanged: 0,
                current: true,
            });
        }
        Some(())
    }

    fn land_secret(&mut self, n: usize, fenced: bool) -> Option<()> {
        let current = self.replicas[n].secret.take()?;
        if !current && fenced {
            self.refused = true;
            return Some(());
        }
        self.overwritten |= !current;
        for replica in &mut self.replicas {
            replica.secret = replica.secret.map(|_| false);
        }
        Some(())
    }

    fn die(&mut self, n: usize) -> Option<()> {
        self.deaths = self.deaths.checked_sub(1)?;
        let Replica { writes, secret, .. } = self.replicas[n];
        let dead = |write: Write| Write {
            as_holder: Holder::Dead,
            awaited: false,
            ..write
        };
        self.replicas[n] = Replica {
            writes: writes.map(|write| write.map(dead)),
            secret,
            ..Replica::default()
        };
        if self.holder == Some(Holder::Replica(n)) {
            self.holder = Some(Holder::Dead);
        }
        for replica in &mut self.replicas {
            if let Some(seen) = &mut replica.seen
                && seen.holder == Some(Holder::Replica(n))
            {
                seen.holder = Some(Holder::Dead);
            }
        }
        Some(())
    }

    /// What no later step depends on: the age of a write that no answer is of use to, the write that is refused and not
    /// awaited, the order of writes, and for how long a leader has seen its own Lease unchanged.
    fn forget_what_makes_no_difference(&mut self) {
        for replica in &mut self.replicas {
            for slot in &mut replica.writes {
                if let Some(write) = slot {
                    let of_use = write.awaited && write.current;
                    write.age = if of_use { write.age.min(DEADLINE) } else { 0 };
                }
                slot.take_if(|write| !write.awaited && !write.current);
            }
            replica.writes.sort_unstable();
            replica.leads = replica.leads.map(|age| age.min(DEADLINE));
            if let (Some(_), Some(seen)) = (replica.leads, &mut replica.seen) {
                seen.unchanged = 0;
            }
        }
    }

    /// Whether one replica leads soon and goes on leading, once answers come within a tick.
    fn gets_a_leader(&self) -> bool {
        let mut calm = *self;
        let mut led = [0; 2];
        for tick in 0..3 * LASTS {
            calm.tick();
            for n in 0..2 {
                for slot in 0..RENEWALS {
                    calm.land(n, slot, true);
                }
                if calm.replicas[n].leads.is_none() {
                    calm.read(n);
                }
                calm.send(n, 1);
            }
            for (n, led) in led.iter_mut().enumerate() {
                *led += u8::from(tick >= 2 * LASTS && calm.works(n));
            }
        }
        led == [LASTS, 0] || led == [0, LASTS]
    }
}

struct Election {
    deaths: u8,
    /// How many renewals of one leader may be under way at a time.
    renewals: usize,
    /// Whether leaders write the Secret, and whether such writes carry the version that was seen.
    fenced: Option<bool>,
}

impl Model for Election {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            holder: None,
            replicas: Default::default(),
            deaths: self.deaths,
            overwritten: false,
            refused: false,
        }]
    }

    fn actions(&self, _: &State, actions: &mut Vec<Action>) {
        actions.push(Tick);
        for n in 0..2 {
            actions.extend([Read(n), Send(n), SendSecret(n), LandSecret(n), Die(n)]);
            for write in 0..RENEWALS {
                actions.extend([true, false].map(|answered| Land {
                    replica: n,
                    write,
                    answered,
                }));
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = *state;
        let done = match action {
            Tick => {
                next.tick();
                Some(())
            }
            Read(n) => {
                next.read(n);
                Some(())
            }
            Send(n) => next.send(n, self.renewals),
            Land {
                replica,
                write,
                answered,
            } => next.land(replica, write, answered),
            SendSecret(n) => {
                let free = self.fenced.is_some() && next.works(n) && next.replicas[n].secret.is_none();
                free.then(|| next.replicas[n].secret = Some(true))
            }
            LandSecret(n) => next.land_secret(n, self.fenced == Some(true)),
            Die(n) => next.die(n),
        };
        next.forget_what_makes_no_difference();
        done.filter(|()| next != *state).map(|()| next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("two replicas never work at a time", |_, state: &State| {
                !(state.works(0) && state.works(1))
            }),
            Property::always("no replica overwrites what another has written", |_, state: &State| {
                !state.overwritten
            }),
            Property::always("soon there is one leader, who stays", |_, state: &State| {
                state.gets_a_leader()
            }),
            Property::sometimes("one takes over while the other believes to lead", |_, state: &State| {
                state.works(1) && state.replicas[0].leads.is_some()
            }),
            Property::sometimes("one takes over from a dead one", |model, state: &State| {
                let works = state.works(0) || state.works(1);
                model.deaths == 0 || state.deaths == 0 && state.holder != Some(Holder::Dead) && works
            }),
            Property::sometimes("a write of the Secret comes after its time", |model, state: &State| {
                model.fenced != Some(true) || state.refused
            }),
        ]
    }
}

#[test]
fn two_replicas_never_work_at_a_time_and_one_soon_does() {
    let model = |depth: u8| Election {
        deaths: 1 + depth.min(1),
        renewals: RENEWALS,
        fenced: None,
    };
    explore("leader", model, |state| format!("{state:?}"));
}

/// Why writes carry the version that was seen: without that, a frozen leader's write lands on its successor's.
#[test]
fn a_frozen_leader_overwrites_nothing_and_would_without_a_precondition() {
    use stateright::{Checker, HasDiscoveries};
    let model = |fenced| Election {
        deaths: 0,
        renewals: 1,
        fenced: Some(fenced),
    };
    explore("leader and Secret", |_| model(true), |state| format!("{state:?}"));
    let checker = model(false).checker().finish_when(HasDiscoveries::AnyFailures);
    let found = checker.spawn_bfs().join().discoveries();
    let overwrites = found.contains_key("no replica overwrites what another has written");
    assert!(overwrites, "{:?}", found.keys());
}
