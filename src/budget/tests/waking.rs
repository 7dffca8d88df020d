//! Every change wakes [`Budgets::next`], under paused time.

use std::sync::Arc;

use futures::FutureExt;
use tokio::time::Instant;

use super::super::*;
use crate::api::Reason;
use crate::token::Blocked;

const KEY: &str = "key";

type Tokens = Budgets<&'static str, &'static str>;

/// A clock that follows tokio's.
fn clock() -> impl Fn() -> Timestamp + Copy {
    let start = Instant::now();
    move || {
        let passed = SignedDuration::try_from(start.elapsed()).unwrap();
        Timestamp::from_second(1_795_334_400).unwrap() + passed
    }
}

fn priority(now: Timestamp) -> Priority {
    Priority::Renewal { by: now }
}

/// Waits up to an hour. Returns the tokens and after how many seconds they came.
async fn woken(budgets: &Tokens, clock: impl Fn() -> Timestamp) -> (Vec<&'static str>, u64) {
    woken_by(budgets, clock, || {}).await
}

/// Runs `change` after ten seconds of waiting.
async fn woken_by(budgets: &Tokens, clock: impl Fn() -> Timestamp, change: impl FnOnce()) -> (Vec<&'static str>, u64) {
    let began = Instant::now();
    let change = async {
        tokio::time::sleep(Duration::from_secs(10)).await;
        change();
        std::future::pending().await
    };
    let limit = tokio::time::sleep(Duration::from_secs(3600));
    let tokens = tokio::select! {
        tokens = budgets.next(clock) => tokens,
        () = change => vec![],
        () = limit => vec![],
    };
    (tokens, began.elapsed().as_secs())
}

#[tokio::test(start_paused = true)]
async fn a_release_wakes_the_next_in_the_queue() {
    let budgets = Budgets::new(1);
    let clock = clock();
    for token in ["a", "b"] {
        budgets.acquire(&KEY, &token, priority(clock()), clock());
    }
    let release = || assert!(budgets.release(&KEY, &"a", Ending::Granted, clock()).is_zero());
    assert_eq!(woken_by(&budgets, clock, release).await, (vec!["b"], 10));
    let admission = budgets.acquire(&KEY, &"b", priority(clock()), clock());
    assert_eq!(admission, Admission::Go);
}

/// A slot is reserved for b, and c waits.
async fn with_b_woken(clock: impl Fn() -> Timestamp + Copy) -> Tokens {
    let budgets = Budgets::new(1);
    for token in ["a", "b", "c"] {
        budgets.acquire(&KEY, &token, priority(clock()), clock());
    }
    budgets.release(&KEY, &"a", Ending::Granted, clock());
    assert_eq!(woken(&budgets, clock).await, (vec!["b"], 0));
    budgets
}

/// Its RealtimeToken was deleted or suspended, or can't be looked at.
#[tokio::test(start_paused = true)]
async fn a_slot_that_is_given_up_goes_to_the_next_at_once() {
    for give_up in [Budgets::withdraw, Budgets::leave, Budgets::give_up_slot] {
        let clock = clock();
        let budgets = with_b_woken(clock).await;
        // Before the reservation for b would have ended.
        let mut next = std::pin::pin!(woken(&budgets, clock));
        assert!(futures::poll!(&mut next).is_pending());
        give_up(&budgets, &"b");
        assert_eq!(next.await, (vec!["c"], 0));
    }
}

/// Two of the three that had failed are forgotten after fifteen minutes.
#[tokio::test(start_paused = true)]
async fn a_request_that_notices_the_end_of_an_outage_wakes_those_who_wait_for_it() {
    let budgets = Arc::new(Budgets::new(8));
    let _controller = budgets.subscribe();
    let clock = clock();
    for token in ["a", "b"] {
        budgets.wait_out(&KEY, &token, 2, clock(), clock());
    }
    tokio::time::sleep(Duration::from_secs(600)).await;
    budgets.wait_out(&KEY, &"c", 1, clock(), clock());
    assert!(budgets.health(&KEY, clock()).unavailable_since.is_some());
    tokio::time::sleep(Duration::from_secs(290)).await;
    let mut slot = None;
    let ask = || {
        let wanted = SlotRequest {
            credential: &KEY,
            token: &"d",
            revision: "1",
            claim: Claim::Caller,
        };
        slot = budgets.slot_for_request(wanted, Instant::now(), clock).now_or_never();
    };
    assert_eq!(woken_by(&budgets, clock, ask).await, (vec!["c"], 10));
    assert!(matches!(slot, Some(Ok(_))));
}

#[tokio::test(start_paused = true)]
async fn an_unclaimed_slot_goes_to_the_next_when_its_reservation_ends() {
    let clock = clock();
    let budgets = with_b_woken(clock).await;
    assert_eq!(woken(&budgets, clock).await, (vec!["c"], 30));
}

#[tokio::test(start_paused = true)]
async fn a_token_that_queues_while_the_limit_holds_is_woken_at_its_end() {
    let budgets = Budgets::new(8);
    let mut news = budgets.subscribe();
    let clock = clock();
    let until = clock() + SignedDuration::from_secs(30);
    for token in ["a", "b"] {
        budgets.acquire(&KEY, &token, priority(clock()), clock());
    }
    for longer in [30, 0] {
        let ending = Ending::Throttled(until);
        assert_eq!(budgets.release(&KEY, &"a", ending, clock()).as_secs(), longer);
    }
    assert_eq!(news.try_recv().unwrap(), KEY);
    assert!(news.try_recv().is_err(), "the second answer is no news");
    let queue = || {
        let admission = budgets.acquire(&KEY, &"c", priority(clock()), clock());
        assert_eq!(admission, Admission::Limited(until));
    };
    assert_eq!(woken_by(&budgets, clock, queue).await, (vec!["c"], 30));
}

#[tokio::test(start_paused = true)]
async fn the_configured_rate_wakes_one_after_the_other() {
    let budgets = Budgets::new(8);
    let clock = clock();
    let limit = RateLimit {
        requests_per_minute: 6,
        burst: 1,
    };
    budgets.set_limits(HashMap::from([(KEY, limit)]), clock());
    for token in ["a", "b", "c"] {
        budgets.acquire(&KEY, &token, priority(clock()), clock());
    }
    for token in ["b", "c"] {
        assert_eq!(woken(&budgets, clock).await, (vec![token], 10));
        let admission = budgets.acquire(&KEY, &token, priority(clock()), clock());
        assert_eq!(admission, Admission::Go);
    }
    assert_eq!(woken(&budgets, clock).await, (vec![], 3600), "nothing to wake");
}

#[tokio::test(start_paused = true)]
async fn a_verdict_is_news_once_and_forgotten_when_it_is_not_used() {
    let budgets = Budgets::<_, &str>::new(8);
    let mut news = budgets.subscribe();
    let clock = clock();
    let verdict = KeyVerdict {
        revision: "1".to_owned(),
        result: Err(Blocked::new(Reason::CredentialRejected, "the key was rejected")),
    };
    for _ in 0..2 {
        budgets.note_verdict(&KEY, verdict.clone());
    }
    assert_eq!(news.try_recv().unwrap(), KEY);
    assert!(news.try_recv().is_err());
    assert_eq!(budgets.health(&KEY, clock()).verdict, Some(verdict));
    budgets.retain_verdicts(|_| false);
    assert_eq!(budgets.health(&KEY, clock()), CredentialHealth::default());
}
