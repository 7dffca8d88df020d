//! The watches, as streams of events of the namespaces that the operator serves. What the events wake is the
//! controller's business.

use std::fmt::Debug;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, Error, Event, ExponentialBackoff, watch_object, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::merged::merged;
use super::{Cached, Name, SecretMeta};
use crate::api::ClusterRealtimeProvider;
use crate::token::secret::annotations::{MANAGED_BY, MANAGER};

/// The events of a watch. Errors are reported and retried; the stream never ends.
pub(crate) type Events<K> = BoxStream<'static, Result<Event<K>, Error>>;

/// How many objects one answer to a list has. A page is in memory as a whole, twice while it arrives, and a tenant may
/// make each object as large as etcd takes it, 1.5 MiB. The price is a few requests more at a start.
const PAGE: u32 = 20;

#[derive(Clone, Debug)]
pub struct Scope {
    /// The namespaces; none means all.
    pub namespaces: Vec<String>,
    pub cluster_providers: bool,
}

pub(crate) fn tokens(client: &Client, scope: &Scope) -> Events<Cached> {
    in_scope(client, scope, &watcher::Config::default())
}

/// The RealtimeTokens that have `spec.requests`. One that loses it is reported as deleted.
pub(crate) fn requested_tokens(client: &Client, scope: &Scope) -> Events<Cached> {
    let is_requested = |token: &Cached| token.read().is_ok_and(|token| token.spec.requests.is_some());
    let requested = move |event| match event {
        Ok(Event::InitApply(token)) if !is_requested(&token) => None,
        Ok(Event::Apply(token)) if !is_requested(&token) => Some(Ok(Event::Delete(token))),
        other => Some(other),
    };
    tokens(client, scope)
        .filter_map(move |event| futures::future::ready(requested(event)))
        .boxed()
}

/// The target Secrets: all that have the operator's label.
pub(crate) fn target_secrets(client: &Client, scope: &Scope) -> Events<SecretMeta> {
    let labels = format!("{MANAGED_BY}={MANAGER}");
    in_scope(client, scope, &watcher::Config::default().labels(&labels))
}

/// The namespaces in scope. Only ClusterRealtimeProviders need their labels: without those there are none.
pub(crate) fn namespaces(client: &Client, scope: &Scope) -> Events<PartialObjectMeta<Namespace>> {
    if !scope.cluster_providers {
        return nothing();
    }
    let watch = |config: watcher::Config| watch(Api::all(client.clone()), config);
    let events = match scope.namespaces.as_slice() {
        [] => watch(watcher::Config::default()),
        names => {
            let one = |name: &String| watch(watcher::Config::default().fields(&format!("metadata.name={name}")));
            merged(names.iter().map(one).collect()).boxed()
        }
    };
    let prune = |namespace: &mut PartialObjectMeta<Namespace>| {
        namespace.metadata.managed_fields = None;
        namespace.metadata.annotations = None;
    };
    events.modify(prune).boxed()
}

/// The ClusterRealtimeProviders, none if they are not served.
pub(crate) fn providers(client: &Client, scope: &Scope) -> Events<ClusterRealtimeProvider> {
    if !scope.cluster_providers {
        return nothing();
    }
    watch(Api::all(client.clone()), watcher::Config::default())
        .modify(|provider: &mut ClusterRealtimeProvider| provider.managed_fields_mut().clear())
        .boxed()
}

/// One Secret by name: its metadata, or `None` while it doesn't exist.
pub(super) fn secret(
    client: &Client,
    name: &Name,
) -> impl Stream<Item = Result<Option<PartialObjectMeta<Secret>>, Error>> + Send + use<> {
    one(Api::namespaced(client.clone(), &name.namespace), &name.name)
}

/// One object by name, or `None` while it doesn't exist. The right to watch that name alone is enough.
pub(super) fn one<K>(api: Api<K>, name: &str) -> impl Stream<Item = Result<Option<K>, Error>> + Send + use<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watch_object(api, name).backoff(backoff())
}

fn in_scope<K>(client: &Client, scope: &Scope, config: &watcher::Config) -> Events<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    match scope.namespaces.as_slice() {
        [] => watch(Api::all(client.clone()), config.clone()),
        names => {
            let one = |name: &String| watch(Api::namespaced(client.clone(), name), config.clone());
            merged(names.iter().map(one).collect()).boxed()
        }
    }
}

fn watch<K>(api: Api<K>, config: watcher::Config) -> Events<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    watcher(api, config.page_size(PAGE)).backoff(backoff()).boxed()
}

/// A list without objects, and no change ever: a store of it is ready and empty.
fn nothing<K: Send + 'static>() -> Events<K> {
    stream::iter([Ok(Event::Init), Ok(Event::InitDone)])
        .chain(stream::pending())
        .boxed()
}

/// How long a broken watch waits before it tries again. kube's default grows to 30 s and more, during which the operator
/// would see nothing new after the API server has come back. Any event resets it; kube counts the start of a list as one,
/// so a list that fails is tried again after the shortest time.
fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(5))
        .with_factor(2.0)
        .without_max_times()
        .into()
}

#[cfg(test)]
mod tests;
