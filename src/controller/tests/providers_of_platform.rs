//! ClusterRealtimeProviders: their status, and the tokens that use them.

use super::*;
use crate::testing::MintFault;

fn provider_conditions(fleet: &Fleet) -> Vec<String> {
    let provider = fleet.api.get("clusterrealtimeproviders", "", "openai").unwrap();
    let conditions = provider["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    conditions
        .iter()
        .map(|it| format!("{}={} {}", text(&it["type"]), text(&it["status"]), text(&it["reason"])))
        .collect()
}

fn platform(fleet: &Fleet, selector: Value) {
    platform_with(fleet, json!({"namespaceSelector": selector}), &["voice"]);
}

/// The platform's account with more of its spec, and these tokens of its.
fn platform_with(fleet: &Fleet, more: Value, tokens: &[&str]) {
    fleet.api.create(json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": {"voice": "yes"}},
    }));
    fleet.api.create(key_secret(OPERATOR, "platform"));
    let mut spec = json!({"openai": {}, "credentials": {"secretRef": {"name": "platform", "key": "api-key"}}});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider",
        "metadata": {"name": "openai"}, "spec": spec,
    }));
    for name in tokens {
        fleet.api.create(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"openai": {"model": name}, "credentials": {"providerRef": {"name": "openai"}}},
        }));
    }
}

#[tokio::test(start_paused = true)]
async fn a_selected_namespace_gets_tokens_and_the_verdict_is_reported() {
    let fleet = Fleet::new(600);
    platform(&fleet, json!({"matchLabels": {"voice": "yes"}}));
    fleet.pass(5).await;
    fleet.assert_settled("voice", "platform's key");
    assert_eq!(
        provider_conditions(&fleet),
        ["Ready=True CredentialFound", "CredentialValid=True CredentialAccepted"]
    );
    fleet.provider.fail(MintFault::KeyRejected);
    fleet.pass(330).await;
    assert_eq!(
        provider_conditions(&fleet)[1],
        "CredentialValid=False CredentialRejected"
    );
}

#[tokio::test(start_paused = true)]
async fn a_namespace_is_let_in_when_its_labels_match() {
    let fleet = Fleet::new(600);
    platform(&fleet, json!({"matchLabels": {"voice": "premium"}}));
    fleet.pass(5).await;
    assert_eq!(
        fleet.condition("voice", ConditionType::Ready),
        ("False".into(), "ProviderNotFound".into())
    );
    let label = json!({"metadata": {"labels": {"voice": "premium"}}});
    fleet.api.edit("namespaces", "", NAMESPACE, &label);
    fleet.pass(3).await;
    fleet.assert_settled("voice", "let in");
}

/// The limit holds for the credential: another token waits for it and has not failed.
#[tokio::test(start_paused = true)]
async fn a_limit_holds_for_every_token_of_the_credential() {
    let fleet = Fleet::new(600);
    let limit = SignedDuration::from_secs(120);
    fleet.provider.fail_nth(1, MintFault::Throttled(Some(limit)));
    fleet.create("one");
    fleet.pass(2).await;
    fleet.create("two");
    fleet.pass(60).await;
    assert_eq!(fleet.provider.count(), 1, "nothing is asked before the limit is over");
    assert_eq!(fleet.status("one").failed_mint_attempts, Some(1));
    assert_eq!(fleet.status("two").failed_mint_attempts, None);
    assert_eq!(
        fleet.condition("two", ConditionType::Renewing),
        ("True".into(), "RateLimited".into())
    );
    fleet.pass(90).await;
    fleet.assert_settled("one", "after the limit");
    fleet.assert_settled("two", "after the limit");
}

/// One call every four minutes, however many tokens the key has, and all of them minted once the account has credit.
#[tokio::test(start_paused = true)]
async fn an_account_without_credit_is_tried_once_for_all_tokens() {
    let fleet = Fleet::new(600);
    fleet.provider.fail(MintFault::QuotaExhausted);
    let names: Vec<_> = (0..20).map(|n| format!("voice-{n}")).collect();
    fleet.create(&names[0]);
    fleet.pass(2).await;
    for name in &names[1..] {
        fleet.create(name);
    }
    fleet.pass(3600).await;
    let calls = fleet.provider.count();
    assert!((12..=16).contains(&calls), "{calls} calls in an hour");
    for name in &names {
        let renewing = fleet.condition(name, ConditionType::Renewing);
        assert_eq!(renewing, ("True".into(), "QuotaExhausted".into()), "{name}");
    }
    fleet.provider.recover();
    fleet.pass(260).await;
    for name in &names {
        fleet.assert_settled(name, "with credit again");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_in_the_status_while_it_lasts_and_says_nothing_of_the_key() {
    let fleet = Fleet::new(600);
    let names: Vec<_> = (0..10).map(|n| format!("voice-{n}")).collect();
    let tokens: Vec<_> = names.iter().map(String::as_str).collect();
    platform_with(&fleet, json!({"namespaceSelector": {}}), &tokens);
    fleet.pass(200).await;
    fleet.provider.fail(MintFault::Unavailable);
    fleet.pass(300).await;
    let accepted = "CredentialValid=True CredentialAccepted";
    assert_eq!(
        provider_conditions(&fleet),
        ["Ready=False ProviderUnavailable", accepted]
    );
    assert_eq!(fleet.events("openai"), ["ProviderUnavailable"]);
    fleet.provider.recover();
    fleet.pass(10).await;
    assert_eq!(provider_conditions(&fleet), ["Ready=True CredentialFound", accepted]);
    for name in &names {
        fleet.assert_settled(name, "the provider is back");
    }
}

/// Two at once, then one in ten seconds; a first token goes before renewals.
#[tokio::test(start_paused = true)]
async fn no_more_mints_than_the_rate_limit_allows() {
    let fleet = Fleet::new(600);
    let limit = json!({"namespaceSelector": {}, "rateLimit": {"requestsPerMinute": 6, "burst": 2}});
    platform_with(&fleet, limit, &["a", "b", "c", "d", "e"]);
    fleet.pass(45).await;
    let times: Vec<Timestamp> = fleet.provider.calls().iter().map(|call| call.at).collect();
    assert_eq!(times.len(), 5, "{times:?}");
    for (two, later) in times.iter().zip(&times[2..]) {
        let apart = later.duration_since(*two).as_secs_f64();
        assert!(apart >= 9.9, "{times:?}");
    }
    for name in ["a", "b", "c", "d", "e"] {
        fleet.assert_settled(name, "within the limit");
    }
}
