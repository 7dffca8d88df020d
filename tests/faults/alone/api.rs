//! The API server is slow, refuses, breaks off, or is away.

use std::time::Duration;

use testkit::proxy::{Effect, Rule};

use crate::world::{Expected, Setup, World};

const WRITES: &[&str] = &["POST", "PUT", "PATCH", "APPLY"];
const STATUS: &[&str] = &["realtimetokens/status"];

/// Two replicas keep one leader though each answer takes four seconds.
#[tokio::test]
async fn four_seconds_late_with_two_replicas() {
    let world = World::start(Setup::replicated("slow-api")).await;
    let leader = world.leaders().await;
    assert_eq!(leader.len(), 1);
    world.api.add(Rule::new(Effect::Latency(Duration::from_secs(4))));
    let mut led = 0;
    const SECONDS: usize = 100;
    for _ in 0..SECONDS {
        tokio::time::sleep(Duration::from_secs(1)).await;
        led += usize::from(world.leaders().await == leader);
    }
    world.api.heal();
    assert!(
        led * 100 >= SECONDS * 90,
        "the first leader led for {led} s of {SECONDS}"
    );
    world.finish(&Expected::default()).await;
}

/// A Secret is written soon after the API server takes writes again: the back-off is short as long as a token has life
/// to lose.
#[tokio::test]
async fn secrets_are_refused_for_34_seconds() {
    let world = World::start(Setup::new("secrets-refused")).await;
    world.at(50).await;
    let refused = Effect::Status {
        code: 500,
        retry_after: None,
    };
    world.api.add(Rule::new(refused).verbs(WRITES).resources(&["secrets"]));
    world.at(84).await;
    world.api.heal();
    let expected = Expected {
        converged: Duration::from_secs(20),
        floor: 25, // 130 - 84 are left when writes are taken again
        ..Expected::default()
    };
    world.finish(&expected).await;
}

/// A status that can't be written holds no Secret up, and is tried again ever more seldom.
async fn statuses_answered(name: &'static str, code: u16, retry_after: Option<u32>) {
    let world = World::start(Setup::new(name)).await;
    world.at(50).await;
    let before = world.writes("realtimetokens", "status");
    let refused = Effect::Status { code, retry_after };
    world.api.add(Rule::new(refused).resources(STATUS));
    world.at(110).await;
    let tried = world.writes("realtimetokens", "status") - before;
    world.api.heal();
    assert!(tried <= 15 * 10, "{tried} writes of 10 statuses in a minute");
    let expected = Expected {
        converged: Duration::from_secs(60),
        floor: 45, // as if nothing had been
        ..Expected::default()
    };
    world.finish(&expected).await;
}

#[tokio::test]
async fn statuses_are_throttled_for_a_minute() {
    statuses_answered("statuses-429", 429, Some(1)).await;
}

#[tokio::test]
async fn statuses_conflict_for_a_minute() {
    statuses_answered("statuses-409", 409, None).await;
}

/// What is minted meanwhile is held until it can be stored.
#[tokio::test]
async fn away_for_a_minute() {
    let world = World::start(Setup::new("api-away")).await;
    world.at(55).await;
    world.api.refuse();
    world.at(115).await;
    world.api.heal();
    let expected = Expected {
        converged: Duration::from_secs(20),
        ..Expected::default()
    };
    world.finish(&expected).await;
}

/// A write whose answer is lost was applied or not: either way the token that was minted is the one that is stored.
#[tokio::test]
async fn writes_break_off_before_and_after_they_are_applied() {
    let world = World::start(Setup::new("writes-break-off")).await;
    let of_writes = |effect, percent| {
        let resources = &["secrets", "realtimetokens/status", "events"];
        Rule::new(effect).verbs(WRITES).resources(resources).percent(percent)
    };
    world.at(50).await;
    world.api.add(of_writes(Effect::ResetAfter, 25));
    world.api.add(of_writes(Effect::ResetBefore, 15));
    world.api.add(of_writes(
        Effect::Status {
            code: 500,
            retry_after: None,
        },
        15,
    ));
    world.api.add(of_writes(
        Effect::Status {
            code: 409,
            retry_after: None,
        },
        10,
    ));
    world.at(145).await;
    world.api.heal();
    let expected = Expected {
        floor: 25,
        requests: 500,
        ..Expected::default()
    };
    world.finish(&expected).await;
}
