//! Writing the Secret: a token that was minted, or labels and owner alone.

use std::sync::Arc;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::runtime::controller::Action;

use super::reconcile::Scene;
use crate::api::{DeletionPolicy, Reason};
use crate::clock::now;
use crate::cluster::ClusterError;
use crate::mint::scrubbed;
use crate::token::metadata::SecretView;
use crate::token::report::Situation;
use crate::token::secret;
use crate::token::{Attempts, Blocked, Issued, TargetState, Trigger, backoff, decide, schedule};

/// Instead of a refusal that quotes the token.
const WITHHELD: &str =
    "the refusal quotes the Secret's data and is withheld here; look into the admission webhook's own log";

/// What the admission plugin OwnerReferencesPermissionEnforcement says of a change of owners, and the way out.
const NOT_DELETABLE: &str = "cannot set an ownerRef on a resource you can't delete";
const LET_IT_DELETE: &str = " (allow the operator to delete Secrets, as the chart does with rbac.deleteSecrets=true: \
                             this cluster asks that of whoever changes an owner)";

/// Writes the token in memory. Whatever goes wrong, it stays there and is written later; it is never minted again.
pub(super) async fn store(mut scene: Scene<'_>, trigger: Trigger) -> Result<Action, ClusterError> {
    let Some(held) = scene.held.take() else {
        return Ok(Action::await_change()); // decide stores only what is held
    };
    let minted = &held.minted;
    let plan = schedule::plan(
        &scene.token.spec.renewal,
        scene.uid,
        minted.issued_at,
        minted.usable_until,
    );
    let last = scene
        .issued()
        .map_or(0, |issued| issued.revision)
        .max(scene.prior.revision.unwrap_or(0));
    let revision = held.revision.unwrap_or(last + 1);
    let content = match secret::content(&held, revision, plan.renewal_time, &scene.token.spec.target) {
        Ok(content) => content,
        Err(problem) => {
            let blocked = Blocked::new(Reason::InvalidSpec, problem.to_string());
            scene.report(Situation::Blocked(&blocked)).await?;
            return Ok(Action::await_change());
        }
    };
    let hash = content.hash.clone();
    let written = match (&scene.target, &scene.view) {
        (TargetState::Ours(_), Some(view)) => scene.ctx.targets.update(&scene.secret, view, content).await,
        _ => {
            let owner = owner(&scene);
            scene
                .ctx
                .targets
                .create(&scene.secret, content, &scene.dress, owner)
                .await
        }
    };
    let view = match written {
        Ok(view) => view,
        Err(ClusterError::Refused { code, message, .. }) => {
            let quotes = secret::content(&held, revision, plan.renewal_time, &scene.token.spec.target)
                .is_ok_and(|content| content.quoted_in(&message));
            let message = if quotes { WITHHELD.to_owned() } else { message };
            return refused(scene, code, &message).await;
        }
        Err(error) => return not_written(scene, error).await,
    };
    let replaced = scene.issued().cloned();
    tracing::info!(
        token = %scene.name, uid = scene.uid, trigger = ?trigger, provider = %minted.provider, revision,
        expires_at = %minted.expires_at, content_hash = hash, "stored"
    );
    scene.ctx.memories.with(&scene.name, scene.token, |memory| {
        memory.failures = 0;
        memory.attempts = None;
        if let Some(kept) = &mut memory.held {
            kept.revision = Some(revision);
        }
    });
    tell(&scene, trigger, revision);
    if let Some(old) = replaced {
        measure(&scene, &old);
    }
    seen_anew(&mut scene, view);
    scene.report(Situation::Settled).await?;
    let next = scene.next_look(scene.now);
    Ok(scene.requeue(next))
}

/// Brings labels, annotations and owner of the Secret up to date.
pub(super) async fn relabel(mut scene: Scene<'_>) -> Result<Action, ClusterError> {
    let Some(view) = scene.view.clone() else {
        return Ok(Action::await_change());
    };
    let renewal_time = scene.plan().map(|plan| plan.renewal_time);
    let time = renewal_time.map(|time| time.to_string());
    let owner = owner(&scene);
    match scene
        .ctx
        .targets
        .relabel(&scene.secret, &view, &scene.dress, time, owner)
        .await
    {
        Ok(view) => {
            scene.ctx.memories.with(&scene.name, scene.token, |memory| {
                memory.failures = 0;
                memory.attempts = None;
            });
            seen_anew(&mut scene, view);
            scene.report(Situation::Settled).await?;
            let next = scene.next_look(scene.now + decide::MAX_WAIT);
            Ok(scene.requeue(next))
        }
        Err(error) => not_written(scene, error).await,
    }
}

/// The owner reference, for deletion policy Delete.
fn owner(scene: &Scene<'_>) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference> {
    match scene.token.spec.target.deletion_policy {
        DeletionPolicy::Delete => scene.token.controller_owner_ref(&()),
        DeletionPolicy::Retain => None,
    }
}

fn seen_anew(scene: &mut Scene<'_>, view: Arc<SecretView>) {
    scene.target = view.seen_by(&scene.name.name, scene.uid, &scene.token.spec.target);
    scene.view = Some(view);
}

async fn not_written(scene: Scene<'_>, error: ClusterError) -> Result<Action, ClusterError> {
    match error {
        // Somebody was faster: look again, live, and decide anew.
        ClusterError::Conflict | ClusterError::NotFound => Ok(scene.requeue(now() + SignedDuration::from_millis(20))),
        ClusterError::Refused { code, message, .. } => refused(scene, code, &message).await,
        other => Err(other),
    }
}

async fn refused(scene: Scene<'_>, code: u16, message: &str) -> Result<Action, ClusterError> {
    let failed = scene.ctx.memories.with(&scene.name, scene.token, |memory| {
        memory.failures = memory.failures.saturating_add(1);
        memory.failures
    });
    let written_for = scene
        .wanted()
        .ok()
        .map(|wanted| decide::written_for(&wanted, &scene.dress.hash));
    let error = crate::token::MintError::Unavailable { message: String::new() };
    let next = scene.now + backoff::delay(&error, failed, scene.uid, SignedDuration::ZERO);
    let attempts = Attempts {
        failed,
        last: scene.now,
        next,
        asked: written_for,
        reason: Reason::SecretWriteFailed,
        message: format!(
            "Secret {} can't be written ({code}): {}{}. The token is kept and will be written once the API server \
             accepts it",
            scene.secret,
            scrubbed(message),
            if message.contains(NOT_DELETABLE) {
                LET_IT_DELETE
            } else {
                ""
            },
        ),
    };
    // Before the report: its status write wakes this object again.
    scene.ctx.memories.with(&scene.name, scene.token, |memory| {
        memory.attempts = Some(Box::new(attempts.clone()));
    });
    scene.report(Situation::Failing(&attempts)).await?;
    Ok(scene.requeue(next))
}

/// Events for what people asked for or did. What was due is no event.
fn tell(scene: &Scene<'_>, trigger: Trigger, revision: i64) {
    let about = || scene.token.object_ref(&());
    let secret = &scene.secret.name;
    let events = &scene.ctx.events;
    match trigger {
        Trigger::FirstIssue => {
            events.normal(about(), "Issued", format!("Secret {secret} holds its first token"));
        }
        Trigger::Forced => {
            events.normal(
                about(),
                "RenewalForced",
                format!("renewed as asked by annotation; revision {revision}"),
            );
        }
        Trigger::CredentialChanged => {
            events.normal(
                about(),
                "CredentialRotated",
                format!("the key changed; renewed with it, revision {revision}"),
            );
        }
        Trigger::SecretDeleted => {
            events.normal(
                about(),
                "SecretRecreated",
                format!("Secret {secret} was deleted and is written again"),
            );
        }
        Trigger::SecretEdited => {
            events.normal(
                about(),
                "SecretRecreated",
                format!("Secret {secret} was edited and is written again"),
            );
        }
        Trigger::Due | Trigger::SpecChanged => {}
    }
}

/// How late a token came that was due, whatever brought it in the end: often that is the key that somebody repaired.
/// While it was suspended nobody waited for it.
fn measure(scene: &Scene<'_>, old: &Issued) {
    let renewal = &scene.token.spec.renewal;
    let plan = schedule::plan(renewal, scene.uid, old.issued_at, old.usable_until);
    let suspended = |condition: &Condition| condition.reason == Reason::Suspended.as_str();
    if let Some(swap) = plan.swap(old.usable_until, now())
        && !scene.prior.conditions.iter().any(suspended)
    {
        scene.ctx.metrics.rotated(&swap);
    }
}
