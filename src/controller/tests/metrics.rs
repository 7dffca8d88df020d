//! What is counted of renewals that come late and of limits.

use super::*;
use crate::testing::MintFault;

const SWAPS: &str = "realtime_token_rotation_lateness_seconds_count";
const VIOLATIONS: &str = "realtime_token_freshness_violations_total";

/// A token that comes late counts whatever ended the delay. For a suspended one nobody waited.
#[tokio::test(start_paused = true)]
async fn a_late_token_counts_and_a_suspended_one_does_not() {
    let fleet = Fleet::new(600);
    fleet.create("late");
    fleet.create("asleep");
    fleet.pass(60).await;
    fleet.edit("asleep", json!({"spec": {"suspend": true}}));
    fleet.provider.fail(MintFault::KeyRejected);
    fleet.pass(400).await;
    fleet.provider.recover();
    let key = json!({"data": {"api-key": base64("sk-2")}});
    fleet.api.edit("secrets", NAMESPACE, "openai", &key);
    fleet.edit("asleep", json!({"spec": {"suspend": false}}));
    fleet.pass(30).await;
    fleet.assert_settled("late", "repaired");
    fleet.assert_settled("asleep", "resumed");
    assert_eq!((fleet.metric(SWAPS), fleet.metric(VIOLATIONS)), (1.0, 1.0));
    assert!(fleet.metric("realtime_token_rotation_lateness_seconds_sum") > 120.0);
}

/// Many mints in flight get the same limit as their answer.
#[tokio::test(start_paused = true)]
async fn a_limit_is_counted_once() {
    let fleet = Fleet::new(600);
    fleet
        .provider
        .fail(MintFault::Throttled(Some(SignedDuration::from_secs(600))));
    for name in ["a", "b", "c", "d"] {
        fleet.create(name);
    }
    fleet.pass(60).await;
    assert_eq!(fleet.provider.count(), 4, "all at once, and none after the answer");
    let limited = fleet.metric("realtime_token_provider_limited_seconds_total{provider=\"openai\"}");
    assert!((600.0..601.0).contains(&limited), "{limited}");
}

/// A tenant's mints are counted while it has a RealtimeToken, whatever became of the mint.
#[tokio::test(start_paused = true)]
async fn mints_are_counted_by_namespace_as_long_as_it_has_a_token() {
    let fleet = Fleet::new(600);
    let mints = |outcome| {
        let labels = format!("{{namespace=\"{NAMESPACE}\",provider=\"openai\",outcome=\"{outcome}\"}}");
        fleet
            .metrics
            .render()
            .contains(&format!("realtime_token_namespace_mints_total{labels} 1\n"))
    };
    fleet.create("a");
    fleet.pass(30).await;
    fleet.provider.fail(MintFault::KeyRejected);
    fleet.create("b");
    fleet.pass(30).await;
    assert!(
        mints("success") && mints("CredentialRejected"),
        "{}",
        fleet.metrics.render()
    );
    fleet.api.delete("realtimetokens", NAMESPACE, "a");
    fleet.pass(300).await;
    assert!(mints("success"), "there is another RealtimeToken");
    fleet.api.delete("realtimetokens", NAMESPACE, "b");
    fleet.pass(300).await;
    assert!(!fleet.metrics.render().contains("namespace_mints_total{"));
}
