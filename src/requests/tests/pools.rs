//! Tokens that are minted ahead.

use std::collections::HashSet;
use std::time::Duration;

use super::*;
use crate::testing::MintFault;

fn ready(number: i64) -> Value {
    json!({"subject": "Optional", "overridable": ["expirationSeconds"], "ready": number,
           "rateLimit": {"requestsPerMinute": 60_000, "burst": 1000}})
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

impl World {
    fn ready(&self) -> f64 {
        self.metric("request_pool_ready{")
    }
}

#[tokio::test(start_paused = true)]
async fn it_fills_with_the_first_request_and_gives_each_token_once() {
    let world = World::new(ready(5)).await;
    pass(60).await;
    assert_eq!(world.provider.count(), 0, "nobody has asked");
    assert_eq!(world.ask(Value::Null).await.token(), "token-1");
    pass(1).await;
    assert_eq!((world.ready(), world.provider.count()), (5.0, 6));
    let mut given = HashSet::new();
    for _ in 0..50 {
        let answer = world.ask(Value::Null).await;
        assert!(given.insert(answer.token().to_owned()), "twice: {answer:?}");
    }
    assert!(world.metric("request_duration_seconds_count{source=\"pool\"}") >= 5.0);
    pass(1).await;
    assert_eq!(world.ready(), 5.0);
}

#[tokio::test(start_paused = true)]
async fn a_subject_or_overrides_get_a_token_minted_for_them() {
    let world = World::new(ready(2)).await;
    world.ask(Value::Null).await;
    pass(1).await;
    for body in [json!({"subject": "u"}), json!({"overrides": {"expirationSeconds": 60}})] {
        let before = world.provider.count();
        assert_eq!(world.ask(body).await.status, 201);
        assert_eq!((world.provider.count(), world.ready()), (before + 1, 2.0));
    }
    assert_eq!(world.ask(json!({"overrides": {}})).await.status, 201);
    assert_eq!(world.metric("request_duration_seconds_count{source=\"pool\"}"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn it_rests_after_a_life_without_requests_and_wakes() {
    let world = World::new(ready(2)).await;
    world.ask(Value::Null).await;
    pass(3600).await;
    let minted = world.provider.count();
    assert!(
        minted <= 1 + 4,
        "{minted}: the two, and those that followed them within a life"
    );
    assert!(
        !world.metrics.render().contains("request_pool_ready{"),
        "no series is left"
    );
    world.ask(Value::Null).await;
    pass(1).await;
    assert_eq!(world.ready(), 2.0);
    world.api.delete("realtimetokens", "shop", "voice");
    pass(60).await;
    assert!(
        !world.metrics.render().contains("request_pool_ready{"),
        "none of one that is gone"
    );
}

/// 30 s for the caller and 2 for the answer leave next to nothing.
#[tokio::test(start_paused = true)]
async fn there_is_no_pool_of_tokens_that_would_leave_it_at_once() {
    let world = World::new(ready(3)).await;
    world.edit(json!({"spec": {"expirationSeconds": 35}}));
    pass(1).await;
    world.ask(Value::Null).await;
    pass(60).await;
    assert_eq!(world.provider.count(), 1);
}

/// Another spec, another key, a suspension: what was minted before is handed out no more.
#[tokio::test(start_paused = true)]
async fn a_change_drops_what_was_minted_before_it() {
    let world = World::new(ready(3)).await;
    world.ask(Value::Null).await;
    pass(1).await;
    world.edit(json!({"spec": {"openai": {"model": "other"}}}));
    pass(1).await;
    world.ask(Value::Null).await;
    assert_eq!(world.ready(), 2.0);
    pass(1).await;
    assert_eq!(world.provider.count_of("other"), 4);

    world
        .api
        .edit("secrets", "shop", "openai", &json!({"data": {"api-key": "c2stMg=="}}));
    pass(1).await;
    let answer = world.ask(Value::Null).await;
    let calls = world.provider.calls();
    let call = calls
        .iter()
        .find(|call| call.token.as_deref() == Some(answer.token()))
        .unwrap();
    assert_eq!(call.key, "sk-2");
    pass(1).await;
    world.edit(json!({"spec": {"suspend": true}}));
    pass(1).await;
    assert_eq!(world.ready(), 0.0);
    let minted = world.provider.count();
    pass(3600).await;
    assert_eq!(world.provider.count(), minted);
}

#[tokio::test(start_paused = true)]
async fn tokens_below_the_floor_are_replaced_while_callers_ask() {
    let world = World::with(ready(3), 60).await;
    for _ in 0..120 {
        let answer = world.ask(Value::Null).await;
        let left = answer.body["expiresAt"].as_i64().unwrap() - crate::clock::now().as_millisecond();
        assert!(left >= 30_000, "{left}");
        pass(7).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limited_or_refused_credential_is_left_alone() {
    for (fault, most) in [
        (MintFault::Throttled(Some(SignedDuration::from_secs(300))), 2),
        (MintFault::KeyRejected, 6),
        (MintFault::QuotaExhausted, 4),
        (MintFault::Unavailable, 60),
    ] {
        let world = World::new(ready(3)).await;
        world.ask(Value::Null).await;
        pass(1).await;
        world.provider.fail(fault);
        let before = world.provider.count();
        assert_eq!(world.ask(Value::Null).await.status, 201, "out of the pool");
        pass(300).await;
        let tried = world.provider.count() - before;
        assert!((1..=most).contains(&tried), "{fault:?}: {tried}");
        world.provider.recover();
        for _ in 0..15 {
            pass(60).await;
            world.ask(Value::Null).await;
        }
        pass(10).await;
        assert_eq!(world.ready(), 3.0, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_stops_mints_nothing_ahead() {
    let world = World::new(ready(3)).await;
    world.ask(Value::Null).await;
    pass(1).await;
    world.shutdown.cancel();
    pass(1).await;
    let before = world.provider.count();
    assert_eq!(world.ask(Value::Null).await.status, 201);
    pass(60).await;
    assert!(world.provider.count() <= before + 1);
}
