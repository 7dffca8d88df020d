//! `rateLimit`: one bucket for all tokens of the account, and who comes first.

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use crate::expect::{AT_ONCE, seconds};
use crate::world::{holds, world};

/// No stretch of time has more calls than the bucket held at its start and got during it.
fn assert_rate(times: &[Timestamp], per_minute: i64, burst: usize) {
    for (from, start) in times.iter().enumerate() {
        for (n, end) in times[from..].iter().enumerate() {
            // On a busy machine a call may come in a bit later than it was allowed, and the next one not.
            let window = end.duration_since(*start) + seconds(1.0);
            let allowed = burst as f64 + window.as_secs_f64() * per_minute as f64 / 60.0;
            assert!((n + 1) as f64 <= allowed, "{} calls in {window:?}: {times:?}", n + 1);
        }
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
    join_all(names.iter().map(|name| case.create(name, case.tenant(name)))).await;
    join_all(names.iter().map(|name| case.recovered(name, 1))).await;
    let times: Vec<Timestamp> = case.calls().iter().map(|call| call.time).collect();
    assert_eq!(times.len(), names.len());
    assert_rate(&times, 60, 2);
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
    case.put_platform_key(&case.spare_key).await;
    let spare = || case.world.standin.calls_with_key(&case.spare_key);
    // The first renewal has the only turn, the others queue.
    testkit::wait::until("the first renewal", crate::expect::PATIENCE, async || {
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
    assert_rate(&times, 20, 1);
    let status = case
        .patiently("new", |status| holds(status, "Ready", "True", "Issued"))
        .await;
    assert_eq!(status.failed_mint_attempts, None);
    case.assert_strict();
}
