//! The watches, as streams of events of the namespaces that the operator serves. What the events wake is the
//! controller's business.
//!
//! Each watch takes one connection to the API server. None is for a single object that a tenant names.

mod lasting;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::future::ready;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{Config, Error, Event};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use self::lasting::lasting;
use super::merged::merged;
use super::{Cached, Name, SecretMeta, SecretVersion};
use crate::api::ClusterRealtimeProvider;
use crate::health::Health;
use crate::token::secret::annotations::{MANAGED_BY, MANAGER};

/// The events of a watch. Errors are reported and retried; the stream never ends.
pub(crate) type Events<K> = BoxStream<'static, Result<Event<K>, Error>>;
/// The type of the Secrets in which Helm keeps its releases.
pub(super) const HELM_RELEASE: &str = "helm.sh/release.v1";

/// What one watch covers: a namespace, or all of them.
pub(crate) type Part = Option<Arc<str>>;
/// The events of several watches, each with what the watch covers.
pub(crate) type EventsOfParts<K> = BoxStream<'static, (Part, Result<Event<K>, Error>)>;

#[derive(Clone, Debug)]
pub struct Scope {
    /// The namespaces; none means all.
    pub namespaces: Vec<String>,
    pub cluster_providers: bool,
}

impl Scope {
    /// What is watched of the objects in namespaces, each by a watch of its own.
    pub(crate) fn parts(&self) -> BTreeSet<Part> {
        match self.namespaces.as_slice() {
            [] => BTreeSet::from([None]),
            names => names.iter().map(|name| Some(Arc::from(name.as_str()))).collect(),
        }
    }

    /// The same for key Secrets: those of ClusterRealtimeProviders are in the operator's own namespace.
    pub(super) fn parts_with_keys(&self, operator_namespace: &str) -> BTreeSet<Part> {
        let mut parts = self.parts();
        if self.cluster_providers && !parts.contains(&None) {
            parts.insert(Some(Arc::from(operator_namespace)));
        }
        parts
    }
}

pub(crate) fn tokens(client: &Client, scope: &Scope, health: &Arc<Health>) -> Events<Cached> {
    let watch = |part| namespaced(client, part, "RealtimeTokens", &Config::default(), health);
    merged(scope.parts().iter().map(watch).collect())
}

/// The RealtimeTokens that have `spec.requests`. One that loses it is reported as deleted.
pub(crate) fn requested_tokens(client: &Client, scope: &Scope, health: &Arc<Health>) -> Events<Cached> {
    let is_requested = |token: &Cached| token.read().is_ok_and(|token| token.spec.requests.is_some());
    let requested = move |event| match event {
        Ok(Event::InitApply(token)) if !is_requested(&token) => None,
        Ok(Event::Apply(token)) if !is_requested(&token) => Some(Ok(Event::Delete(token))),
        other => Some(other),
    };
    tokens(client, scope, health)
        .filter_map(move |event| ready(requested(event)))
        .boxed()
}

/// The target Secrets: all that have the operator's label.
pub(crate) fn target_secrets(client: &Client, scope: &Scope, health: &Arc<Health>) -> EventsOfParts<SecretMeta> {
    let config = Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
    of_parts(scope.parts(), |part| {
        namespaced(client, part, "Secrets", &config, health)
    })
}

/// The Secrets that may be key Secrets: not the operator's own, nor Helm's releases, which are the most by far and change
/// with every deployment. Of the others' metadata only name and resourceVersion are taken in.
pub(super) fn key_secrets(
    client: &Client,
    parts: BTreeSet<Part>,
    health: &Arc<Health>,
) -> EventsOfParts<SecretVersion> {
    let config = Config::default()
        .labels(&format!("{MANAGED_BY}!={MANAGER}"))
        .fields(&format!("type!={HELM_RELEASE}"));
    of_parts(parts, |part| namespaced(client, part, "key Secrets", &config, health))
}

/// The namespaces in scope. Only ClusterRealtimeProviders need their labels: without those there are none.
pub(crate) fn namespaces(client: &Client, scope: &Scope, health: &Arc<Health>) -> Events<PartialObjectMeta<Namespace>> {
    if !scope.cluster_providers {
        return nothing();
    }
    let prune = |namespace: &mut PartialObjectMeta<Namespace>| {
        namespace.metadata.managed_fields = None;
        namespace.metadata.annotations = None;
    };
    let watch = |part: &Part| {
        let (title, config) = match part {
            None => ("namespaces".to_owned(), Config::default()),
            Some(name) => (
                format!("namespace {name}"),
                Config::default().fields(&format!("metadata.name={name}")),
            ),
        };
        lasting(client, Api::all, config, health.follow(title))
    };
    merged(scope.parts().iter().map(watch).collect()).modify(prune).boxed()
}

/// The ClusterRealtimeProviders, none if they are not served.
pub(crate) fn providers(client: &Client, scope: &Scope, health: &Arc<Health>) -> Events<ClusterRealtimeProvider> {
    if !scope.cluster_providers {
        return nothing();
    }
    let health = health.follow("ClusterRealtimeProviders".to_owned());
    lasting(client, Api::all, Config::default(), health)
        .modify(|provider: &mut ClusterRealtimeProvider| provider.managed_fields_mut().clear())
        .boxed()
}

/// One Secret by name with its data, or `None` while it doesn't exist. The right to watch that name alone is enough.
pub(super) fn secret(
    client: &Client,
    name: &Name,
    health: &Arc<Health>,
) -> BoxStream<'static, Result<Option<Secret>, Error>> {
    let config = Config::default().fields(&format!("metadata.name={}", name.name));
    let api = |client| Api::namespaced(client, &name.namespace);
    let mut is_listed = false;
    lasting(client, api, config, health.follow(format!("Secret {name}")))
        .filter_map(move |event| {
            ready(match event {
                Ok(Event::Init) => {
                    is_listed = false;
                    None
                }
                Ok(Event::InitApply(secret)) => {
                    is_listed = true;
                    Some(Ok(Some(secret)))
                }
                Ok(Event::InitDone) => (!is_listed).then_some(Ok(None)),
                Ok(Event::Apply(secret)) => Some(Ok(Some(secret))),
                Ok(Event::Delete(_)) => Some(Ok(None)),
                Err(problem) => Some(Err(problem)),
            })
        })
        .boxed()
}

/// The watch on one part of a kind whose objects are in namespaces.
fn namespaced<K>(client: &Client, part: &Part, title: &str, config: &Config, health: &Arc<Health>) -> Events<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    match part {
        None => lasting(client, Api::all, config.clone(), health.follow(title.to_owned())),
        Some(namespace) => {
            let api = |client| Api::namespaced(client, namespace);
            let health = health.follow(format!("{title} in {namespace}"));
            lasting(client, api, config.clone(), health)
        }
    }
}

fn of_parts<K: Send + 'static>(parts: BTreeSet<Part>, watch: impl Fn(&Part) -> Events<K>) -> EventsOfParts<K> {
    let watches = parts.into_iter().map(|part| {
        let events = watch(&part);
        events.map(move |event| (part.clone(), event)).boxed()
    });
    stream::select_all(watches).boxed()
}

/// A list without objects, and no change ever: a store of it is ready and empty.
fn nothing<K: Send + 'static>() -> Events<K> {
    stream::iter([Ok(Event::Init), Ok(Event::InitDone)])
        .chain(stream::pending())
        .boxed()
}

#[cfg(test)]
mod tests;
