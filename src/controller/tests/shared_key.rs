//! One key that several namespaces use: who changes RealtimeTokens all the time delays its own, and nothing is kept of
//! namespaces that are gone.

use std::collections::BTreeMap;

use super::*;
use crate::testing::MintFault;

const HOSTILE: &str = "hostile";

/// The ClusterRealtimeProvider NAME with the operator's key Secret "platform".
fn provider(fleet: &Fleet, name: &str, rate_limit: Value) {
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": name},
        "spec": {
            "openai": {}, "credentials": {"secretRef": {"name": "platform", "key": "api-key"}},
            "namespaceSelector": {}, "rateLimit": rate_limit,
        },
    }));
}

fn namespace(fleet: &Fleet, name: &str) {
    fleet
        .api
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
}

/// A RealtimeToken that refers to a ClusterRealtimeProvider, and whose model is called as it is.
fn token(fleet: &Fleet, namespace: &str, name: &str, provider: &str) {
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"openai": {"model": name}, "credentials": {"providerRef": {"name": provider}}},
    }));
}

fn with_platform(life: i64, rate_limit: Value) -> Fleet {
    let fleet = Fleet::new(life);
    fleet.api.create(key_secret(OPERATOR, "platform"));
    namespace(&fleet, NAMESPACE);
    provider(&fleet, "openai", rate_limit);
    fleet
}

/// Twenty RealtimeTokens of another namespace get a new model twenty times a second, and half of the models are refused.
/// Tokens of 200 s with a floor to suit are as those of 600 s: a minute is left for a renewal that is due.
#[tokio::test(start_paused = true)]
async fn edits_of_another_namespace_delay_no_renewal() {
    let fleet = with_platform(200, json!({"requestsPerMinute": 60, "burst": 10}));
    namespace(&fleet, HOSTILE);
    fleet
        .provider
        .fail_where(MintFault::Rejected, |call| call.subject.starts_with("odd-"));
    let model = |number: usize, edit: usize| format!("{}-{number}-{edit}", ["even", "odd"][number % 2]);
    for number in 0..20 {
        token(&fleet, HOSTILE, &model(number, 0), "openai");
    }
    fleet.pass(30).await;
    let voices: Vec<_> = (0..10).map(|number| format!("voice-{number}")).collect();
    let renewal = json!({"spec": {"renewal": {"minRemainingSeconds": 10, "propagationSeconds": 20}}});
    for name in &voices {
        token(&fleet, NAMESPACE, name, "openai");
        fleet.edit(name, renewal.clone());
    }
    for edit in 1..=150 * 20 {
        let number = edit % 20;
        let patch = json!({"spec": {"openai": {"model": model(number, edit)}}});
        fleet.api.edit("realtimetokens", HOSTILE, &model(number, 0), &patch);
        tokio::time::sleep(Duration::from_millis(50)).await;
        if edit == 15 * 20 {
            voices.iter().for_each(|name| fleet.assert_settled(name, "first issue"));
        }
    }
    assert_eq!(fleet.metric("realtime_token_freshness_violations_total"), 0.0);
    for name in &voices {
        let (ready, reason) = fleet.condition(name, ConditionType::Ready);
        assert_eq!(ready, "True", "{name}: {reason}");
        assert_eq!(fleet.provider.count_of(name), 2, "{name}: issued and renewed");
    }
    let mut last = BTreeMap::new();
    for call in fleet.provider.calls() {
        let Some((resource, _)) = call
            .subject
            .rsplit_once('-')
            .filter(|(kind, _)| !kind.starts_with("voice"))
        else {
            continue;
        };
        if let Some(before) = last.insert(resource.to_owned(), call.at) {
            let apart = call.at.duration_since(before).as_secs_f64();
            assert!(apart >= 10.0, "{resource} was minted again after {apart} s");
        }
    }
}

/// Two ClusterRealtimeProviders share a key: both limits hold, for the tokens of both.
#[tokio::test(start_paused = true)]
async fn of_two_providers_with_one_key_the_strictest_limit_holds() {
    let fleet = with_platform(3600, json!({"requestsPerMinute": 600, "burst": 2}));
    provider(&fleet, "strict", json!({"requestsPerMinute": 6, "burst": 100}));
    for number in 0..10 {
        token(&fleet, NAMESPACE, &format!("voice-{number}"), "openai");
    }
    fleet.pass(32).await;
    assert_eq!(fleet.provider.count(), 5, "two, and one in ten seconds");
    let raise = json!({"spec": {"rateLimit": {"requestsPerMinute": 12}}});
    fleet.api.edit("clusterrealtimeproviders", "", "strict", &raise);
    fleet.pass(11).await;
    assert_eq!(fleet.provider.count(), 7, "one in five seconds");
    fleet.api.delete("clusterrealtimeproviders", "", "strict");
    fleet.pass(2).await;
    assert_eq!(fleet.provider.count(), 10, "ten in a second");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_of_namespaces_keys_and_providers_that_are_gone() {
    let fleet = with_platform(600, json!({"requestsPerMinute": 60, "burst": 10}));
    let tenants: Vec<_> = (0..10).map(|number| format!("tenant-{number}")).collect();
    for tenant in &tenants {
        namespace(&fleet, tenant);
        fleet.api.create(key_secret(tenant, "openai"));
        token(&fleet, tenant, "lent", "openai");
        fleet.api.create(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": "own", "namespace": tenant},
            "spec": {"openai": {"model": "own"}, "credentials": {"secretRef": {"name": "openai", "key": "api-key"}}},
        }));
    }
    fleet.pass(300).await;
    // Renewals that are refused, then meet an outage, then a limit.
    for fault in [MintFault::Rejected, MintFault::Unavailable, MintFault::Throttled(None)] {
        fleet.provider.fail(fault);
        fleet.pass(60).await;
    }
    assert!(!fleet.issuer.budgets.is_empty(), "failures are remembered");
    for tenant in &tenants {
        fleet.api.delete("realtimetokens", tenant, "lent");
        fleet.api.delete("realtimetokens", tenant, "own");
        fleet.api.delete("secrets", tenant, "openai");
        fleet.api.delete("namespaces", "", tenant);
    }
    fleet.api.delete("clusterrealtimeproviders", "", "openai");
    fleet.pass(920).await;
    assert!(fleet.issuer.budgets.is_empty(), "{:?}", fleet.issuer.budgets);
}
