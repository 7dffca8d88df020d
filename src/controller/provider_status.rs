//! The status of ClusterRealtimeProviders: is the key there, did the provider accept it, is it limited.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Resource, ResourceExt};

use super::accounts::Account;
use super::context::Context;
use crate::api::{ClusterRealtimeProvider, ClusterRealtimeProviderStatus, ConditionType, RateLimitStatus, Reason};
use crate::clock::{now, whole_second};
use crate::cluster::{ClusterError, status};
use crate::providers::Block;
use crate::resolve::KeyRef;
use crate::token::Blocked;

/// The stream that keeps the statuses; ends when `changes` does.
pub(super) fn run(
    ctx: Arc<Context>,
    reader: Store<ClusterRealtimeProvider>,
    changes: impl Stream<Item = Result<ClusterRealtimeProvider, watcher::Error>> + Send + 'static,
    nudges: impl Stream<Item = ObjectRef<ClusterRealtimeProvider>> + Send + 'static,
) -> impl Future<Output = ()> {
    Controller::for_stream(changes, reader)
        .reconcile_on(nudges)
        .run(
            |provider, ctx| async move { reconcile(&provider, &ctx).await },
            |_, _, _| Action::requeue(Duration::from_secs(15)),
            ctx,
        )
        .for_each(|result| async move {
            if let Err(problem) = result {
                tracing::debug!(%problem, "a ClusterRealtimeProvider's status was not brought up to date");
            }
        })
}

async fn reconcile(provider: &ClusterRealtimeProvider, ctx: &Context) -> Result<Action, ClusterError> {
    let key = KeyRef::of_provider(&ctx.operator_namespace, provider);
    let found = ctx
        .credentials
        .revision(&key, Block::account_secret_fields(&provider.spec.accounts))
        .await?;
    let now = now();
    let account = ctx.accounts.get(&key);
    let prior = provider.status.clone().unwrap_or_default();
    let new = describe(provider, &prior, &key, found, &account, now);
    if new != prior {
        status::of_provider(&ctx.client, &provider.name_any(), &prior, &new).await?;
        if let Some(failure) = new.conditions.iter().find(|new| {
            new.status == "False"
                && !prior
                    .conditions
                    .iter()
                    .any(|old| old.type_ == new.type_ && old.reason == new.reason)
        }) {
            ctx.events
                .warning(provider.object_ref(&()), &failure.reason, failure.message.clone());
        }
    }
    let limit = account
        .limited_until
        .filter(|until| *until > now)
        .map(|until| until.duration_since(now));
    let wait = limit
        .and_then(|wait| Duration::try_from(wait).ok())
        .unwrap_or(Duration::from_secs(300));
    Ok(Action::requeue(
        wait.min(Duration::from_secs(300)) + Duration::from_millis(10),
    ))
}

fn describe(
    provider: &ClusterRealtimeProvider,
    prior: &ClusterRealtimeProviderStatus,
    key: &KeyRef,
    found: Result<String, Blocked>,
    account: &Account,
    now: Timestamp,
) -> ClusterRealtimeProviderStatus {
    let before = |type_: ConditionType| {
        prior
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_.as_str())
    };
    let generation = provider.metadata.generation;
    let condition = |type_: ConditionType, status: &str, reason: Reason, message: String| Condition {
        type_: type_.as_str().to_owned(),
        status: status.to_owned(),
        reason: reason.as_str().to_owned(),
        message: message.chars().take(1024).collect(),
        observed_generation: generation,
        last_transition_time: before(type_)
            .filter(|before| before.status == status)
            .map_or_else(|| Time(whole_second(now)), |before| before.last_transition_time.clone()),
    };
    let selected = match &provider.spec.namespace_selector {
        None => "; no namespace may use it until namespaceSelector is set",
        Some(_) => "",
    };
    let revision = found.as_ref().ok().cloned();
    let ready = match found {
        Ok(_) => condition(
            ConditionType::Ready,
            "True",
            Reason::CredentialFound,
            format!("found the {key}{selected}"),
        ),
        Err(blocked) => condition(ConditionType::Ready, "False", blocked.reason, blocked.message),
    };
    let verdict = account.verdict.as_ref().map(|verdict| {
        let of_this_key = revision.is_none_or(|revision| revision == verdict.revision);
        of_this_key.then_some(&verdict.result)
    });
    let valid = match (verdict, before(ConditionType::CredentialValid)) {
        (Some(Some(Ok(()))), _) => condition(
            ConditionType::CredentialValid,
            "True",
            Reason::CredentialAccepted,
            "the provider accepted the key".to_owned(),
        ),
        (Some(Some(Err(message))), _) => condition(
            ConditionType::CredentialValid,
            "False",
            Reason::CredentialRejected,
            message.clone(),
        ),
        // After a restart nothing is known yet: what was seen before still stands.
        (None, Some(before)) if before.observed_generation == generation => before.clone(),
        (Some(None) | None, _) => condition(
            ConditionType::CredentialValid,
            "Unknown",
            Reason::CredentialUntested,
            "no token was minted with the key yet".to_owned(),
        ),
    };
    ClusterRealtimeProviderStatus {
        observed_generation: generation,
        conditions: vec![ready, valid],
        rate_limit: account
            .limited_until
            .filter(|until| *until > now)
            .map(|until| RateLimitStatus {
                limited_until: Some(Time(whole_second(until))),
            }),
    }
}
