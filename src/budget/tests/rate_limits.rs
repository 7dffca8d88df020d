//! The configured rates, and a clock that is set back.

use super::*;

const KEY: &str = "key";

fn set(budget: &Budgets<&'static str, usize>, limit: RateLimit, now: i64) {
    budget.set_limits(HashMap::from([(KEY, limit)]), at(now));
}

fn go(budget: &Budgets<&'static str, usize>, token: usize, now: i64) -> bool {
    let goes = budget.acquire(&KEY, &token, priority(true, 0), at(now)) == Admission::Go;
    if goes {
        budget.release(&KEY, &token, Ending::Granted, at(now));
    } else {
        budget.withdraw(&token);
    }
    goes
}

fn goes(budget: &Budgets<&'static str, usize>, now: i64) -> usize {
    (0..100).filter(|token| go(budget, *token, now)).count()
}

#[test]
fn a_limit_holds_from_when_it_is_set_and_as_long() {
    let budget = Budgets::new(8);
    assert_eq!(goes(&budget, 0), 100, "none is set");
    set(&budget, limit(6, 3), 0);
    assert_eq!(goes(&budget, 0), 3);
    assert_eq!(goes(&budget, 20), 2);
    budget.set_limits(HashMap::from([("other", limit(1, 1))]), at(20));
    assert_eq!(goes(&budget, 20), 100, "it is another's");
}

#[test]
fn a_wait_for_the_rate_of_up_to_ten_seconds_is_not_reported() {
    let budget = Budgets::new(8);
    set(&budget, limit(6, 1), 0);
    let acquire = |token| budget.acquire(&KEY, &token, priority(true, 0), at(0));
    assert_eq!(
        [acquire(1), acquire(2), acquire(3)],
        [Admission::Go, Admission::Queued, Admission::Limited(at(20))]
    );
}

/// Filling it anew would let more pass than either limit.
#[test]
fn what_was_taken_stays_taken_when_a_limit_changes() {
    let budget = Budgets::new(8);
    set(&budget, limit(6, 3), 0);
    assert_eq!(goes(&budget, 0), 3);
    set(&budget, limit(12, 3), 0);
    assert_eq!((goes(&budget, 0), goes(&budget, 5)), (0, 1));
}

#[test]
fn a_limit_that_is_raised_is_not_waited_for_as_long_as_the_old_one() {
    let budget = Budgets::new(8);
    set(&budget, limit(1, 10), 0);
    assert_eq!(goes(&budget, 0), 10);
    set(&budget, limit(600, 10), 0);
    assert_eq!(goes(&budget, 1), 10);
}

#[test]
fn those_who_wait_are_woken_when_a_limit_is_raised_or_gone() {
    for (limits, at_once) in [(HashMap::from([(KEY, limit(60, 1))]), 1), (HashMap::new(), 5)] {
        let budget = Budgets::new(8);
        set(&budget, limit(1, 1), 0);
        for token in 0..6usize {
            budget.acquire(&KEY, &token, priority(true, 0), at(0));
        }
        assert_eq!(budget.poll(at(1)), (vec![], Some(at(60))));
        budget.set_limits(limits, at(1));
        assert_eq!(budget.poll(at(2)).0.len(), at_once);
    }
}

#[test]
fn a_clock_that_is_set_back_stops_no_credential() {
    let budget = Budgets::new(8);
    set(&budget, limit(60, 3), 7200);
    assert_eq!(goes(&budget, 7200), 3);
    assert_eq!(goes(&budget, 0), 0, "when the mints were is unknown");
    assert_eq!(goes(&budget, 3), 3);
    budget.acquire(&KEY, &0, priority(true, 0), at(7210));
    budget.release(&KEY, &0, Ending::Throttled(at(7240)), at(7210));
    assert_eq!(goes(&budget, 3), 0, "of one mint at a time the rate is left");
    budget.acquire(&KEY, &1, priority(true, 0), at(7));
    assert_eq!(budget.health(&KEY, at(7)).limited_until, None);
}

/// A slot that was reserved before would be held for hours.
#[test]
fn a_clock_that_is_set_back_ends_reservations() {
    let budget = Budgets::<_, usize>::new(1);
    for token in [0, 1, 2] {
        budget.acquire(&KEY, &token, priority(true, 0), at(7200));
    }
    budget.release(&KEY, &0, Ending::Granted, at(7200));
    assert_eq!(budget.poll(at(7200)).0, [1]);
    assert_eq!(budget.poll(at(0)).0, [2]);
}
