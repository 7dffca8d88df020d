//! Watches and connections that die without a word, are refused, torn or repeat themselves.

use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::DeleteParams;
use serde_json::json;
use testkit::proxy::{Effect, Rule};
use testkit::wait;

use crate::observer::end_of;
use crate::world::{Expected, Setup, World};

/// A change of each kind that only a watch can show: a new RealtimeToken, an edited one, a deleted Secret. Returns how
/// long it took until all three were seen.
async fn changes_are_seen(world: &World, within: Duration) -> Duration {
    let began = Instant::now();
    let name = world.setup.name;
    let mints = |of: &str| world.standin.mints().get(of).map_or(0, Vec::len);
    let edited = mints("token-0");
    world.create("late").await;
    world
        .patch(
            "token-0",
            json!({"spec": {"openai": {"session": {"instructions": "Be brief."}}}}),
        )
        .await;
    let deleted = world.secrets().get("token-1").await.unwrap().uid();
    world
        .secrets()
        .delete("token-1", &DeleteParams::default())
        .await
        .unwrap();
    wait::until(&format!("{name}: three changes"), within, async || {
        let late = world.secrets().get_opt("late").await?;
        anyhow::ensure!(
            late.as_ref().and_then(end_of).is_some(),
            "the new RealtimeToken has no Secret"
        );
        anyhow::ensure!(mints("token-0") > edited, "the edited RealtimeToken has its old token");
        let healed = world.secrets().get_opt("token-1").await?;
        anyhow::ensure!(
            healed.is_some_and(|it| it.uid() != deleted),
            "the deleted Secret is not back"
        );
        Ok(Some(()))
    })
    .await
    .unwrap();
    println!(
        "{name}: three changes seen after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    began.elapsed()
}

/// One mint for the edit, one for the deleted Secret, whose RealtimeToken claims to be ready until that is noticed.
fn expected() -> Expected {
    Expected {
        extra_mints: 2,
        false_claim: Duration::from_secs(60),
        floor: 40,
        ..Expected::default()
    }
}

/// The connections live, the watches say nothing any more: a proxy on the way has lost its server.
#[tokio::test]
async fn silent_ones_are_noticed_within_a_minute() {
    let world = World::start(Setup::new("silent-watches")).await;
    world.at(15).await;
    world.api.silence_watches();
    changes_are_seen(&world, Duration::from_secs(60)).await;
    world.at(140).await;
    world.finish(&expected()).await;
}

/// Packets vanish in all connections that are open, as when a node or a load balancer dies.
#[tokio::test]
async fn dead_connections_are_noticed_within_a_minute() {
    let world = World::start(Setup::new("dead-connections")).await;
    world.at(15).await;
    world.api.freeze();
    changes_are_seen(&world, Duration::from_secs(60)).await;
    world.at(140).await;
    world.finish(&expected()).await;
}

/// Every watch is told that its version is too old, for a minute.
#[tokio::test]
async fn a_storm_of_410_costs_few_lists() {
    let world = World::start(Setup::new("gone-watches")).await;
    world.at(50).await;
    let before = world.requests();
    world.api.add(Rule::new(Effect::GoneWatch));
    world.api.cut();
    world.at(110).await;
    let lists = world
        .requests()
        .since(&before)
        .sum(|it| it.verb == "LIST" || it.verb == "WATCH");
    world.api.heal();
    assert!(lists <= 240, "{lists} lists and watches in a minute");
    changes_are_seen(&world, Duration::from_secs(30)).await;
    world
        .finish(&Expected {
            requests: 800,
            ..expected()
        })
        .await;
}

/// Events come in pieces, break off in the middle, or come twice.
#[tokio::test]
async fn torn_slow_and_repeated_ones_lose_nothing() {
    let world = World::start(Setup::new("torn-watches")).await;
    world.at(40).await;
    let watches: &[&str] = &["WATCH"];
    world
        .api
        .add(Rule::new(Effect::Torn { after: 3000 }).verbs(watches).percent(50));
    world
        .api
        .add(Rule::new(Effect::RepeatedWatch).verbs(watches).percent(50));
    let every = Duration::from_millis(5);
    world
        .api
        .add(Rule::new(Effect::SlowBody { bytes: 100, every }).verbs(&["WATCH", "LIST"]));
    world.api.cut();
    changes_are_seen(&world, Duration::from_secs(60)).await;
    world.at(130).await;
    world.api.heal();
    world
        .finish(&Expected {
            requests: 800,
            ..expected()
        })
        .await;
}
