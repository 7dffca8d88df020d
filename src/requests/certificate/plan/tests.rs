use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
const LONG: Duration = Duration::from_secs(3600);

fn names(host: &str) -> BTreeSet<String> {
    BTreeSet::from([host.to_owned()])
}

fn validity(from: i64, to: i64) -> Validity {
    Validity {
        not_before: at(from),
        not_after: at(to),
    }
}

/// A CA of a year and a certificate of 90 days, both made at 0.
fn fresh() -> Stored {
    Stored {
        authority: validity(0, 365 * DAY),
        next: None,
        former: Vec::new(),
        serving: Some(Serving {
            validity: validity(0, 90 * DAY),
            names: names("op"),
        }),
    }
}

fn change(stored: &Stored, now: i64, published_for: Duration) -> Option<Change> {
    step(Some(stored), &names("op"), at(now), published_for)
}

#[test]
fn nothing_is_due_until_two_thirds_of_a_life() {
    assert_eq!(step(None, &names("op"), at(0), LONG), Some(Change::Begin));
    let stored = fresh();
    assert_eq!(change(&stored, 0, LONG), None);
    assert_eq!(change(&stored, 60 * DAY - 1, LONG), None);
    assert_eq!(change(&stored, 60 * DAY, LONG), Some(Change::Serving));
    let mut renewed = fresh();
    renewed.serving.as_mut().unwrap().validity = validity(240 * DAY, 330 * DAY);
    assert_eq!(change(&renewed, 365 * DAY * 2 / 3 - 1, LONG), None);
    assert_eq!(change(&renewed, 365 * DAY * 2 / 3, LONG), Some(Change::NextAuthority));
}

#[test]
fn a_certificate_for_other_names_or_none_is_made_anew() {
    let stored = fresh();
    let other = step(Some(&stored), &names("other"), at(1), LONG);
    assert_eq!(other, Some(Change::Serving));
    let damaged = Stored {
        serving: None,
        ..fresh()
    };
    assert_eq!(change(&damaged, 1, LONG), Some(Change::Serving));
}

/// It would have the same end, and be made again at every look.
#[test]
fn a_certificate_that_ends_with_its_ca_is_not_prolonged() {
    let mut stored = fresh();
    stored.next = Some(validity(364 * DAY, 700 * DAY));
    stored.serving.as_mut().unwrap().validity = validity(300 * DAY, 365 * DAY);
    assert_eq!(change(&stored, 364 * DAY, Duration::ZERO), None);
}

#[test]
fn the_next_ca_signs_once_it_is_distributed_or_the_old_one_ends() {
    let mut stored = fresh();
    stored.next = Some(validity(250 * DAY, 615 * DAY));
    stored.serving.as_mut().unwrap().validity = validity(250 * DAY, 340 * DAY);
    assert_eq!(change(&stored, 251 * DAY, LONG - Duration::from_secs(1)), None);
    assert_eq!(change(&stored, 251 * DAY, LONG), Some(Change::Promote));
    let end = 365 * DAY - HOUR;
    assert_eq!(change(&stored, end, Duration::ZERO), Some(Change::Promote));
}

#[test]
fn a_ca_that_has_ended_is_replaced_at_once() {
    let mut stored = fresh();
    assert_eq!(change(&stored, 365 * DAY, LONG), Some(Change::Begin));
    stored.next = Some(validity(250 * DAY, 615 * DAY));
    assert_eq!(change(&stored, 365 * DAY, Duration::ZERO), Some(Change::Promote));
    assert_eq!(change(&stored, 615 * DAY, Duration::ZERO), Some(Change::Begin));
}

/// A clock that was years behind made a next CA that has ended by the right time.
#[test]
fn a_next_ca_that_has_ended_is_dropped() {
    let mut stored = fresh();
    stored.next = Some(validity(-700 * DAY, -DAY));
    assert_eq!(change(&stored, 1, LONG), Some(Change::DropNext));
}

/// While the clock is behind, what other clocks hold for valid stays in place.
#[test]
fn a_clock_that_is_behind_replaces_nothing_at_once() {
    let mut stored = fresh();
    assert_eq!(change(&stored, -100 * DAY, LONG), Some(Change::NextAuthority));
    stored.next = Some(validity(-100 * DAY, 265 * DAY));
    assert_eq!(change(&stored, -100 * DAY, Duration::ZERO), None);
}

#[test]
fn a_former_ca_leaves_when_every_replica_serves_the_new_certificate() {
    let mut stored = fresh();
    stored.former = vec![validity(-250 * DAY, 115 * DAY)];
    assert_eq!(change(&stored, HOUR, LONG - Duration::from_secs(1)), None);
    assert_eq!(change(&stored, HOUR, LONG), Some(Change::DropFormer));
    stored.former = vec![validity(-250 * DAY, -1)];
    assert_eq!(change(&stored, 0, Duration::ZERO), Some(Change::DropFormer));
}

/// What clients do with what is stored: a stored CA is its number, the certificate that is served names its CA.
#[derive(Clone, Debug)]
struct World {
    made: usize,
    authority: usize,
    next: Option<usize>,
    former: Vec<usize>,
    served_by: usize,
    all: Vec<Validity>,
    stored: Stored,
}

impl World {
    fn begin(life: SignedDuration, now: Timestamp) -> Self {
        let authority = authority_validity(life, now);
        Self {
            made: 0,
            authority: 0,
            next: None,
            former: Vec::new(),
            served_by: 0,
            all: vec![authority],
            stored: Stored {
                authority,
                next: None,
                former: Vec::new(),
                serving: Some(Serving {
                    validity: serving_validity(authority, now),
                    names: names("op"),
                }),
            },
        }
    }

    fn bundle(&self) -> Vec<usize> {
        let signing = std::iter::once(self.authority).chain(self.next);
        signing.chain(self.former.iter().copied()).collect()
    }

    fn serve(&mut self, now: Timestamp) {
        self.served_by = self.authority;
        self.stored.serving = Some(Serving {
            validity: serving_validity(self.stored.authority, now),
            names: names("op"),
        });
    }

    fn apply(&mut self, change: Change, life: SignedDuration, now: Timestamp) {
        match change {
            Change::Begin => *self = Self::begin(life, now),
            Change::NextAuthority => {
                self.made += 1;
                self.next = Some(self.made);
                self.stored.next = Some(authority_validity(life, now));
                self.all.extend(self.stored.next);
            }
            Change::DropNext => (self.next, self.stored.next) = (None, None),
            Change::Promote => {
                self.former.push(self.authority);
                self.stored.former.push(self.stored.authority);
                self.authority = self.next.take().unwrap();
                self.stored.authority = self.stored.next.take().unwrap();
                self.serve(now);
            }
            Change::DropFormer => {
                self.former.clear();
                self.stored.former.clear();
            }
            Change::Serving => self.serve(now),
        }
    }
}

proptest! {
    /// The leader looks at irregular times, restarts, and stays away for less than a third of the CA's life. At every
    /// moment the certificate is valid, and clients trust it whose bundle is older by less than the distribution time.
    #[test]
    fn every_bundle_of_the_distribution_time_trusts_what_is_served(
        days in 1i64..400,
        looks in prop::collection::vec((prop_oneof![1i64..60, 60i64..3600, 3600i64..50_000], prop::bool::weighted(0.1)), 1..400),
    ) {
        let life = SignedDuration::from_hours(24 * days);
        let mut now = at(0);
        let mut world = World::begin(life, now);
        let distribution = world.stored.authority.distribution();
        let mut bundles = vec![(now, world.bundle())];
        let mut published = now;
        for (pause, restarted) in looks {
            let pause = pause.min(days * DAY / 6);
            now += SignedDuration::from_secs(pause);
            if restarted {
                published = now;
            }
            let mut changes = 0;
            loop {
                let published_for = now.duration_since(published).unsigned_abs();
                let Some(change) = step(Some(&world.stored), &names("op"), now, published_for) else { break };
                prop_assert_ne!(change, Change::Begin);
                let before = world.bundle();
                world.apply(change, life, now);
                if world.bundle() != before {
                    published = now;
                    bundles.push((now, world.bundle()));
                }
                changes += 1;
                prop_assert!(changes < 5, "no end: {:?}", world.stored);
            }
            let serving = &world.stored.serving.as_ref().unwrap().validity;
            prop_assert!(serving.contains(now));
            prop_assert!(world.all[world.served_by].contains(now));
            // The bundles that a client may hold: the one of now, and those that were replaced less than that time ago.
            let held = bundles.iter().enumerate().filter(|(n, _)| {
                bundles.get(n + 1).is_none_or(|(replaced, _)| now.duration_since(*replaced) < distribution)
            });
            for (_, (_, bundle)) in held {
                prop_assert!(bundle.contains(&world.served_by), "{bundle:?} lacks {}", world.served_by);
            }
        }
    }

    /// From any state that can be stored, also an absurd one, a few changes lead to one in which nothing is due.
    #[test]
    fn any_state_comes_to_rest_with_a_certificate_that_is_valid(
        authority in (-400i64..400, 1i64..800),
        next in prop::option::of((-400i64..400, 1i64..800)),
        former in prop::collection::vec((-400i64..400, 1i64..800), 0..3),
        serving in prop::option::of((-400i64..400, 1i64..100)),
        published in 0u64..8000,
    ) {
        let days = |(from, life): (i64, i64)| validity(from * DAY, (from + life) * DAY);
        let mut world = World::begin(YEAR, at(0));
        let next = next.map(days);
        world.all = std::iter::once(days(authority)).chain(next).collect();
        world.made = world.all.len() - 1;
        world.next = next.map(|_| 1);
        world.former = vec![usize::MAX; former.len()];
        world.stored = Stored {
            authority: days(authority),
            next,
            former: former.into_iter().map(days).collect(),
            serving: serving.map(|serving| Serving { validity: days(serving), names: names("op") }),
        };
        let mut changes = 0;
        while let Some(change) = step(Some(&world.stored), &names("op"), at(0), Duration::from_secs(published)) {
            world.apply(change, YEAR, at(0));
            changes += 1;
            prop_assert!(changes < 8, "no end: {:?}", world.stored);
        }
        let authority = world.stored.authority;
        prop_assert!(!authority.has_ended(at(0)));
        let serving = world.stored.serving.unwrap().validity;
        prop_assert!(serving.contains(at(0)) || authority.not_before > at(0), "{serving:?}");
    }
}
