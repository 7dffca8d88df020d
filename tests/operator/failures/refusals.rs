//! Refusals of the API server's own: what its words are, and what the status makes of them.

use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{ConfigMap, ResourceQuota, Secret};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::wait;

use crate::expect::{cluster_wide, message};
use crate::world::{Case, DEADLINE, world};

fn probe() -> Secret {
    serde_json::from_value(json!({"metadata": {"name": "probe"}})).unwrap()
}

/// The refusal of a Secret that anybody creates there, once there is one.
async fn refusal(case: &Case<'_>) -> kube::core::Status {
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    wait::until("a refusal", DEADLINE, async || {
        match case.secrets().create(&dry_run, &probe()).await {
            Err(kube::Error::Api(status)) => Ok(Some(*status)),
            _ => Ok(None),
        }
    })
    .await
    .unwrap()
}

fn assert_says(text: &str, words: &[&str]) {
    for word in words {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[tokio::test]
async fn a_full_quota() {
    let case = world().await.case("quota").await;
    let api: Api<ResourceQuota> = case.namespace.api();
    let quota = json!({"metadata": {"name": "few"}, "spec": {"hard": {"secrets": "1"}}});
    let quota = serde_json::from_value(quota).unwrap();
    api.create(&PostParams::default(), &quota).await.unwrap();
    // In place of the quota controller, which doesn't run here.
    let counted = json!({"status": {"hard": {"secrets": "1"}, "used": {"secrets": "5"}}});
    api.patch_status("few", &PatchParams::default(), &Patch::Merge(counted))
        .await
        .unwrap();
    refusal(&case).await;
    case.create("voice", case.spec("voice")).await;
    let status = case.not_issued("voice", "QuotaExceeded").await;
    assert_says(
        message(&status, "Ready"),
        &[
            "exceeded quota: few",
            "kubectl describe resourcequota",
            "The token is kept",
        ],
    );
    api.delete("few", &DeleteParams::default()).await.unwrap();
    case.recovered("voice", 1).await;
    assert_eq!(case.calls_of("voice").len(), 1, "the token was kept");
}

#[tokio::test]
async fn an_immutable_secret() {
    let case = world().await.case("immutable").await;
    case.create("voice", case.spec("voice")).await;
    case.recovered("voice", 1).await;
    let frozen = json!({"immutable": true});
    let old = case
        .secrets()
        .patch("voice", &PatchParams::default(), &Patch::Merge(frozen))
        .await
        .unwrap();
    case.force("voice", "now").await;
    let status = case.not_renewed("voice", "SecretImmutable", &old).await;
    assert_says(
        message(&status, "Renewing"),
        &[
            "`immutable: true`",
            "kubectl delete secret voice -n",
            "The token is kept",
        ],
    );
    case.secrets().delete("voice", &DeleteParams::default()).await.unwrap();
    let new = case.recovered("voice", 2).await;
    assert_eq!(new.immutable, None);
    assert_eq!(case.calls_of("voice").len(), 2, "the token was kept");
}

#[tokio::test]
async fn a_webhook_that_is_down() {
    let case = world().await.case("webhook").await;
    let name = format!("down-{}", case.namespace.name());
    let webhook: Value = json!({
        "metadata": {"name": name},
        "webhooks": [{
            "name": "validate.policy.example", "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "failurePolicy": "Fail",
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["secrets"]}],
            "clientConfig": {"service": {"namespace": "default", "name": "nobody", "port": 443}},
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": case.namespace.name()}},
        }],
    });
    let api = cluster_wide::<ValidatingWebhookConfiguration>(&case);
    let webhook = serde_json::from_value(webhook).unwrap();
    api.create(&PostParams::default(), &webhook).await.unwrap();
    refusal(&case).await;
    case.create("voice", case.spec("voice")).await;
    let status = case.not_issued("voice", "SecretWriteFailed").await;
    assert_says(
        message(&status, "Ready"),
        &["validate.policy.example", "is down: restore it"],
    );
    api.delete(&name, &DeleteParams::default()).await.unwrap();
    case.recovered("voice", 1).await;
    assert_eq!(case.calls_of("voice").len(), 1, "the token was kept");
}

/// Secrets may go before their RealtimeTokens; none of them is made anew.
#[tokio::test]
async fn a_namespace_that_is_being_deleted() {
    let case = world().await.case("ending").await;
    for number in 0..20 {
        case.create(&format!("voice-{number}"), case.openai()).await;
    }
    for number in 0..20 {
        case.revision(&format!("voice-{number}"), 1).await;
    }
    let holds_up = json!({"metadata": {"name": "holds-up", "finalizers": ["test.example/hold"]}});
    let api: Api<ConfigMap> = case.namespace.api();
    let holds_up = serde_json::from_value(holds_up).unwrap();
    api.create(&PostParams::default(), &holds_up).await.unwrap();
    case.namespace.delete().await.unwrap();
    let status = refusal(&case).await;
    let causes = status.details.iter().flat_map(|details| &details.causes);
    assert!(
        causes.clone().any(|cause| cause.reason == "NamespaceTerminating"),
        "{status:?}"
    );
    wait::until("all RealtimeTokens are gone", 2 * DEADLINE, async || {
        let tokens = case.tokens().list(&Default::default()).await?;
        let secrets = case.secrets().list(&Default::default()).await?;
        Ok((tokens.items.is_empty() && secrets.items.is_empty()).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(case.calls().len(), 20, "nothing is minted for it");
    let released = json!({"metadata": {"finalizers": null}});
    api.patch("holds-up", &PatchParams::default(), &Patch::Merge(released))
        .await
        .unwrap();
}
