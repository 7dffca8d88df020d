//! What mints, exactly once each, and what never does.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::world::{annotation, data, holds, outlive_the_interval, world};

#[tokio::test]
async fn a_changed_session_mints_once() {
    let case = world().await.case("spec").await;
    case.create("voice", case.openai()).await;
    case.revision("voice", 1).await;
    case.patch(
        "voice",
        json!({"spec": {"openai": {"session": {"instructions": "Be brief."}}}}),
    )
    .await;
    let secret = case.revision("voice", 2).await;
    case.status_when("voice", |s| {
        s.observed_generation == Some(2) && holds(s, "Ready", "True", "Renewed")
    })
    .await;
    case.settle().await;
    let calls = case.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].json()["session"]["instructions"], "Be brief.");
    assert_eq!(Some(data(&secret, "token")), calls[1].token);
    let gap = calls[1].time.duration_since(calls[0].time);
    assert!(gap.as_secs_f64() >= 9.9, "two mints of one resource are {gap:?} apart");
}

#[tokio::test]
async fn the_annotation_forces_one_renewal() {
    let case = world().await.case("forced").await;
    case.create("voice", case.openai()).await;
    outlive_the_interval(&case.revision("voice", 1).await).await;
    let at = json!({"metadata": {"annotations": {"realtime-token.dev/renew-requested-at": "2026-11-23T20:00:00Z"}}});
    case.patch("voice", at.clone()).await;
    let secret = case.revision("voice", 2).await;
    assert_eq!(
        annotation(&secret, "handled-renew-request").unwrap(),
        "2026-11-23T20:00:00Z"
    );
    let status = case.status_when("voice", |s| s.revision == Some(2)).await;
    assert_eq!(
        status.last_handled_renew_request.as_deref(),
        Some("2026-11-23T20:00:00Z")
    );
    case.event("voice", "RenewalForced").await;
    case.patch("voice", at).await;
    case.patch(
        "voice",
        json!({"metadata": {"annotations": {"realtime-token.dev/renew-requested-at": null}}}),
    )
    .await;
    case.settle().await;
    assert_eq!(case.calls().len(), 2);
}

#[tokio::test]
async fn a_changed_key_mints_once_with_the_new_key() {
    let case = world().await.case("rekey").await;
    case.create("voice", case.openai()).await;
    outlive_the_interval(&case.revision("voice", 1).await).await;
    case.put_key("openai", &case.spare_key).await;
    case.revision("voice", 2).await;
    case.event("voice", "CredentialRotated").await;
    case.settle().await;
    assert_eq!(case.world.standin.calls_with_key(&case.key).len(), 1);
    assert_eq!(case.world.standin.calls_with_key(&case.spare_key).len(), 1);
}

#[tokio::test]
async fn what_does_not_change_the_token_never_mints() {
    let case = world().await.case("quiet").await;
    case.create("voice", case.openai()).await;
    let first = case.revision("voice", 1).await;
    case.condition("voice", "Ready", "True", "Issued").await;
    outlive_the_interval(&first).await;

    // Labels and annotations of the resource; labels of the key Secret; settings of the renewal; a status wiped.
    case.patch(
        "voice",
        json!({"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}}),
    )
    .await;
    let touched = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
    case.secrets()
        .patch("openai", &PatchParams::default(), &touched)
        .await
        .unwrap();
    case.patch("voice", json!({"spec": {"renewal": {"renewBeforePercentage": 50}}}))
        .await;
    case.status_when("voice", |s| s.observed_generation == Some(2)).await;
    let wiped = Patch::Merge(json!({"status": null}));
    case.tokens()
        .patch_status("voice", &PatchParams::default(), &wiped)
        .await
        .unwrap();
    let status = case.status_when("voice", |s| holds(s, "Ready", "True", "Issued")).await;
    assert_eq!(
        status.revision,
        Some(1),
        "the status comes back from the Secret's annotations"
    );

    // The template's labels and annotations reach the Secret, and leave it again, beside the same token.
    let template = |value: &str| json!({"spec": {"target": {"template": {"metadata": {"labels": {"app": value}, "annotations": {"a/b": value}}}}}});
    case.patch("voice", template("one")).await;
    let labelled = case
        .secret_when("voice", |s| s.labels().get("app").is_some_and(|app| app == "one"))
        .await;
    assert_eq!(labelled.data, first.data);
    case.patch("voice", json!({"spec": {"target": {"template": null}}}))
        .await;
    let plain = case.secret_when("voice", |s| !s.labels().contains_key("app")).await;
    assert_eq!(plain.data, first.data);
    assert!(!plain.metadata.annotations.unwrap().contains_key("a/b"));
    case.settle().await;
    assert_eq!(case.calls().len(), 1, "one mint through all of it");
}

#[tokio::test]
async fn a_changed_template_of_keys_mints_and_renders() {
    let case = world().await.case("template").await;
    let mut spec = case.openai();
    spec["target"] =
        json!({"name": "env", "template": {"data": {".env": "TOKEN={{ token }}\n", "old": "{{ provider }}"}}});
    case.create("voice", spec).await;
    let secret = case.revision("env", 1).await;
    assert_eq!(data(&secret, ".env"), format!("TOKEN={}\n", data(&secret, "token")));
    assert_eq!(data(&secret, "old"), "openai");
    case.patch(
        "voice",
        json!({"spec": {"target": {"template": {"data": {"old": null}}}}}),
    )
    .await;
    let secret = case.revision("env", 2).await;
    assert!(
        !secret.data.as_ref().unwrap().contains_key("old"),
        "a key that is no longer asked for goes"
    );
    assert_eq!(data(&secret, ".env"), format!("TOKEN={}\n", data(&secret, "token")));
}

#[tokio::test]
async fn a_suspended_resource_mints_nothing_until_it_is_resumed() {
    let case = world().await.case("suspend").await;
    let mut spec = case.openai();
    spec["suspend"] = json!(true);
    case.create("voice", spec).await;
    case.condition("voice", "Ready", "False", "Suspended").await;
    case.settle().await;
    assert_eq!(case.calls().len(), 0);
    case.patch("voice", json!({"spec": {"suspend": false}})).await;
    case.revision("voice", 1).await;
    case.patch(
        "voice",
        json!({"spec": {"suspend": true, "openai": {"model": "gpt-realtime-2.1-mini"}}}),
    )
    .await;
    case.condition("voice", "Renewing", "False", "Suspended").await;
    case.condition("voice", "Ready", "True", "Issued").await;
    assert_eq!(case.calls().len(), 1, "the token stays and runs out");
}
