//! A Kubernetes API that keeps failing: how many requests it gets while it does, and how soon all is well afterwards.

use super::*;
use crate::testing::{Fault, Request};

/// The most requests for one RealtimeToken within any minute, whatever fails and for however long. It is that many only
/// in the last minute before a floor is lost, when waits are short.
const PER_MINUTE: usize = 60;

const FAULTS: [Fault; 14] = [
    Fault::Status(403),
    Fault::Status(404),
    Fault::Status(409),
    Fault::Status(422),
    Fault::Status(429),
    Fault::Throttled(1),
    Fault::Throttled(20),
    Fault::WebhookThrottled(20),
    Fault::Status(500),
    Fault::Status(503),
    Fault::ResetBefore,
    Fault::ResetAfter,
    Fault::Hang,
    Fault::HangAfter,
];

/// A RealtimeToken's requests, key and Events left aside.
fn of_token(request: &Request) -> bool {
    let single = !matches!(request.verb, "list" | "watch");
    single && matches!(request.resource, "realtimetokens" | "secrets") && request.name != "openai"
}

fn writes(request: &Request) -> bool {
    of_token(request) && request.verb != "get"
}

type Which = (&'static str, fn(&Request) -> bool);

const WHICH: [Which; 4] = [
    ("writes of the Secret", |it| writes(it) && it.resource == "secrets"),
    ("all about the Secret", |it| of_token(it) && it.resource == "secrets"),
    ("writes of the status", |it| {
        writes(it) && it.resource == "realtimetokens"
    }),
    ("everything", of_token),
];

/// Lets time pass, and returns the busiest minute.
async fn busiest_minute(fleet: &Fleet, minutes: usize) -> usize {
    let mut busiest = 0;
    for _ in 0..minutes {
        fleet.api.forget_requests();
        tokio::time::sleep(Duration::from_secs(60)).await;
        busiest = busiest.max(fleet.api.requests().iter().filter(|it| of_token(it)).count());
    }
    busiest
}

/// For each kind of request and each fault, for ten minutes: from the first token on, and from the first renewal on.
#[tokio::test(start_paused = true)]
async fn whatever_fails_is_asked_for_seldom_and_converges_afterwards() {
    for (what, which) in WHICH {
        for fault in FAULTS {
            for has_token in [false, true] {
                let context = format!("{what}: {fault:?}, token before: {has_token}");
                let mut fleet = Fleet::new(600);
                if has_token {
                    fleet.create("voice");
                    fleet.pass(200).await;
                }
                fleet.api.break_down(which, fault);
                if !has_token {
                    fleet.create("voice");
                }
                let busiest = busiest_minute(&fleet, 10).await;
                assert!(busiest <= PER_MINUTE, "{context}: {busiest} requests in a minute");
                let violations = fleet.metric("realtime_token_freshness_violations_total");
                if what == "writes of the status" {
                    assert!(violations == 0.0, "{context}: the token needs no status");
                }
                fleet.api.recover();
                // Not looked at meanwhile: until it can be written, the status claims what held before.
                tokio::time::sleep(Duration::from_secs(70)).await;
                fleet.assert_settled("voice", &context);
                // Every 330 s, and another where the token in memory ended before it could be stored.
                let mints = fleet.provider.count();
                assert!(mints <= 4, "{context}: {mints} mints");
                fleet.kill();
            }
        }
    }
}

/// The sixty seconds that the schedule keeps for retries: whenever an outage begins that is shorter, and however the API
/// server fails, the token is stored in time, and within seconds of the API server's return.
#[tokio::test(start_paused = true)]
async fn an_outage_shorter_than_the_retry_budget_breaks_no_floor() {
    let mut slowest = Duration::ZERO;
    let mut name = 0;
    for fault in [
        Fault::Status(500),
        Fault::Status(429),
        Fault::Throttled(1),
        Fault::WebhookThrottled(20),
        Fault::ResetBefore,
        Fault::ResetAfter,
        Fault::Hang,
    ] {
        for lasts in [10, 34, 45] {
            for before_due in [40, 15, 2] {
                name += 1; // another jitter
                let name = format!("voice-{name}");
                let context = format!("{fault:?} for {lasts} s, {before_due} s before {name} is due");
                let mut fleet = Fleet::new(600);
                fleet.create(&name);
                fleet.pass(60).await;
                let due = fleet.status(&name).renewal_time.unwrap().0;
                let wait = due.duration_since(now()).as_secs() - before_due;
                fleet.pass(u64::try_from(wait).unwrap()).await;
                fleet.api.break_down(of_token, fault);
                tokio::time::sleep(Duration::from_secs(lasts)).await;
                fleet.api.recover();
                let back = Instant::now();
                let stored = || fleet.secret(&name).as_ref().and_then(revision) == Some(2);
                while !stored() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    assert!(back.elapsed() < Duration::from_secs(60), "{context}: never stored");
                }
                if due <= now() - SignedDuration::try_from(back.elapsed()).unwrap() {
                    slowest = slowest.max(back.elapsed());
                }
                fleet.pass(60).await;
                fleet.assert_settled(&name, &context);
                let violations = fleet.metric("realtime_token_freshness_violations_total");
                assert!(violations == 0.0, "{context}: the floor is broken");
                assert_eq!(fleet.provider.count(), 2, "{context}");
                fleet.kill();
            }
        }
    }
    assert!(
        slowest <= Duration::from_secs(16),
        "{slowest:?}: a request that hung, and one try"
    );
}

/// Where the API server answers others there is no outage whose end could be noticed: what is left of the time to store
/// the next token bounds each wait by itself.
#[tokio::test(start_paused = true)]
async fn trouble_of_one_token_alone_is_over_soon_after_its_cause() {
    for (n, lasts) in [30, 35, 40, 45, 50].into_iter().enumerate() {
        let name = format!("voice-{n}");
        let mut fleet = Fleet::new(600);
        fleet.create(&name);
        fleet.create("other");
        fleet.pass(60).await;
        let due = fleet.status(&name).renewal_time.unwrap().0;
        let wait = due.duration_since(now()).as_secs();
        fleet.pass(u64::try_from(wait).unwrap()).await;
        let troubled = name.clone();
        let fails = move |request: &Request| of_token(request) && request.name == troubled;
        fleet.api.break_down(fails, Fault::Status(500));
        for second in 0..lasts {
            let labels = json!({"second": second.to_string()});
            let template = json!({"spec": {"target": {"template": {"metadata": {"labels": labels}}}}});
            fleet.edit("other", template);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        fleet.api.recover();
        fleet.pass(12).await;
        fleet.assert_settled(&name, &format!("{name}, twelve seconds after {lasts} s"));
        assert!(
            fleet.metric("realtime_token_freshness_violations_total") == 0.0,
            "{name}: the floor is broken"
        );
        fleet.kill();
    }
}

/// After ten minutes each waits for up to a minute: the first answer ends that for all.
#[tokio::test(start_paused = true)]
async fn all_tokens_follow_the_first_write_that_is_answered() {
    for fault in [Fault::ResetBefore, Fault::Throttled(1), Fault::Status(503)] {
        let fleet = Fleet::new(3600);
        fleet.api.break_down(of_token, fault);
        let names: Vec<_> = (0..100).map(|n| format!("voice-{n}")).collect();
        for name in &names {
            fleet.create(name);
        }
        fleet.api.forget_requests();
        tokio::time::sleep(Duration::from_secs(600)).await;
        let requests = fleet.api.requests().iter().filter(|it| of_token(it)).count();
        assert!(
            requests <= 4000,
            "{fault:?}: {requests} requests in ten minutes for 100 tokens"
        );
        fleet.api.recover();
        fleet.pass(8).await;
        for name in &names {
            fleet.assert_settled(name, &format!("{fault:?}, eight seconds after"));
        }
        assert_eq!(fleet.provider.count(), names.len(), "each token is kept and stored");
    }
}

/// A webhook that is down refuses every Secret, and the statuses are written: that others are answered is no reason to try
/// each Secret again.
#[tokio::test(start_paused = true)]
async fn answers_to_others_wake_nobody_whose_own_writes_fail() {
    let fleet = Fleet::new(3600);
    fleet
        .api
        .break_down(|it| writes(it) && it.resource == "secrets", Fault::Status(500));
    for n in 0..100 {
        fleet.create(&format!("voice-{n}"));
    }
    fleet.pass(60).await;
    fleet.api.forget_requests();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let requests = fleet.api.requests().iter().filter(|it| of_token(it)).count();
    assert!(requests <= 8000, "{requests} requests in ten minutes for 100 tokens");
}
