//! The Secret in other people's hands: deleted, edited, retained, or not ours at all.

use k8s_openapi::ByteString;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use testkit::wait;

use crate::expect::AT_ONCE;
use crate::world::{DEADLINE, annotation, data, outlive_the_interval, put_secret, world};

#[tokio::test]
async fn a_deleted_secret_is_healed_at_once_with_one_mint() {
    let case = world().await.case("lost").await;
    case.create("voice", case.openai()).await;
    let first = case.revision("voice", 1).await;
    outlive_the_interval(&first).await;
    let deleted = jiff::Timestamp::now();
    case.secrets().delete("voice", &DeleteParams::default()).await.unwrap();
    let again = case.revision("voice", 2).await;
    let healed = case.calls()[1].time.duration_since(deleted);
    assert!(healed < AT_ONCE, "minted {healed:?} after the deletion");
    assert_ne!(data(&again, "token"), data(&first, "token"));
    case.event("voice", "SecretRecreated").await;
    case.settle().await;
    assert_eq!(case.calls().len(), 2);
}

/// What a backup or a move to another cluster brings back: our labels, no owner, another field manager. A merge patch
/// leaves `provider` as it is and with the other manager: it took a mint every ten seconds, for ever.
#[tokio::test]
async fn a_restored_secret_is_adopted_with_one_mint() {
    let case = world().await.case("restored").await;
    let secret = json!({
        "metadata": {"name": "voice", "labels": {
            "app.kubernetes.io/managed-by": "realtime-token-operator", "realtime-token.dev/name": "voice",
        }},
        "stringData": {"provider": "openai", "token": "of yesterday"},
    });
    let secret = serde_json::from_value(secret).unwrap();
    case.secrets().create(&PostParams::default(), &secret).await.unwrap();
    case.create("voice", case.openai()).await;
    case.condition("voice", "Ready", "True", "Issued").await;
    let owned = |secret: &k8s_openapi::api::core::v1::Secret| secret.metadata.owner_references.is_some();
    let adopted = case.secret_when("voice", owned).await;
    outlive_the_interval(&adopted).await;
    case.settle().await;
    assert_eq!(case.calls().len(), 1);
    assert_ne!(data(&adopted, "token"), "of yesterday");
}

/// An edit of a key that never changes, taken back while nobody looks: the key stays the other field manager's.
#[tokio::test]
async fn an_edit_that_was_taken_back_while_suspended_costs_one_mint_at_most() {
    let case = world().await.case("taken-back").await;
    case.create("voice", case.openai()).await;
    outlive_the_interval(&case.revision("voice", 1).await).await;
    case.patch("voice", json!({"spec": {"suspend": true}})).await;
    case.condition("voice", "Renewing", "False", "Suspended").await;
    for provider in ["x", "openai"] {
        let edit = json!({"stringData": {"provider": provider}});
        case.secrets()
            .patch("voice", &PatchParams::default(), &Patch::Strategic(edit))
            .await
            .unwrap();
    }
    case.patch("voice", json!({"spec": {"suspend": false}})).await;
    case.condition("voice", "Ready", "True", "Renewed").await;
    let renewed = case.revision("voice", 2).await;
    outlive_the_interval(&renewed).await;
    case.settle().await;
    assert_eq!(case.calls().len(), 2);
}

/// LiveKit publishes the server's URL beside the token.
#[tokio::test]
async fn a_further_key_of_the_provider_is_healed_too() {
    let case = world().await.case("further").await;
    put_secret(&case.secrets(), "livekit", "LIVEKIT_API_KEY", "id").await;
    let keys = json!({"data": {"LIVEKIT_API_SECRET": ByteString(b"word".to_vec())}});
    case.secrets()
        .patch("livekit", &PatchParams::default(), &Patch::Merge(keys))
        .await
        .unwrap();
    let spec = json!({
        "livekit": {"identity": "u", "url": "wss://lk.example"},
        "credentials": {"secretRef": {"name": "livekit"}},
    });
    for name in ["removed", "edited", "given-up"] {
        case.create(name, spec.clone()).await;
        assert_eq!(data(&case.revision(name, 1).await, "url"), "wss://lk.example");
    }
    outlive_the_interval(&case.revision("given-up", 1).await).await;
    let evil = ByteString(b"wss://evil".to_vec());
    for (name, url) in [("removed", json!(null)), ("edited", json!(evil))] {
        let edit = json!({"data": {"url": url}});
        case.secrets()
            .patch(name, &PatchParams::default(), &Patch::Merge(edit))
            .await
            .unwrap();
        let healed = case.revision(name, 2).await;
        assert_eq!(data(&healed, "url"), "wss://lk.example");
    }
    let spec = json!({"spec": {"livekit": {"url": null}}});
    case.patch("given-up", spec).await;
    let without = case.revision("given-up", 2).await;
    assert!(!without.data.as_ref().unwrap().contains_key("url"));
    assert_eq!(annotation(&without, "further-keys"), None);
}

#[tokio::test]
async fn edited_data_is_healed_and_a_foreign_key_is_left_alone() {
    let case = world().await.case("edited").await;
    case.create("voice", case.openai()).await;
    let first = case.revision("voice", 1).await;
    outlive_the_interval(&first).await;
    let edit = json!({"data": {"token": ByteString(b"stale".to_vec()), "extra": ByteString(b"mine".to_vec())}});
    case.secrets()
        .patch("voice", &PatchParams::default(), &Patch::Merge(edit))
        .await
        .unwrap();
    let healed = case.revision("voice", 2).await;
    assert_eq!(data(&healed, "token"), case.calls()[1].token.clone().unwrap());
    assert_eq!(data(&healed, "extra"), "mine");
    case.event("voice", "SecretRecreated").await;
    case.settle().await;
    assert_eq!(case.calls().len(), 2);
}

#[tokio::test]
async fn labels_and_owner_are_put_back_without_a_mint() {
    let case = world().await.case("stripped").await;
    case.create("voice", case.openai()).await;
    let first = case.revision("voice", 1).await;
    let stripped = json!({"metadata": {
        "labels": {"app.kubernetes.io/managed-by": null, "realtime-token.dev/name": null},
    }});
    case.secrets()
        .patch("voice", &PatchParams::default(), &Patch::Merge(stripped))
        .await
        .unwrap();
    case.secret_when("voice", |s| {
        s.labels()
            .get("realtime-token.dev/name")
            .is_some_and(|name| name == "voice")
    })
    .await;
    let orphaned = json!({"metadata": {"ownerReferences": null}});
    case.secrets()
        .patch("voice", &PatchParams::default(), &Patch::Merge(orphaned))
        .await
        .unwrap();
    let healed = case
        .secret_when("voice", |secret| !secret.owner_references().is_empty())
        .await;
    assert_eq!(healed.data, first.data);
    case.settle().await;
    assert_eq!(case.calls().len(), 1);
}

#[tokio::test]
async fn a_strangers_secret_is_never_touched() {
    let case = world().await.case("stranger").await;
    put_secret(&case.secrets(), "voice", "password", "hunter2").await;
    let before = case.secrets().get("voice").await.unwrap();
    case.create("voice", case.openai()).await;
    let message = case.condition("voice", "Ready", "False", "SecretConflict").await;
    assert!(
        message.contains("not created by this operator") && message.contains("target.name"),
        "{message}"
    );
    case.event("voice", "SecretConflict").await;
    case.settle().await;
    assert_eq!(case.secrets().get("voice").await.unwrap(), before);
    assert_eq!(
        case.calls().len(),
        0,
        "nothing is minted for a Secret that can't be written"
    );
}

#[tokio::test]
async fn two_resources_do_not_share_a_secret() {
    let case = world().await.case("two").await;
    case.create("first", case.openai()).await;
    let owned = case.revision("first", 1).await;
    let mut spec = case.openai();
    spec["target"] = json!({"name": "first"});
    case.create("second", spec).await;
    let message = case.condition("second", "Ready", "False", "SecretConflict").await;
    assert!(message.contains("RealtimeToken first"), "{message}");
    case.settle().await;
    assert_eq!(case.secrets().get("first").await.unwrap(), owned);
    assert_eq!(case.calls().len(), 1);
    // The first gives it up, its Secret is collected, and the second takes the name over.
    case.tokens().delete("first", &DeleteParams::default()).await.unwrap();
    case.secrets().delete("first", &DeleteParams::default()).await.ok();
    wait::until("second takes over", DEADLINE, async || {
        let secret = case.secrets().get_opt("first").await?;
        Ok(secret.filter(|s| s.owner_references().iter().any(|owner| owner.name == "second")))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn delete_removes_the_secret_and_retain_keeps_it_for_a_successor() {
    let case = world().await.case("policy").await;
    let mut kept = case.openai();
    kept["target"] = json!({"deletionPolicy": "Retain"});
    case.create("kept", kept.clone()).await;
    case.create("gone", case.openai()).await;
    let token = case.revision("kept", 1).await;
    case.revision("gone", 1).await;
    for name in ["kept", "gone"] {
        case.tokens().delete(name, &DeleteParams::default()).await.unwrap();
    }
    // Real garbage collection, by the real controller manager, which looks for new kinds every half minute.
    wait::until("Secret gone is collected", 2 * DEADLINE, async || {
        Ok(case.secrets().get_opt("gone").await?.is_none().then_some(()))
    })
    .await
    .unwrap();
    let retained = case.secrets().get("kept").await.unwrap();
    assert!(retained.owner_references().is_empty());
    assert_eq!(retained.data, token.data);

    case.create("kept", kept).await;
    case.condition("kept", "Ready", "True", "Issued").await;
    assert_eq!(
        case.secrets().get("kept").await.unwrap().data,
        token.data,
        "taken over with its token"
    );
    assert_eq!(case.calls().len(), 2);

    // A change of policy changes the owner, not the token.
    case.patch("kept", json!({"spec": {"target": {"deletionPolicy": "Delete"}}}))
        .await;
    let owned = case
        .secret_when("kept", |secret| !secret.owner_references().is_empty())
        .await;
    assert_eq!(owned.data, token.data);
    assert_eq!(case.calls().len(), 2);
}
