//! A provider that is out of order: few calls while it is, and all tokens soon after.

use super::*;
use crate::testing::MintFault;

/// A second key Secret.
const OTHER: &str = "other";

/// With the key Secret shop/KEY.
fn create(fleet: &Fleet, name: &str, key: &str) {
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"openai": {"model": name}, "credentials": {"secretRef": {"name": key, "key": "api-key"}}},
    }));
}

/// So many RealtimeTokens with the key Secret shop/openai.
fn create_many(fleet: &Fleet, count: usize) -> Vec<String> {
    let names: Vec<_> = (0..count).map(|n| format!("voice-{n}")).collect();
    for name in &names {
        create(fleet, name, "openai");
    }
    names
}

/// How many calls for these there were within the last so many seconds.
fn calls_within(fleet: &Fleet, seconds: i64, of: &str) -> usize {
    let since = now() - SignedDuration::from_secs(seconds);
    let calls = fleet.provider.calls().into_iter();
    calls
        .filter(|call| call.at > since && call.subject.starts_with(of))
        .count()
}

#[tokio::test(start_paused = true)]
async fn all_tokens_of_a_key_try_once_a_second_together_and_follow_the_first_success() {
    let fleet = Fleet::new(3600);
    fleet.provider.fail(MintFault::Unavailable);
    let names = create_many(&fleet, 200);
    fleet.pass(120).await;
    let calls = fleet.provider.count();
    assert!((110..=130).contains(&calls), "{calls} calls in 120 s");
    // One for each token as it begins to wait, and one for each call that fails.
    let writes = fleet.api.count("patch", "realtimetokens");
    assert!(writes <= names.len() + calls, "{writes} status writes");
    for name in &names {
        let status = fleet.status(name);
        let renewing = fleet.condition(name, ConditionType::Renewing);
        assert_eq!(renewing, ("True".into(), "ProviderUnavailable".into()), "{status:?}");
        let next = status.next_attempt_time.as_ref().unwrap().0;
        assert!(next > now() - SignedDuration::from_secs(15), "{name}: {status:?}");
    }
    fleet.provider.recover();
    fleet.pass(10).await;
    for name in &names {
        fleet.assert_settled(name, "the provider is back");
    }
    assert_eq!(fleet.provider.tokens(), names.len(), "none is minted twice");
    let busiest = fleet.provider.calls();
    for (first, later) in busiest[calls..].iter().zip(&busiest[calls + 60..]) {
        let apart = later.at.duration_since(first.at).as_millis();
        assert!(apart >= 900, "61 calls within {apart} ms");
    }
}

/// What was known of the outage is gone with the process, but for the statuses.
#[tokio::test(start_paused = true)]
async fn a_restart_during_an_outage_changes_nothing() {
    let mut fleet = Fleet::new(3600);
    fleet.provider.fail(MintFault::Unavailable);
    let names = create_many(&fleet, 100);
    fleet.pass(240).await;
    fleet.kill();
    let before = fleet.provider.count();
    fleet.start();
    fleet.pass(60).await;
    let calls = fleet.provider.count() - before;
    assert!(calls <= 70, "{calls} calls in 60 s");
    fleet.kill();
    fleet.provider.recover();
    fleet.start();
    fleet.pass(15).await;
    for name in &names {
        fleet.assert_settled(name, "the provider is back");
    }
    assert_eq!(fleet.provider.tokens(), names.len());
}

#[tokio::test(start_paused = true)]
async fn another_key_is_not_held_up() {
    let fleet = Fleet::new(3600);
    let mut other = key_secret(NAMESPACE, OTHER);
    other["data"]["api-key"] = base64("sk-other").into();
    fleet.api.create(other);
    fleet
        .provider
        .fail_where(MintFault::Unavailable, |call| call.key == "sk-1");
    create_many(&fleet, 20);
    fleet.pass(60).await;
    let names: Vec<_> = (0..20).map(|n| format!("other-{n}")).collect();
    for name in &names {
        create(&fleet, name, OTHER);
    }
    fleet.pass(5).await;
    for name in &names {
        fleet.assert_settled(name, "its key has no outage");
    }
    assert!(calls_within(&fleet, 60, "voice-") <= 61);
}

/// A request that only one RealtimeToken makes has the provider fail: the others don't notice.
#[tokio::test(start_paused = true)]
async fn one_spec_that_troubles_the_provider_is_no_outage() {
    let fleet = Fleet::new(600);
    fleet
        .provider
        .fail_where(MintFault::Unavailable, |call| call.subject == "voice-0");
    create(&fleet, "voice-0", "openai");
    fleet.pass(300).await;
    let names: Vec<_> = (1..20).map(|n| format!("voice-{n}")).collect();
    for name in &names {
        create(&fleet, name, "openai");
    }
    fleet.pass(5).await;
    for name in &names {
        fleet.assert_settled(name, "the spec of another is wrong");
    }
    fleet.pass(1800).await;
    assert_eq!(fleet.metric("realtime_token_freshness_violations_total"), 0.0);
    // A minute at most between two, half of it on average.
    let calls = calls_within(&fleet, 1800, "voice-0");
    assert!((30..=90).contains(&calls), "{calls} calls");
}

/// Half of the RealtimeTokens can't be minted: the others are, in time.
#[tokio::test(start_paused = true)]
async fn many_specs_that_trouble_the_provider_hold_up_no_other() {
    let fleet = Fleet::new(600);
    fleet
        .provider
        .fail_where(MintFault::Unavailable, |call| call.subject.starts_with("odd-"));
    for n in 0..20 {
        create(&fleet, &format!("odd-{n}"), "openai");
    }
    let names = create_many(&fleet, 20);
    for _ in 0..3 {
        fleet.pass(400).await;
        for name in &names {
            let (ready, reason) = fleet.condition(name, ConditionType::Ready);
            assert_eq!(ready, "True", "{name}: {reason}");
        }
    }
    assert_eq!(fleet.metric("realtime_token_freshness_violations_total"), 0.0);
    let calls = calls_within(&fleet, 1000, "odd-");
    // One a second, and a few whenever another token is granted.
    assert!(calls <= 1500, "{calls} calls in 1000 s");
}

/// Mints that hang when the provider is back are given up as before; their RealtimeTokens don't wait any longer then.
#[tokio::test(start_paused = true)]
async fn a_provider_that_hung_is_noticed_when_it_answers() {
    let fleet = Fleet::new(3600);
    fleet.provider.fail(MintFault::Hang);
    let names = create_many(&fleet, 30);
    fleet.pass(200).await;
    fleet.provider.recover();
    fleet.pass(60).await; // 45 s until the last that hung is given up
    for name in &names {
        fleet.assert_settled(name, "the provider answers");
    }
    assert_eq!(fleet.provider.tokens(), names.len());
}

/// Alone, a RealtimeToken has the pace of its own backoff.
#[tokio::test(start_paused = true)]
async fn a_single_token_keeps_its_own_pace() {
    let fleet = Fleet::new(3600);
    fleet.provider.fail(MintFault::Unavailable);
    create(&fleet, "voice", "openai");
    fleet.pass(600).await;
    let calls = fleet.provider.count();
    assert!((15..=40).contains(&calls), "{calls} calls in 600 s");
    let message = fleet.status("voice").conditions[0].message.clone();
    assert!(message.contains("the fake provider is to fail"), "{message}");
}
