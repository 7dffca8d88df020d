//! `rateLimit`: one bucket for all tokens of the account, and who comes first.

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use crate::expect::{AT_ONCE, seconds};
use crate::world::{holds, world};

/// Since all calls wait from the beginning on, when the bucket is full, each has its earliest time. A busy machine can
/// only make them later.
fn assert_rate(began: Timestamp, times: &[Timestamp], per_minute: i64, burst: usize) {
    for (n, time) in times.iter().enumerate() {
        let refills = (n + 1).saturating_sub(burst);
        let earliest = began + seconds(refills as f64 * 60.0 / per_minute as f64);
        assert!(*time >= earliest, "call {n} came before {earliest}: {times:?}");
    }
}

#[tokio::test]
async fn no_more_than_the_rate() {
    let case = world().await.case("rate").await;
    let mut account = case.account();
    account["rateLimit"] = json!({"requestsPerMinute": 60, "burst": 2});
    case.put_platform_key(&case.key).await;
    case.create_provider(account).await;
    let names: Vec<String> = (0..7).map(|n| format!("voice-{n}")).collect();
    let began = Timestamp::now();
    join_all(names.iter().map(|name| case.create(name, case.tenant(name)))).await;
    join_all(names.iter().map(|name| case.recovered(name, 1))).await;
    let times: Vec<Timestamp> = case.calls().iter().map(|call| call.time).collect();
    assert_eq!(times.len(), names.len());
    assert_rate(began, &times, 60, 2);
    let took = times[6].duration_since(times[0]);
    assert!(took < seconds(5.0) + AT_ONCE, "the rate is used: {took:?} for 7 calls");
    case.assert_strict();
}

/// While renewals queue for their turn, a RealtimeToken without a token goes before them.
#[tokio::test]
async fn a_first_token_goes_before_renewals() {
    let case = world().await.case("order").await;
    case.lent(case.account()).await;
    let old = ["voice", "old-1", "old-2", "old-3"];
    for name in &old[1..] {
        case.create(name, case.tenant(name)).await;
        case.recovered(name, 1).await;
    }
    case.patch_provider(json!({"rateLimit": {"requestsPerMinute": 20, "burst": 1}}))
        .await;
    // The new key must not be seen before the new rate: they come by two watches.
    case.provider_status(|s| s.observed_generation == Some(2)).await;
    let began = Timestamp::now();
    case.put_platform_key(&case.spare_key).await;
    let spare = || case.world.standin.calls_with_key(&case.spare_key);
    // The first renewal has the only turn, the others queue.
    testkit::wait::until("the first renewal", crate::world::DEADLINE, async || {
        Ok((!spare().is_empty()).then_some(()))
    })
    .await
    .unwrap();
    case.create("new", case.tenant("new")).await;
    case.recovered("new", 1).await;
    let order: Vec<String> = spare().into_iter().map(|call| call.identity.unwrap()).collect();
    let place = order
        .iter()
        .position(|identity| *identity == case.identity("new"))
        .unwrap();
    assert!(place <= 2, "who has no token waited for {place} renewals: {order:?}");
    for name in old {
        case.recovered(name, 2).await;
    }
    let times: Vec<Timestamp> = spare().iter().map(|call| call.time).collect();
    assert_eq!(times.len(), old.len() + 1);
    assert_rate(began, &times, 20, 1);
    let status = case
        .patiently("new", |status| holds(status, "Ready", "True", "Issued"))
        .await;
    assert_eq!(status.failed_mint_attempts, None);
    case.assert_strict();
}
