mod fairness;
mod hostile;
mod outages;
mod rate_limits;
mod requests;
mod waking;

use proptest::prelude::*;

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_334_400 + second).unwrap()
}

fn priority(has_token: bool, second: i64) -> Priority {
    match has_token {
        true => Priority::Renewal { by: at(second) },
        false => Priority::FirstIssue { since: at(second) },
    }
}

const fn limit(requests_per_minute: i64, burst: i64) -> RateLimit {
    RateLimit {
        requests_per_minute,
        burst,
    }
}

/// The namespace is what stands before a slash.
impl TokenName for &str {
    fn namespace(&self) -> &str {
        self.split_once('/').map_or("", |(namespace, _)| namespace)
    }
}

impl TokenName for usize {
    fn namespace(&self) -> &'static str {
        ""
    }
}

#[test]
fn in_a_namespace_renewals_that_are_near_then_first_issues_then_other_renewals() {
    let budget = Budgets::new(1);
    assert_eq!(budget.acquire(&"key", &"a", priority(true, 9), at(0)), Admission::Go);
    for (token, has_token, second) in [
        ("later", true, 900),
        ("far", true, 90),
        ("near", true, 50),
        ("nearest", true, 20),
        ("new", false, 0),
    ] {
        assert_eq!(
            budget.acquire(&"key", &token, priority(has_token, second), at(0)),
            Admission::Queued
        );
    }
    let mut served = Vec::new();
    for second in 1..6 {
        budget.release(&"key", &"a", Ending::Granted, at(0));
        let (woken, _) = budget.poll(at(second));
        assert_eq!(woken.len(), 1, "one at a time");
        assert_eq!(
            budget.acquire(&"key", &woken[0], priority(true, 0), at(second)),
            Admission::Go
        );
        served.extend(woken);
    }
    assert_eq!(served, ["nearest", "near", "new", "far", "later"]);
}

#[test]
fn a_newcomer_does_not_pass_the_queue() {
    let budget = Budgets::new(1);
    budget.acquire(&"key", &"a", priority(true, 9), at(0));
    budget.acquire(&"key", &"b", priority(true, 9), at(0));
    budget.release(&"key", &"a", Ending::Granted, at(0));
    assert_eq!(
        budget.acquire(&"key", &"c", priority(true, 99), at(0)),
        Admission::Queued
    );
    assert_eq!(budget.poll(at(0)).0, ["b"]);
}

#[test]
fn a_throttled_credential_stops_alone_and_starts_slowly() {
    let budget = Budgets::new(8);
    for token in 0..8 {
        assert_eq!(budget.acquire(&"dry", &token, priority(true, 0), at(0)), Admission::Go);
    }
    for _ in 0..8 {
        budget.release(&"dry", &0, Ending::Throttled(at(30)), at(0));
    }
    for token in 10..20 {
        assert_eq!(
            budget.acquire(&"dry", &token, priority(true, 0), at(1)),
            Admission::Limited(at(30))
        );
    }
    assert_eq!(budget.acquire(&"other", &99, priority(true, 0), at(1)), Admission::Go);
    assert_eq!(budget.poll(at(29)), (vec![], Some(at(30))));
    let (woken, _) = budget.poll(at(30));
    assert_eq!(woken.len(), 1, "one probe");
    budget.acquire(&"dry", &woken[0], priority(true, 0), at(30));
    budget.release(&"dry", &0, Ending::Granted, at(0));
    assert_eq!(budget.poll(at(31)).0.len(), 2, "then two");
}

#[test]
fn a_refusal_is_an_answer_that_lets_more_go() {
    let budget = Budgets::new(8);
    for token in 0..8 {
        budget.acquire(&"key", &token, priority(true, 0), at(0));
    }
    for _ in 0..8 {
        budget.release(&"key", &0, Ending::Throttled(at(30)), at(0));
    }
    for token in 10..20 {
        budget.acquire(&"key", &token, priority(true, 0), at(1));
    }
    let (woken, _) = budget.poll(at(30));
    budget.acquire(&"key", &woken[0], priority(true, 0), at(30));
    budget.release(&"key", &woken[0], Ending::Refused, at(30));
    assert_eq!(budget.poll(at(31)).0.len(), 2, "two after the one");
}

#[test]
fn a_limit_of_ten_minutes_is_believed_and_a_longer_one_is_not() {
    let budget = Budgets::new(8);
    for (until, admission) in [(601, Admission::Go), (600, Admission::Limited(at(600)))] {
        budget.acquire(&"key", &"a", priority(true, 0), at(0));
        budget.release(&"key", &"a", Ending::Throttled(at(until)), at(0));
        assert_eq!(
            budget.acquire(&"key", &"b", priority(true, 0), at(0)),
            admission,
            "{until}"
        );
        budget.release(&"key", &"b", Ending::NotAsked, at(0));
    }
}

#[test]
fn a_token_that_does_not_claim_its_slot_delays_the_next_by_the_reservation_only() {
    let budget = Budgets::new(1);
    budget.acquire(&"key", &"a", priority(true, 0), at(0));
    budget.acquire(&"key", &"gone", priority(true, 1), at(0));
    budget.acquire(&"key", &"b", priority(true, 2), at(0));
    budget.release(&"key", &"a", Ending::Granted, at(0));
    assert_eq!(budget.poll(at(0)), (vec!["gone"], Some(at(30))));
    let newcomer = budget.acquire(&"key", &"c", priority(true, 9), at(0));
    assert_eq!(newcomer, Admission::Queued, "the slot is reserved");
    budget.leave(&"c");
    assert_eq!(budget.poll(at(30)).0, ["b"]);
}

#[test]
fn a_credential_with_a_reserved_slot_is_not_forgotten() {
    let budget = Budgets::new(1);
    for token in ["a", "b"] {
        budget.acquire(&"key", &token, priority(true, 0), at(0));
    }
    budget.release(&"key", &"a", Ending::Granted, at(0));
    assert_eq!(budget.poll(at(0)).0, ["b"]);
    let newcomer = budget.acquire(&"key", &"c", priority(true, 0), at(0));
    assert_eq!(newcomer, Admission::Queued);
}

fn accepted(revision: &str) -> KeyVerdict {
    KeyVerdict {
        revision: revision.to_owned(),
        result: Ok(()),
    }
}

#[test]
fn a_withdrawn_token_gives_up_its_place_and_its_slot() {
    let budget = Budgets::new(1);
    for token in ["a", "reserved", "queued", "b"] {
        budget.acquire(&"key", &token, priority(true, 0), at(0));
    }
    budget.release(&"key", &"a", Ending::Granted, at(0));
    budget.withdraw(&"queued");
    let (woken, _) = budget.poll(at(0));
    assert_eq!(woken, ["b"], "the queue's order among equals is the name's");
    budget.withdraw(&"b");
    assert_eq!(budget.poll(at(0)).0, ["reserved"]);
}

#[test]
fn a_limit_seen_by_several_mints_counts_once() {
    let budget = Budgets::new(8);
    for token in 0..4 {
        budget.acquire(&"key", &token, priority(true, 0), at(0));
    }
    let throttled = |until, now| {
        budget
            .release(&"key", &0, Ending::Throttled(at(until)), at(now))
            .as_secs()
    };
    assert_eq!(throttled(30, 10), 20);
    assert_eq!(throttled(30, 11), 0);
    assert_eq!(throttled(20, 12), 0, "a shorter one does not end it sooner");
    assert_eq!(throttled(35, 40), 0, "it is over already");
    assert_eq!(budget.health(&"key", at(34)).limited_until, Some(at(35)));
    assert_eq!(budget.health(&"key", at(35)).limited_until, None);
}

#[test]
fn a_verdict_is_kept_while_it_is_used() {
    let budget = Budgets::<_, usize>::new(8);
    let mut news = budget.subscribe();
    for (credential, revision) in [("key", "1"), ("key", "1"), ("key", "2"), ("tenants", "1")] {
        budget.note_verdict(&credential, accepted(revision));
    }
    let reported: Vec<_> = std::iter::from_fn(|| news.try_recv().ok()).collect();
    assert_eq!(reported, ["key", "key", "tenants"], "the same again is no news");
    budget.poll(at(1000));
    assert_eq!(budget.health(&"key", at(1000)).verdict, Some(accepted("2")));
    budget.retain_verdicts(|credential| *credential == "key");
    budget.poll(at(1000));
    assert_eq!(budget.credentials.lock().keys().collect::<Vec<_>>(), [&"key"]);
    assert_eq!(budget.health(&"tenants", at(1000)), CredentialHealth::default());
}

/// A refused mint after the other must not wake all that use the credential.
#[test]
fn another_request_id_is_no_news() {
    use crate::api::Reason::{CredentialRejected, QuotaExhausted};
    let budget = Budgets::<_, usize>::new(8);
    let mut news = budget.subscribe();
    let mut is_news = |reason, message: &str, revision: &str| {
        let verdict = KeyVerdict {
            revision: revision.to_owned(),
            result: Err(crate::token::Blocked::new(reason, message)),
        };
        budget.note_verdict(&"key", verdict.clone());
        assert_eq!(budget.health(&"key", at(0)).verdict, Some(verdict), "the newest counts");
        news.try_recv().is_ok()
    };
    assert!(is_news(CredentialRejected, "Request id req_1.", "1"));
    assert!(!is_news(CredentialRejected, "Request id req_2.", "1"));
    assert!(is_news(CredentialRejected, "Request id req_2.", "2"), "another key");
    assert!(is_news(QuotaExhausted, "Request id req_2.", "2"), "another reason");
    budget.note_verdict(&"key", accepted("2"));
    assert!(news.try_recv().is_ok(), "accepted");
}

#[test]
fn an_idle_credential_is_forgotten() {
    let budget = Budgets::new(8);
    budget.set_limits(HashMap::from([("key", limit(60, 1))]), at(0));
    budget.acquire(&"key", &"a", priority(true, 0), at(0));
    budget.poll(at(10));
    assert!(!budget.credentials.lock().is_empty(), "a mint is in flight");
    budget.release(&"key", &"a", Ending::Throttled(at(20)), at(10));
    budget.poll(at(19));
    assert!(!budget.credentials.lock().is_empty(), "it is limited");
    budget.poll(at(20));
    assert!(budget.credentials.lock().is_empty());
}

proptest! {
    #[test]
    fn never_more_than_the_rate(rpm in 1i64..600, burst in 1i64..20, steps in proptest::collection::vec(0i64..3000, 1..200)) {
        let budget = Budgets::new(1000);
        budget.set_limits(HashMap::from([("key", limit(rpm, burst))]), at(0));
        let (mut now, mut granted) = (at(0), Vec::new());
        for (token, millis) in steps.into_iter().enumerate() {
            now += SignedDuration::from_millis(millis);
            for token in budget.poll(now).0 {
                prop_assert_eq!(budget.acquire(&"key", &token, priority(true, 0), now), Admission::Go);
                granted.push(now);
            }
            if budget.acquire(&"key", &token, priority(true, 0), now) == Admission::Go {
                granted.push(now);
            }
        }
        assert_rate(&granted, limit(rpm, burst));
    }
}

/// Never more than the burst and what the rate adds to it meanwhile.
fn assert_rate(granted: &[Timestamp], limit: RateLimit) {
    for (i, start) in granted.iter().enumerate() {
        for (n, end) in granted[i..].iter().enumerate() {
            let window = end.duration_since(*start).as_millis();
            let allowed = i128::from(limit.burst) + window * i128::from(limit.requests_per_minute) / 60_000 + 1;
            assert!((n as i128) < allowed, "{} mints in {window} ms", n + 1);
        }
    }
}
