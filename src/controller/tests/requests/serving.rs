//! What the condition Serving says, and what stands in the way of handing tokens out.

use super::*;

/// Until the certificate is known the Secret can't say where to ask, and a token is minted all the same.
#[tokio::test(start_paused = true)]
async fn a_certificate_that_comes_late() {
    let (ca, connection_later) = watch::channel(None);
    let fleet = Fleet::serving(1800, Some(connection_later));
    fleet.create_requested("voice", "Connection");
    fleet.create_requested("both", "Token");
    fleet.pass(30).await;
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(fleet.condition("voice", ConditionType::Ready), is("False", "Pending"));
    assert_eq!(fleet.condition("both", ConditionType::Ready), is("True", "Issued"));
    assert_eq!(fleet.condition("both", ConditionType::Serving), is("False", "Pending"));
    ca.send(connection("ca-1")).unwrap();
    fleet.pass(5).await;
    fleet.assert_only_connected("ca-1");
    fleet.assert_connected("both", "ca-1");
    assert_eq!(fleet.provider.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_installation_without_requests_says_so() {
    let (mut fleet, _ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.create_requested("both", "Token");
    fleet.pass(30).await;
    fleet.kill();
    fleet.connection = None;
    fleet.start();
    fleet.pass(30).await;
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    for name in ["voice", "both"] {
        let serving = fleet.condition(name, ConditionType::Serving);
        assert_eq!(serving, is("False", "RequestsNotEnabled"), "{name}");
    }
    assert_eq!(
        fleet.condition("voice", ConditionType::Ready),
        is("False", "RequestsNotEnabled")
    );
    assert_eq!(fleet.condition("both", ConditionType::Ready), is("True", "Issued"));
    let of_token = ["expires-at", "provider", "request-fallback", "token", "token.json"];
    assert_eq!(fleet.keys("both"), of_token);
    assert_eq!(fleet.provider.count(), 1);
}

/// The key is looked at although nothing is minted with it here.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_missing_is_said() {
    let (fleet, _ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.pass(30).await;
    fleet.api.delete("secrets", NAMESPACE, "openai");
    fleet.pass(30).await;
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    for type_ in [ConditionType::Ready, ConditionType::Serving] {
        assert_eq!(fleet.condition("voice", type_), is("False", "CredentialNotFound"));
    }
    assert_eq!(
        fleet.keys("voice"),
        ["request-ca.crt", "request-url"],
        "the Secret stays"
    );
    fleet.api.create(key_secret(NAMESPACE, "openai"));
    fleet.pass(30).await;
    fleet.assert_only_connected("ca-1");
}

#[tokio::test(start_paused = true)]
async fn a_suspended_connection_stays() {
    let (fleet, ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.pass(30).await;
    fleet.edit("voice", json!({"spec": {"suspend": true}}));
    ca.send(connection("ca-2")).unwrap();
    fleet.pass(30).await;
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(
        fleet.condition("voice", ConditionType::Serving),
        is("False", "Suspended")
    );
    assert_eq!(fleet.keys("voice"), ["request-ca.crt", "request-url"]);
    fleet.edit("voice", json!({"spec": {"suspend": false}}));
    fleet.pass(30).await;
    fleet.assert_only_connected("ca-2");
}

#[tokio::test(start_paused = true)]
async fn a_mistake_in_what_callers_may_override_stops_requests_only() {
    let (fleet, _ca) = fleet();
    fleet.create_requested("voice", "Token");
    let patch = |field: &str| json!({"spec": {"requests": {"overridable": [field]}}});
    fleet.edit("voice", patch("openai.sesion.instructions"));
    fleet.pass(5).await;
    fleet.assert_settled("voice", "with a mistake");
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    let serving = || fleet.condition("voice", ConditionType::Serving);
    assert_eq!(serving(), is("False", "InvalidSpec"));
    fleet.edit("voice", patch("openai.session.instructions"));
    fleet.pass(5).await;
    assert_eq!(serving(), is("True", "RequestsServed"));
    assert_eq!(fleet.provider.count(), 1, "what callers may set makes no other token");
}

#[tokio::test(start_paused = true)]
async fn what_the_policy_of_the_provider_refuses_is_not_served() {
    let (fleet, _ca) = fleet();
    fleet.api.create(key_secret(OPERATOR, "platform"));
    fleet.api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider",
        "metadata": {"name": "openai"},
        "spec": {
            "openai": {}, "credentials": {"secretRef": {"name": "platform", "key": "api-key"}},
            "namespaceSelector": {}, "policy": {"allowedModels": ["gpt-realtime-*"], "maxExpirationSeconds": 900},
        },
    }));
    let lent = |model: &str, seconds: i64| {
        json!({"spec": {
            "openai": {"model": model}, "expirationSeconds": seconds,
            "credentials": {"secretRef": null, "providerRef": {"name": "openai"}},
        }})
    };
    fleet.create_requested("voice", "Connection");
    fleet.edit("voice", lent("gpt-realtime-2.1", 600));
    fleet.pass(30).await;
    fleet.assert_only_connected("ca-1");
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    for (model, seconds, reason) in [
        ("gpt-5-realtime", 600, "ModelNotAllowed"),
        ("gpt-realtime-2.1", 901, "ExpirationNotAllowed"),
    ] {
        fleet.edit("voice", lent(model, seconds));
        fleet.pass(30).await;
        for type_ in [ConditionType::Ready, ConditionType::Serving] {
            assert_eq!(fleet.condition("voice", type_), is("False", reason), "{model}");
        }
        assert_eq!(
            fleet.keys("voice"),
            ["request-ca.crt", "request-url"],
            "the Secret stays"
        );
        fleet.edit("voice", lent("gpt-realtime-2.1", 600));
        fleet.pass(30).await;
        fleet.assert_only_connected("ca-1");
    }
}
