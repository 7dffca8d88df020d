//! Before anything is watched: the API server answers, it serves the operator's kinds, and the namespaces to look after
//! exist. So a bad start is one sentence and not one of each watch.

use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, Client};

use super::remedy::not_served;
use super::{ClusterError, Scope, bounded, served};
use crate::health::Health;

/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(2);

/// Resolves once the cluster can be worked with. Until then it logs what is in the way, and readiness says so.
pub async fn pass(client: &Client, scope: &Scope, health: &Health) {
    let before = health.waiting_for();
    loop {
        health.beat();
        match look(client, scope).await {
            Ok(()) => break,
            Err(problem) => {
                health.report(&problem);
                health.wait_for(Some(problem));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    health.wait_for(before);
}

async fn look(client: &Client, scope: &Scope) -> Result<(), String> {
    let said = |error: ClusterError| error.with_remedy();
    let version = allowed(bounded(client.apiserver_version()).await).map_err(said)?;
    let kinds = allowed(served::kinds(client).await).map_err(said)?;
    let wanted = ["realtimetokens", "clusterrealtimeproviders"].into_iter();
    let wanted = wanted.take(1 + usize::from(scope.cluster_providers));
    let is_served = |plural: &str| {
        kinds
            .as_ref()
            .is_none_or(|kinds| kinds.iter().any(|kind| kind == plural))
    };
    let missing: Vec<&str> = wanted.filter(|plural| !is_served(plural)).collect();
    if !missing.is_empty() {
        return Err(not_served(&missing.join(" and ")));
    }
    if scope.cluster_providers {
        name_absent(client, &scope.namespaces).await?;
    }
    if let Some(version) = version {
        tracing::info!("the API server answers: Kubernetes {}", version.git_version);
    }
    Ok(())
}

/// Only with ClusterRealtimeProviders does the chart let the operator look at namespaces. Without them Helm has named an
/// absent one: it couldn't create the Role there.
async fn name_absent(client: &Client, namespaces: &[String]) -> Result<(), String> {
    let absent = try_join_all(namespaces.iter().map(|name| is_absent(client, name))).await;
    let absent = absent.map_err(|error| error.with_remedy())?;
    let absent = namespaces.iter().zip(absent).filter(|(_, absent)| *absent);
    let absent: Vec<&str> = absent.map(|(name, _)| name.as_str()).collect();
    if !absent.is_empty() {
        tracing::warn!(
            "--watch-namespaces names {}, which the cluster doesn't have: nothing is done there until it is created; \
             `kubectl get namespaces` lists those there are",
            absent.join(" and ")
        );
    }
    Ok(())
}

/// Without a namespace's right to be listed nothing is known of it.
async fn is_absent(client: &Client, name: &str) -> Result<bool, ClusterError> {
    let params = ListParams::default().fields(&format!("metadata.name={name}")).limit(1);
    let found = bounded(Api::<Namespace>::all(client.clone()).list_metadata(&params)).await;
    Ok(allowed(found)?.is_some_and(|found| found.items.is_empty()))
}

/// What a hardened cluster doesn't let every user see is not in the way.
fn allowed<T>(answer: Result<T, ClusterError>) -> Result<Option<T>, ClusterError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ClusterError::Refused { code: 403, .. }) => Ok(None),
        Err(problem) => Err(problem),
    }
}
