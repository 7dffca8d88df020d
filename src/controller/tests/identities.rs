//! Credentials without a stored key: a ServiceAccount's token is exchanged, and the access token is used until it ends.

use super::*;
use crate::testing::MintFault;
use crate::token::MintError;

fn identity() -> Value {
    json!({"workloadIdentity": {
        "serviceAccountName": "caller", "openai": {"identityProviderId": "idp_1", "serviceAccountId": "sa_1"},
    }})
}

fn keyless(fleet: &Fleet, name: &str, credentials: &Value) {
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"openai": {"model": name}, "credentials": credentials},
    }));
}

fn service_account(fleet: &Fleet, namespace: &str) {
    fleet.api.create(json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "caller", "namespace": namespace},
    }));
}

fn message(fleet: &Fleet, name: &str) -> String {
    fleet.status(name).conditions[1].message.clone()
}

/// One exchange for all that wait, and one an hour, whatever is minted meanwhile.
#[tokio::test(start_paused = true)]
async fn an_access_token_is_exchanged_once_and_used_until_it_ends() {
    let fleet = Fleet::new(600);
    service_account(&fleet, NAMESPACE);
    for name in ["a", "b", "c", "d", "e"] {
        keyless(&fleet, name, &identity());
    }
    fleet.pass(5).await;
    for name in ["a", "b", "c", "d", "e"] {
        fleet.assert_settled(name, "with an access token");
    }
    assert_eq!(fleet.provider.exchanges(), ["system:serviceaccount:shop:caller"]);
    let requests = fleet.api.requests().into_iter();
    let asked: Vec<_> = requests
        .filter(|request| request.token)
        .map(|request| request.body["spec"].clone())
        .collect();
    let expected = json!({"audiences": ["https://api.openai.com/v1"], "expirationSeconds": 3600});
    assert_eq!(asked, [expected]);
    fleet.pass(3 * 3600).await;
    let (exchanges, mints) = (fleet.provider.exchanges().len(), fleet.provider.count());
    assert_eq!(exchanges, 4, "one for each 55 minutes, with {mints} mints");
    assert!(mints > 100);
    assert_eq!(fleet.api.count("create", "serviceaccounts"), exchanges);
    let keys: std::collections::BTreeSet<String> = fleet.provider.calls().into_iter().map(|call| call.key).collect();
    assert_eq!(
        keys.into_iter().collect::<Vec<_>>(),
        ["access-1", "access-2", "access-3", "access-4"]
    );
    for name in ["a", "b", "c", "d", "e"] {
        let edited = fleet.status(name).revision;
        assert!(
            edited.is_some_and(|revision| revision < 60),
            "{edited:?}: a new access token mints nothing"
        );
    }
}

/// A token that was revoked before its end is exchanged anew within the mint; a fresh one that is refused is not.
#[tokio::test(start_paused = true)]
async fn a_refused_access_token_is_exchanged_anew_once() {
    let fleet = Fleet::new(600);
    service_account(&fleet, NAMESPACE);
    keyless(&fleet, "voice", &identity());
    fleet.pass(5).await;
    fleet.provider.fail_nth(1, MintFault::KeyRejected);
    fleet.pass(600).await;
    fleet.assert_settled("voice", "revoked");
    assert_eq!(fleet.status("voice").failed_mint_attempts, None);
    assert_eq!(fleet.provider.exchanges().len(), 2);

    let before = fleet.provider.count();
    fleet.provider.fail(MintFault::KeyRejected);
    fleet.pass(1200).await;
    let renewing = fleet.condition("voice", ConditionType::Renewing);
    assert_eq!(renewing, ("True".into(), "CredentialRejected".into()));
    let (calls, exchanges) = (fleet.provider.count() - before, fleet.provider.exchanges().len());
    assert!(
        calls < 12 && exchanges < 12,
        "{calls} calls and {exchanges} exchanges in 20 minutes"
    );
    fleet.provider.recover();
    fleet.pass(700).await;
    fleet.assert_settled("voice", "let in again");
}

#[tokio::test(start_paused = true)]
async fn a_missing_service_account_is_named_and_found_when_it_comes() {
    let fleet = Fleet::new(600);
    keyless(&fleet, "voice", &identity());
    fleet.pass(5).await;
    let renewing = fleet.condition("voice", ConditionType::Renewing);
    assert_eq!(renewing, ("True".into(), "CredentialNotFound".into()));
    let text = message(&fleet, "voice");
    assert!(text.contains("kubectl create serviceaccount caller -n shop"), "{text}");
    assert_eq!(fleet.provider.exchanges().len(), 0);
    service_account(&fleet, NAMESPACE);
    fleet.pass(180).await;
    fleet.assert_settled("voice", "created");
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named() {
    let fleet = Fleet::new(600);
    service_account(&fleet, NAMESPACE);
    fleet
        .api
        .refuse(|request| request.token, "serviceaccounts \"caller\" is forbidden");
    keyless(&fleet, "voice", &identity());
    fleet.pass(5).await;
    let text = message(&fleet, "voice");
    assert!(text.contains("workloadIdentity.serviceAccountNames"), "{text}");
    fleet.api.recover();
    fleet.pass(180).await;
    fleet.assert_settled("voice", "allowed");
}

/// While the exchange is out of order tokens that are stored stay, and attempts are those of any outage.
#[tokio::test(start_paused = true)]
async fn an_exchange_that_is_out_of_order_is_an_outage() {
    let fleet = Fleet::new(600);
    service_account(&fleet, NAMESPACE);
    fleet
        .provider
        .fail_exchanges(Some(MintError::unavailable("the exchange answered 503")));
    keyless(&fleet, "voice", &identity());
    fleet.pass(60).await;
    assert_eq!(fleet.provider.count(), 0);
    let renewing = fleet.condition("voice", ConditionType::Renewing);
    assert_eq!(renewing, ("True".into(), "ProviderUnavailable".into()));
    let counted = fleet.metric(r#"realtime_token_mints_total{provider="openai",outcome="ProviderUnavailable"}"#);
    assert!(counted > 1.0, "{counted}");
    fleet.provider.fail_exchanges(None);
    fleet.pass(61).await;
    fleet.assert_settled("voice", "back again");
}

/// What the exchange says of the platform's identity is in its status and not in a tenant's.
#[tokio::test(start_paused = true)]
async fn a_tenant_learns_no_names_of_the_platforms_identity() {
    let fleet = Fleet::new(600);
    fleet
        .api
        .create(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}));
    service_account(&fleet, OPERATOR);
    fleet
        .provider
        .fail_exchanges(Some(MintError::wrong_key("operator/caller is not trusted")));
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider",
        "metadata": {"name": "openai"},
        "spec": {"openai": {}, "credentials": identity(), "namespaceSelector": {}},
    }));
    keyless(&fleet, "voice", &json!({"providerRef": {"name": "openai"}}));
    fleet.pass(5).await;
    let text = message(&fleet, "voice");
    assert!(
        text.contains("ClusterRealtimeProvider openai") && !text.contains("caller"),
        "{text}"
    );
    let conditions = |fleet: &Fleet| {
        let provider = fleet.api.get("clusterrealtimeproviders", "", "openai").unwrap();
        provider["status"]["conditions"].clone()
    };
    let valid = conditions(&fleet)[1].clone();
    assert_eq!(valid["reason"], "CredentialRejected");
    assert_eq!(valid["message"], "operator/caller is not trusted");
    let ready = conditions(&fleet)[0]["message"].clone();
    assert_eq!(ready, "access tokens are to come from ServiceAccount operator/caller");

    fleet.provider.fail_exchanges(None);
    fleet.api.delete("serviceaccounts", OPERATOR, "caller");
    fleet.pass(180).await;
    let valid = conditions(&fleet)[1].clone();
    assert_eq!(valid["reason"], "CredentialNotFound");
    assert!(
        valid["message"]
            .as_str()
            .unwrap()
            .contains("ServiceAccount operator/caller"),
        "{valid}"
    );
    assert!(!message(&fleet, "voice").contains("caller"));

    service_account(&fleet, OPERATOR);
    fleet
        .api
        .refuse_as(503, |request| request.token, "operator/caller can't be read");
    fleet.pass(700).await;
    let text = message(&fleet, "voice");
    assert!(
        text.contains("the operator's log") && !text.contains("caller"),
        "{text}"
    );
    fleet.api.recover();
    fleet.pass(700).await;
    fleet.assert_settled("voice", "trusted");
    assert_eq!(
        fleet.provider.exchanges().last().unwrap(),
        "system:serviceaccount:operator:caller"
    );
    assert_eq!(conditions(&fleet)[1]["reason"], "CredentialAccepted");
}
