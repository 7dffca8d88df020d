//! What mints, exactly once each, and what never does.

use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::world::{data, holds, outlive_the_interval, world};

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
    let template = |value: &str| json!({"spec": {"target": {"template": {"metadata": {"labels": {"app": value}, "annotations": {"team": value}}}}}});
    case.patch("voice", template("one")).await;
    let labelled = case
        .secret_when("voice", |s| s.labels().get("app").is_some_and(|app| app == "one"))
        .await;
    assert_eq!(labelled.data, first.data);
    case.patch("voice", json!({"spec": {"target": {"template": null}}}))
        .await;
    let plain = case.secret_when("voice", |s| !s.labels().contains_key("app")).await;
    assert_eq!(plain.data, first.data);
    assert!(!plain.metadata.annotations.unwrap().contains_key("team"));
    case.settle().await;
    assert_eq!(case.calls().len(), 1, "one mint through all of it");
}
