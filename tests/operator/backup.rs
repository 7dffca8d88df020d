//! The orders in which a backup is restored, each as `docs/backup.md` describes it. `tests/docs/backup.rs` holds the two
//! together.

use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use realtime_token_operator::api::RealtimeTokenStatus;
use serde_json::{Value, json};
use testkit::wait;

use crate::world::{Case, DEADLINE, annotation, data, holds, outlive_the_interval, world};

/// What a backup has of a RealtimeToken with a token of half an hour.
struct Backup {
    /// The Secret as it was.
    secret: Secret,
    status: RealtimeTokenStatus,
}

impl Backup {
    /// Issues a first token, keeps what a backup has of it, and loses everything but the key.
    async fn of(case: &Case<'_>) -> Self {
        case.create("voice", case.openai()).await;
        let secret = case.revision("voice", 1).await;
        let status = case
            .status_when("voice", |it| holds(it, "Ready", "True", "Issued"))
            .await;
        case.tokens().delete("voice", &DeleteParams::default()).await.unwrap();
        case.secrets().delete("voice", &DeleteParams::default()).await.ok();
        wait::until("everything is lost", DEADLINE, async || {
            let left = case.secrets().get_opt("voice").await?;
            Ok(left.is_none().then_some(()))
        })
        .await
        .unwrap();
        Self { secret, status }
    }

    /// As tools restore it: without what belongs to the API server, and without an owner.
    fn secret(&self) -> Secret {
        let meta = &self.secret.metadata;
        let metadata = json!({"name": meta.name, "labels": meta.labels, "annotations": meta.annotations});
        serde_json::from_value(json!({"metadata": metadata, "data": self.secret.data})).unwrap()
    }
}

fn tool() -> PostParams {
    PostParams {
        field_manager: Some("backup-tool".to_owned()),
        ..PostParams::default()
    }
}

async fn restore(case: &Case<'_>, secret: &Secret) -> kube::Result<Secret> {
    case.secrets().create(&tool(), secret).await
}

/// The Secret holds the last token that was minted and has its owner, the status says so, and nothing more is minted.
async fn assert_restored(case: &Case<'_>, calls: usize) -> Secret {
    let minted = case.calls_reach(calls).await[calls - 1].token.clone();
    let holds_it = |secret: &Secret| Some(data(secret, "token")) == minted && !secret.owner_references().is_empty();
    let secret = case.secret_when("voice", holds_it).await;
    case.status_when("voice", |it| {
        it.conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
    })
    .await;
    case.condition("voice", "Renewing", "False", "AwaitingRenewal").await;
    outlive_the_interval(&secret).await;
    case.settle().await;
    assert_eq!(case.calls().len(), calls, "mints, the first of all included");
    secret
}

#[tokio::test]
async fn the_secret_first() {
    let case = world().await.case("backup").await;
    let backup = Backup::of(&case).await;
    restore(&case, &backup.secret()).await.unwrap();
    case.create("voice", case.openai()).await;
    assert_restored(&case, 2).await;
}

#[tokio::test]
async fn the_secret_first_with_its_managed_fields() {
    let case = world().await.case("backup").await;
    let backup = Backup::of(&case).await;
    restore(&case, &backup.secret()).await.unwrap();
    let fields = json!({"metadata": {"managedFields": backup.secret.metadata.managed_fields}});
    case.secrets()
        .patch("voice", &PatchParams::default(), &Patch::Merge(fields))
        .await
        .unwrap();
    case.settle().await; // the operator has seen both writes
    case.create("voice", case.openai()).await;
    assert_restored(&case, 1).await;
}

#[tokio::test]
async fn the_realtime_token_first() {
    let case = world().await.case("backup").await;
    let backup = Backup::of(&case).await;
    case.create("voice", case.openai()).await;
    let secret = assert_restored(&case, 2).await;
    let refused = restore(&case, &backup.secret()).await.unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.code == 409),
        "{refused}"
    );
    assert_eq!(
        case.secrets().get("voice").await.unwrap(),
        secret,
        "tools leave alone what is there"
    );

    // Unless they are told to overwrite it.
    let old: Value = serde_json::to_value(backup.secret()).unwrap();
    case.secrets()
        .patch("voice", &PatchParams::default(), &Patch::Merge(old))
        .await
        .unwrap();
    assert_restored(&case, 3).await;
}

#[tokio::test]
async fn both_at_once() {
    let case = world().await.case("backup").await;
    let backup = Backup::of(&case).await;
    let secret = backup.secret();
    tokio::join!(
        async { restore(&case, &secret).await.ok() },
        case.create("voice", case.openai())
    );
    assert_restored(&case, 2).await;
}

/// The garbage collector knows no object with the owner's uid and deletes the Secret.
#[tokio::test]
async fn the_secret_with_its_old_owner() {
    let case = world().await.case("backup").await;
    let backup = Backup::of(&case).await;
    let mut secret = backup.secret();
    secret.metadata.owner_references = backup.secret.metadata.owner_references.clone();
    let restored = restore(&case, &secret).await.unwrap();
    case.create("voice", case.openai()).await;
    wait::until("the restored Secret is collected", 2 * DEADLINE, async || {
        let found = case.secrets().get_opt("voice").await?;
        Ok(found.is_none_or(|found| found.uid() != restored.uid()).then_some(()))
    })
    .await
    .unwrap();
    assert_restored(&case, 2).await;
}

#[tokio::test]
async fn the_key_last() {
    let case = world().await.case("backup").await;
    let backup = Backup::of(&case).await;
    case.secrets().delete("openai", &DeleteParams::default()).await.unwrap();
    case.create("voice", case.openai()).await;
    case.condition("voice", "Ready", "False", "CredentialNotFound").await;
    restore(&case, &backup.secret()).await.unwrap();
    case.settle().await;
    assert_eq!(case.calls().len(), 1, "nothing is minted without the key");
    case.put_key("openai", &case.key).await;
    assert_restored(&case, 2).await;
}

/// A status of the past: as if it were the present.
#[tokio::test]
async fn with_the_status() {
    let case = world().await.case("backup").await;
    let backup = Backup::of(&case).await;
    restore(&case, &backup.secret()).await.unwrap();
    case.create("voice", case.openai()).await;
    let mut status = serde_json::to_value(&backup.status).unwrap();
    status["failedMintAttempts"] = json!(3);
    status["nextAttemptTime"] = json!("2037-01-01T00:00:00Z");
    status["lastFailureTime"] = json!("2026-01-01T00:00:00Z");
    let patch = Patch::Merge(json!({"status": status}));
    case.tokens()
        .patch_status("voice", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let secret = assert_restored(&case, 2).await;
    let revision = annotation(&secret, "revision").unwrap().parse().ok();
    let status = case.status_when("voice", |it| it.revision == revision).await;
    assert_eq!((status.failed_mint_attempts, status.next_attempt_time), (None, None));
}

/// To another namespace or cluster, where the old one goes on.
#[tokio::test]
async fn moved_elsewhere() {
    let origin = world().await.case("origin").await;
    origin.create("voice", origin.openai()).await;
    let secret = origin.revision("voice", 1).await;
    let status = origin
        .status_when("voice", |it| holds(it, "Ready", "True", "Issued"))
        .await;
    let backup = Backup { secret, status };
    let target = world().await.case("moved").await;
    restore(&target, &backup.secret()).await.unwrap();
    target.create("voice", target.openai()).await;
    assert_restored(&target, 1).await;
    assert_eq!(origin.secrets().get("voice").await.unwrap(), backup.secret);
    assert_eq!(origin.calls().len(), 1);
}
