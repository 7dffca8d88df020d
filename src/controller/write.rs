//! Writing the Secret: a token, or labels, owner and connection alone.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

use super::context::Context;
use super::look::Look;
use crate::api::{DeletionPolicy, RealtimeToken, Reason, TargetContent};
use crate::clock::now;
use crate::cluster::{ClusterError, Name, Refusal};
use crate::mint::scrubbed;
use crate::token::Blocked;
use crate::token::lifecycle::{Order, StoreOrder, WriteEnd};
use crate::token::secret::{Content, SecretView, TargetState, content};

/// Instead of a refusal that quotes the token.
const WITHHELD: &str =
    "the refusal quotes the Secret's data and is withheld here; look into the admission webhook's own log";

/// What happens after a token could not be written.
const TOKEN_IS_KEPT: &str = "The token is kept and will be written once the API server accepts it";

/// Writes the Secret once, and takes in the answer.
pub(super) async fn write(look: &mut Look<'_>, order: &Order, ctx: &Context) -> WriteEnd {
    let written = match order {
        Order::Store(order) => store(look, order, ctx).await,
        Order::Relabel { renewal_time, .. } => {
            let time = renewal_time.map(|time| time.to_string());
            relabel(look, time, ctx).await
        }
    };
    look.seen.now = now();
    match written {
        Ok(view) => {
            look.written(view);
            WriteEnd::Written
        }
        Err(end) => {
            if matches!(&end, WriteEnd::Refused { reason, .. } if *reason == Reason::NamespaceTerminating) {
                ctx.resolver.terminating.insert(&look.secret.namespace, look.seen.now);
            }
            end
        }
    }
}

async fn relabel(look: &Look<'_>, renewal_time: Option<String>, ctx: &Context) -> Result<Arc<SecretView>, WriteEnd> {
    let (secret, metadata, owner) = (&look.secret, &look.metadata, owner(look.seen.token));
    let written = match &look.view {
        Some(view) => ctx.targets.relabel(secret, view, metadata, renewal_time, owner).await,
        None if metadata.content == TargetContent::Connection => {
            ctx.targets.create(secret, Content::none(), metadata, owner).await
        }
        None => return Err(WriteEnd::Outdated),
    };
    let next_step = match metadata.content {
        TargetContent::Token => TOKEN_IS_KEPT,
        TargetContent::Connection => "It will be written once the API server accepts it",
    };
    ctx.note_write(&look.name, &written);
    written.map_err(|error| write_failed(secret, error, next_step))
}

async fn store(look: &Look<'_>, order: &StoreOrder, ctx: &Context) -> Result<Arc<SecretView>, WriteEnd> {
    let target = &look.seen.token.spec.target;
    let render = || content::content(&order.token, order.revision, order.renewal_time, target);
    let content =
        render().map_err(|problem| WriteEnd::Unrenderable(Blocked::new(Reason::InvalidSpec, problem.to_string())))?;
    let hash = content.hash.clone();
    let answer = match (&look.seen.target, &look.view) {
        (TargetState::Ours(_), Some(view)) => ctx.targets.update(&look.secret, view, content).await,
        _ => {
            let owner = owner(look.seen.token);
            ctx.targets.create(&look.secret, content, &look.metadata, owner).await
        }
    };
    ctx.note_write(&look.name, &answer);
    let view = answer.map_err(|error| {
        let quotes = |message: &str| render().is_ok_and(|content| content.quoted_in(message));
        write_failed(&look.secret, withhold(error, quotes), TOKEN_IS_KEPT)
    })?;
    let minted = &order.token.minted;
    tracing::info!(
        token = %look.name, uid = look.seen.uid(), trigger = ?order.trigger, provider = %minted.provider,
        revision = order.revision, expires_at = %minted.expires_at, content_hash = hash, "stored"
    );
    Ok(view)
}

/// Without a message that quotes the token.
fn withhold(error: ClusterError, quotes: impl Fn(&str) -> bool) -> ClusterError {
    match error {
        ClusterError::Refused {
            code,
            reason,
            message,
            why,
        } if quotes(&message) => ClusterError::Refused {
            code,
            reason,
            message: WITHHELD.to_owned(),
            why,
        },
        ClusterError::Unavailable(message) if quotes(&message) => ClusterError::Unavailable(WITHHELD.to_owned()),
        other => other,
    }
}

/// The owner reference, for deletion policy Delete.
fn owner(token: &RealtimeToken) -> Option<OwnerReference> {
    match token.spec.target.deletion_policy {
        DeletionPolicy::Delete => token.controller_owner_ref(&()),
        DeletionPolicy::Retain => None,
    }
}

/// How a write ended that failed. `next_step` is the sentence for the user on what the operator does next.
fn write_failed(secret: &Name, error: ClusterError, next_step: &str) -> WriteEnd {
    match error {
        ClusterError::Conflict | ClusterError::NotFound => WriteEnd::Outdated,
        ClusterError::Refused { code, message, why, .. } => {
            let message = scrubbed(&message);
            let (reason, hint) = reason_and_remedy(secret, why);
            WriteEnd::Refused {
                reason,
                message: format!("Secret {secret} can't be written ({code}): {message}{hint}. {next_step}"),
            }
        }
        error @ (ClusterError::Timeout(_) | ClusterError::Throttled(_) | ClusterError::Unavailable(_)) => {
            let problem = scrubbed(&error.to_string());
            let hint = match problem.contains("failed calling webhook") {
                true => {
                    " (the admission webhook named here is down: restore it, or exclude the operator's Secrets from it)"
                }
                false => "",
            };
            WriteEnd::Unavailable {
                message: format!("Secret {secret} can't be written: {problem}{hint}. {next_step}"),
            }
        }
    }
}

/// The reason of a refusal, and what to do about it.
fn reason_and_remedy(Name { namespace, name }: &Name, why: Refusal) -> (Reason, String) {
    let failed = Reason::SecretWriteFailed;
    match why {
        Refusal::Immutable => (
            Reason::SecretImmutable,
            format!(
                " (the Secret has `immutable: true`, which can't be taken back: kubectl delete secret {name} -n \
                 {namespace}; the operator creates it anew, without that)"
            ),
        ),
        Refusal::QuotaExceeded => (
            Reason::QuotaExceeded,
            format!(
                " (raise that ResourceQuota, or delete Secrets that are not needed: kubectl describe resourcequota -n \
                 {namespace})"
            ),
        ),
        Refusal::NamespaceTerminating => (
            Reason::NamespaceTerminating,
            " (the namespace is being deleted: nothing can be created in it any more)".to_owned(),
        ),
        Refusal::Forbidden => (
            failed,
            format!(
                " (the operator lacks the right: install the chart's RBAC for this namespace, and see kubectl auth can-i \
                 --list -n {namespace} with --as=system:serviceaccount:NAMESPACE:NAME of the operator)"
            ),
        ),
        Refusal::OwnerNeedsDelete => (
            failed,
            " (allow the operator to delete Secrets, as the chart does with rbac.deleteSecrets=true: this cluster asks \
             that of those who change an owner)"
                .to_owned(),
        ),
        Refusal::Denied => (
            failed,
            " (satisfy the admission policy or webhook named here, or exclude the operator's Secrets from it)".to_owned(),
        ),
        Refusal::Other => (failed, String::new()),
    }
}
