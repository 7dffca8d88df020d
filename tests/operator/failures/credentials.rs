//! Keys that are missing, wrong, or come back.

use std::collections::BTreeMap;

use futures::FutureExt;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, PostParams};
use serde_json::json;

use crate::expect::{AT_ONCE, all, message};
use crate::world::{holds, put_secret, world};

#[tokio::test]
async fn a_key_secret_that_is_missing_and_then_created() {
    let case = world().await.case("no-key").await;
    let mut spec = case.spec("voice");
    spec["credentials"]["secretRef"] = json!({"name": "late"});
    case.create("voice", spec).await;
    let status = case.not_issued("voice", "CredentialNotFound").await;
    let namespace = case.namespace.name();
    let text = message(&status, "Ready");
    assert!(
        text.contains(&format!("Secret {namespace}/late does not exist")),
        "{text}"
    );
    let remedy = format!("kubectl create secret generic late -n {namespace} --from-literal=api-key=");
    assert!(text.contains(&remedy), "{text}");
    assert_eq!(status.failed_mint_attempts, None, "nothing was asked");
    case.settle().await;
    assert!(case.calls_of("voice").is_empty());

    let created = Timestamp::now();
    case.put_key("late", &case.key).await;
    let calls = case.calls_of_reach("voice", 1).await;
    assert!(calls[0].time.duration_since(created) < AT_ONCE, "noticed at once");
    case.recovered("voice", 1).await;
    assert_eq!(case.calls_of("voice").len(), 1);
    case.assert_strict();
}

#[tokio::test]
async fn a_key_secret_without_the_key() {
    let case = world().await.case("no-data-key").await;
    let api = case.secrets();
    put_secret(&api, "key-wrong", "other-key", &case.key).await;
    let empty = json!({"metadata": {"name": "key-empty"}});
    let empty: Secret = serde_json::from_value(empty).unwrap();
    api.create(&PostParams::default(), &empty).await.unwrap();
    for (name, words) in [
        (
            "wrong",
            "has no key api-key, or nothing in it; it has other-key. Add it, or name another in secretRef.key",
        ),
        ("empty", "is empty; it must have the key api-key"),
    ] {
        let mut spec = case.spec(name);
        spec["credentials"]["secretRef"] = json!({"name": format!("key-{name}")});
        case.create(name, spec).await;
        let status = case.not_issued(name, "CredentialNotFound").await;
        let text = message(&status, "Ready");
        assert!(
            text.contains(&format!("Secret {}/key-{name} {words}", case.namespace.name())),
            "{text}"
        );
        assert!(case.calls_of(name).is_empty());
    }
    case.patch(
        "wrong",
        json!({"spec": {"credentials": {"secretRef": {"key": "other-key"}}}}),
    )
    .await;
    put_secret(&api, "key-empty", "api-key", &case.key).await;
    for name in ["wrong", "empty"] {
        case.recovered(name, 1).await;
        assert_eq!(case.calls_of(name).len(), 1);
    }
    case.assert_strict();
}

/// A first token with a wrong key; a second wrong key; then the right one.
async fn wrong_for_a_first_token() {
    let case = world().await.case("wrong-key").await;
    let wrong = format!("sk-wrong-{}", case.namespace.name());
    case.put_key("openai", &wrong).await;
    case.create("voice", case.spec("voice")).await;
    let status = case.not_issued("voice", "CredentialRejected").await;
    let text = message(&status, "Ready");
    assert!(
        text.contains("answered 401")
            && text.contains(&format!(
                "Check the API key in Secret {}/openai.",
                case.namespace.name()
            )),
        "{text}"
    );
    assert!(!text.contains(&wrong), "{text}");
    assert_eq!(status.failed_mint_attempts, Some(1));
    case.settle().await;
    assert_eq!(case.calls_of("voice").len(), 1, "a wrong key is not tried again");

    case.put_key("openai", &format!("{wrong}-too")).await;
    case.patiently("voice", |status| status.failed_mint_attempts == Some(2))
        .await;
    assert_eq!(case.calls_of("voice").len(), 2);

    let fixed = Timestamp::now();
    // Surrounding white space is no part of a key.
    case.put_key("openai", &format!(" {}\n", case.key)).await;
    case.recovered("voice", 1).await;
    let calls = case.calls_of("voice");
    assert_eq!(calls.len(), 3);
    assert!(
        calls[2].time.duration_since(fixed) < AT_ONCE,
        "the right key is used at once"
    );
    for (call, key) in calls.iter().zip([&wrong, &format!("{wrong}-too"), &case.key]) {
        assert_eq!(call.api_key.as_ref(), Some(key));
        assert_eq!(call.complaint.is_some(), *key != case.key, "{:?}", call.complaint);
    }
}

/// A wrong key costs the running token nothing, and the key it was minted with needs no new one.
async fn wrong_for_a_renewal() {
    let case = world().await.case("wrong-key").await;
    case.create("voice", case.spec("voice")).await;
    case.recovered("voice", 1).await;
    let old = case.revision("voice", 1).await;
    let wrong = format!("sk-wrong-{}", case.namespace.name());
    case.put_key("openai", &wrong).await;
    case.not_renewed("voice", "CredentialRejected", &old).await;
    case.put_key("openai", &case.key).await;
    let status = case
        .patiently("voice", |status| holds(status, "Renewing", "False", "AwaitingRenewal"))
        .await;
    crate::expect::assert_recovered(&status);
    case.settle().await;
    case.assert_untouched(&old).await;
    let calls = case.calls_of("voice");
    assert_eq!(calls.len(), 2, "the first mint and one try of the wrong key");
    assert_eq!(calls[1].api_key.as_deref(), Some(wrong.as_str()));
    case.assert_strict();
}

/// A key that no header can carry is not sent at all.
async fn unsendable() {
    let case = world().await.case("odd-key").await;
    case.put_key("openai", "two\nlines").await;
    case.create("voice", case.spec("voice")).await;
    let status = case.not_issued("voice", "CredentialRejected").await;
    let text = message(&status, "Ready");
    assert!(!text.contains("two") && !text.contains("lines"), "{text}");
    assert!(case.calls_of("voice").is_empty());
    case.put_key("openai", &case.key).await;
    case.recovered("voice", 1).await;
    assert_eq!(case.calls_of("voice").len(), 1);
    case.assert_strict();
}

/// A key Secret that is deleted stops renewals, not the token that is there.
async fn deleted() {
    let case = world().await.case("gone-key").await;
    case.create("voice", case.spec("voice")).await;
    case.recovered("voice", 1).await;
    let old = case.revision("voice", 1).await;
    case.secrets().delete("openai", &DeleteParams::default()).await.unwrap();
    case.not_renewed("voice", "CredentialNotFound", &old).await;
    case.put_key("openai", &case.key).await;
    case.patiently("voice", |status| holds(status, "Renewing", "False", "AwaitingRenewal"))
        .await;
    case.settle().await;
    case.assert_untouched(&old).await;
    assert_eq!(
        case.calls_of("voice").len(),
        1,
        "the same key in a new Secret is no new key"
    );
    case.assert_strict();
}

#[tokio::test]
async fn wrong_keys_and_their_repair() {
    all(vec![
        ("first token", wrong_for_a_first_token().boxed_local()),
        ("renewal", wrong_for_a_renewal().boxed_local()),
        ("unsendable", unsendable().boxed_local()),
        ("deleted", deleted().boxed_local()),
    ])
    .await;
}

/// Labels and annotations of a key Secret, and keys of it that no spec names, change no token.
#[tokio::test]
async fn what_is_no_change_of_the_key() {
    let case = world().await.case("same-key").await;
    case.create("voice", case.spec("voice")).await;
    let old = case.revision("voice", 1).await;
    let patch = json!({
        "metadata": {"labels": {"team": "voice"}, "annotations": {"note": "looked at"}},
        "data": BTreeMap::from([("other-key", "b3RoZXI=")]),
    });
    let params = kube::api::PatchParams::default();
    case.secrets()
        .patch("openai", &params, &kube::api::Patch::Merge(patch))
        .await
        .unwrap();
    case.settle().await;
    // A mint that is put off would show as Renewing=True.
    let status = case.patiently("voice", |status| !status.conditions.is_empty()).await;
    crate::expect::assert_recovered(&status);
    case.assert_untouched(&old).await;
    assert_eq!(case.calls_of("voice").len(), 1);
    case.assert_strict();
}
