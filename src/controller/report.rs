//! What a step achieved and what goes on, for people: status, Events, metrics.

use kube::{Resource, ResourceExt};

use super::context::Context;
use super::look::Look;
use crate::api::{ConditionType, RENEW_REQUESTED_AT};
use crate::cluster::{ClusterError, status};
use crate::resolve::findings;
use crate::token::lifecycle::{Situation, Step, StoredReport, WrittenStatus};
use crate::token::report::{new_warnings, status as describe};
use crate::token::{Event, Trigger};

/// Reports a step. The status is written only if it differs, and a Warning Event only for a failure that is new.
pub(super) async fn report(look: &mut Look<'_>, step: &Step, ctx: &Context) -> Result<(), ClusterError> {
    if let Some(stored) = &step.stored {
        if let Some(swap) = &stored.swap {
            ctx.metrics.rotated(swap);
        }
        publish_stored(look, stored, ctx);
    }
    match &step.situation {
        Some(situation) => write_status(look, situation, ctx).await,
        None => Ok(()),
    }
}

async fn write_status(look: &mut Look<'_>, situation: &Situation, ctx: &Context) -> Result<(), ClusterError> {
    let token = look.seen.token;
    let health = ctx.issuer.health(&token.spec, look.resolved.as_ref(), look.seen.now);
    let new = describe(&findings(&look.seen, situation, look.resolved.as_ref(), health));
    let prior = &look.seen.prior;
    if new == *prior {
        return Ok(());
    }
    let written = status::of_token(&ctx.client, &look.name, prior, &new).await;
    ctx.note_write(&look.name, &written);
    let version = written?;
    for warning in new_warnings(prior, &new) {
        let message = warning.message.clone();
        // A mint that failed is in the log already, each attempt at it.
        let is_mint =
            matches!(situation, Situation::MintFailing(_)) && warning.type_ == ConditionType::Renewing.as_str();
        if !is_mint {
            tracing::warn!(token = %look.name, reason = warning.reason, "{message}");
        }
        ctx.events.warning(token.object_ref(&()), &warning.reason, message);
    }
    look.seen.prior = new.clone();
    let written = WrittenStatus {
        version,
        status: new,
        renew_request: token.annotations().get(RENEW_REQUESTED_AT).cloned(),
        at: look.seen.now,
    };
    let uid = look.seen.uid();
    ctx.lifecycles
        .step(&look.name, uid, Event::StatusWritten(Box::new(written)));
    Ok(())
}

/// Events for what people asked for or did. A routine renewal is none.
fn publish_stored(look: &Look<'_>, stored: &StoredReport, ctx: &Context) {
    let (secret, revision) = (&look.secret.name, stored.revision);
    let (reason, message) = match stored.trigger {
        Trigger::FirstIssue => ("Issued", format!("Secret {secret} holds its first token")),
        Trigger::Forced => (
            "RenewalForced",
            format!("renewed as asked by annotation; revision {revision}"),
        ),
        Trigger::CredentialChanged => (
            "CredentialRotated",
            format!("the key changed; renewed with it, revision {revision}"),
        ),
        Trigger::SecretDeleted => (
            "SecretRecreated",
            format!("Secret {secret} was deleted and is written again"),
        ),
        Trigger::SecretEdited => (
            "SecretRecreated",
            format!("Secret {secret} was edited and is written again"),
        ),
        Trigger::Due | Trigger::SpecChanged => return,
    };
    ctx.events.normal(look.seen.token.object_ref(&()), reason, message);
}
