//! Keeps the status of ClusterRealtimeProviders: look, report, write.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::runtime::controller::Action;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{Controller, watcher};
use kube::{Resource, ResourceExt};

use super::context::Context;
use super::error::ReconcileError;
use super::guard::{Guard, no_errors};
use crate::api::{ClusterRealtimeProvider, Reason};
use crate::clock::now;
use crate::cluster::status;
use crate::health::Health;
use crate::providers::Block;
use crate::resolve::CredentialRef;
use crate::token::Blocked;
use crate::token::report::provider::{ProviderFindings, new_provider_failure, provider_status};

/// Each ClusterRealtimeProvider is looked at this often in any case.
const RECHECK: Duration = Duration::from_secs(300);

/// Only where the CRD in the cluster is another version's.
const ONE_CREDENTIAL: &str = "set exactly one of credentials.secretRef and credentials.workloadIdentity";

/// Runs until `changes` ends.
pub(super) fn run(
    ctx: Arc<Context>,
    reader: Store<ClusterRealtimeProvider>,
    changes: impl Stream<Item = Result<ClusterRealtimeProvider, watcher::Error>> + Send + 'static,
    nudges: impl Stream<Item = ObjectRef<ClusterRealtimeProvider>> + Send + 'static,
    health: &Arc<Health>,
) -> impl Future<Output = ()> {
    let guard = Guard::new("ClusterRealtimeProvider", &ctx, health);
    let reconcile_one = move |provider: Arc<ClusterRealtimeProvider>, ctx: Arc<Context>| {
        let guard = Arc::clone(&guard);
        async move {
            let name = provider.name_any();
            guard.reconcile_guarded(name, reconcile(&provider, &ctx)).await
        }
    };
    Controller::for_stream(changes, reader)
        .reconcile_on(nudges)
        .run(reconcile_one, no_errors, ctx)
        .for_each(|_| std::future::ready(()))
}

async fn reconcile(provider: &ClusterRealtimeProvider, ctx: &Context) -> Result<Action, ReconcileError> {
    let credential = CredentialRef::of_provider(&ctx.resolver.operator_namespace, provider);
    let secret_fields = Block::account_secret_fields(&provider.spec.accounts);
    let revision = match &credential {
        Some(credential) => ctx.issuer.revision(credential, secret_fields).await?,
        None => Err(Blocked::new(Reason::InvalidSpec, ONE_CREDENTIAL)),
    };
    let now = now();
    let health = credential
        .as_ref()
        .map(|credential| ctx.issuer.budgets.health(credential, now));
    let health = health.unwrap_or_default();
    let prior = provider.status.clone().unwrap_or_default();
    let new = provider_status(&ProviderFindings {
        provider,
        prior: &prior,
        found: &credential.as_ref().map(CredentialRef::found).unwrap_or_default(),
        revision: revision.as_deref(),
        health: &health,
        now,
    });
    if new != prior {
        status::of_provider(&ctx.client, &provider.name_any(), &prior, &new).await?;
        if let Some(failure) = new_provider_failure(&prior, &new) {
            let (reason, message) = (&failure.reason, &failure.message);
            tracing::warn!(provider = %provider.name_any(), reason, "{message}");
            ctx.events
                .warning(provider.object_ref(&()), &failure.reason, failure.message.clone());
        }
    }
    let changes = [health.limited_until, health.reported_at()].into_iter().flatten();
    let waits = changes.filter_map(|at| Duration::try_from(at.duration_since(now)).ok());
    let wait = waits.filter(|wait| !wait.is_zero()).fold(RECHECK, Duration::min);
    Ok(Action::requeue(wait + Duration::from_millis(10)))
}
