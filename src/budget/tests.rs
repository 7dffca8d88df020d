#![allow(clippy::unwrap_used)]
use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_334_400 + second).unwrap()
}

fn priority(has_token: bool, deadline: i64) -> Priority {
    Priority {
        has_token,
        deadline: at(deadline),
    }
}

fn limit(requests_per_minute: i64, burst: i64) -> Option<RateLimit> {
    Some(RateLimit {
        requests_per_minute,
        burst,
    })
}

#[test]
fn first_issue_before_renewals_and_nearest_deadline_first() {
    let mut budget = Budget::new(1);
    assert_eq!(
        budget.acquire(&"key", &"a", priority(true, 9), None, at(0)),
        Admission::Go
    );
    for (who, has_token, deadline) in [("late", true, 50), ("soon", true, 20), ("new", false, 90)] {
        assert_eq!(
            budget.acquire(&"key", &who, priority(has_token, deadline), None, at(0)),
            Admission::Queued
        );
    }
    let mut served = Vec::new();
    for second in 1..4 {
        budget.release(&"key", Ending::Answered);
        let (turns, _) = budget.poll(at(second));
        assert_eq!(turns.len(), 1, "one at a time");
        assert_eq!(
            budget.acquire(&"key", &turns[0], priority(true, 0), None, at(second)),
            Admission::Go
        );
        served.extend(turns);
    }
    assert_eq!(served, ["new", "soon", "late"]);
}

#[test]
fn a_newcomer_does_not_pass_the_queue() {
    let mut budget = Budget::new(1);
    budget.acquire(&"key", &"a", priority(true, 9), None, at(0));
    budget.acquire(&"key", &"b", priority(true, 9), None, at(0));
    budget.release(&"key", Ending::Answered);
    assert_eq!(
        budget.acquire(&"key", &"c", priority(true, 99), None, at(0)),
        Admission::Queued
    );
    assert_eq!(budget.poll(at(0)).0, ["b"]);
}

#[test]
fn a_throttled_credential_stops_alone_and_starts_slowly() {
    let mut budget = Budget::new(8);
    for who in 0..8 {
        assert_eq!(
            budget.acquire(&"dry", &who, priority(true, 0), None, at(0)),
            Admission::Go
        );
    }
    for _ in 0..8 {
        budget.release(&"dry", Ending::Throttled(at(30)));
    }
    for who in 10..20 {
        assert_eq!(
            budget.acquire(&"dry", &who, priority(true, 0), None, at(1)),
            Admission::Limited(at(30))
        );
    }
    assert_eq!(
        budget.acquire(&"other", &99, priority(true, 0), None, at(1)),
        Admission::Go
    );
    assert_eq!(budget.poll(at(29)), (vec![], Some(at(30))));
    let (turns, _) = budget.poll(at(30));
    assert_eq!(turns.len(), 1, "one probe");
    budget.acquire(&"dry", &turns[0], priority(true, 0), None, at(30));
    budget.release(&"dry", Ending::Answered);
    assert_eq!(budget.poll(at(31)).0.len(), 2, "then two");
}

#[test]
fn a_called_one_who_does_not_come_costs_its_turn_only() {
    let mut budget = Budget::new(1);
    budget.acquire(&"key", &"a", priority(true, 0), None, at(0));
    budget.acquire(&"key", &"gone", priority(true, 1), None, at(0));
    budget.acquire(&"key", &"b", priority(true, 2), None, at(0));
    budget.release(&"key", Ending::Answered);
    assert_eq!(budget.poll(at(0)), (vec!["gone"], Some(at(5))));
    assert_eq!(budget.poll(at(5)).0, ["b"]);
}

proptest! {
    #[test]
    fn never_more_than_the_rate(rpm in 1i64..600, burst in 1i64..20, steps in proptest::collection::vec(0i64..3000, 1..200)) {
        let mut budget = Budget::new(1000);
        let (mut now, mut granted) = (at(0), Vec::new());
        for (who, millis) in steps.into_iter().enumerate() {
            now += SignedDuration::from_millis(millis);
            for turn in budget.poll(now).0 {
                prop_assert_eq!(budget.acquire(&"key", &turn, priority(true, 0), limit(rpm, burst), now), Admission::Go);
                granted.push(now);
            }
            if budget.acquire(&"key", &who, priority(true, 0), limit(rpm, burst), now) == Admission::Go {
                granted.push(now);
            }
        }
        for (i, start) in granted.iter().enumerate() {
            for (n, end) in granted[i..].iter().enumerate() {
                let window = end.duration_since(*start).as_millis();
                let allowed = burst as i128 + window * i128::from(rpm) / 60_000 + 1;
                prop_assert!((n as i128 + 1) <= allowed, "{} mints in {} ms", n + 1, window);
            }
        }
    }
}
