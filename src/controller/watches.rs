//! Everything that is watched, and whom it wakes.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures::future::ready;
use futures::stream::BoxStream;
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Namespace;
use kube::core::{ObjectMeta, PartialObjectMeta};
use kube::runtime::reflector::store::{Writer, WriterDropped};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt, predicates};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::{Notify, mpsc};

use super::cached::Cached;
use super::context::Context;
use super::lifecycles::Lifecycles;
use super::merged::merged;
use super::{providers, tokio_stream_of};
use crate::api::ClusterRealtimeProvider;
use crate::clock::now;
use crate::cluster::Name;
use crate::cluster::target::SecretMeta;
use crate::health::Health;
use crate::resolve::KeyRef;
use crate::token::secret::annotations::{MANAGED_BY, MANAGER};

const TIDY_EVERY: Duration = Duration::from_secs(10);
const REWATCH_FIRST: Duration = Duration::from_millis(500);
const REWATCH_CAP: Duration = Duration::from_secs(5);

/// How long a broken watch waits before it tries again. kube's default grows to a minute, for which the operator would
/// see nothing new after the API server has come back.
#[derive(Default)]
struct Rewatch {
    tries: u32,
}

impl Iterator for Rewatch {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let wait = (REWATCH_FIRST * (1 << self.tries)).min(REWATCH_CAP);
        self.tries = (self.tries + 1).min(10);
        Some(wait)
    }
}

impl Backoff for Rewatch {
    fn reset(&mut self) {
        self.tries = 0;
    }
}

/// The watches beside the one on RealtimeTokens.
pub(super) struct Watches {
    pub(super) ctx: Arc<Context>,
    pub(super) tokens: Store<Cached>,
    pub(super) health: Arc<Health>,
    pub(super) secrets_listed: Notify,
}

/// The watch on RealtimeTokens, as a reflector.
pub(super) fn tokens(
    ctx: Arc<Context>,
    writer: Writer<Cached>,
    health: Arc<Health>,
) -> impl Stream<Item = Result<Cached, watcher::Error>> + Send + 'static {
    let echoes = Arc::clone(&ctx);
    within(&ctx, &watcher::Config::default(), Cached::remains)
        .inspect(move |event| match event {
            Ok(Event::Delete(token)) => ctx.forget(&Name::of(token)),
            Ok(Event::InitDone) => health.wait_for(None),
            Err(problem) => health.wait_for_unless_ready(&format!("RealtimeTokens: {problem}")),
            Ok(_) => {}
        })
        .reflect(writer)
        .try_filter_map(move |event| ready(Ok(news(event, &echoes.lifecycles))))
}

/// The objects of a kind in the namespaces that are watched.
fn within<K>(
    ctx: &Context,
    config: &watcher::Config,
    remains: fn(&K) -> K,
) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Resource<Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned + Send + 'static,
    K::DynamicType: Default,
{
    let watch = |api: Api<K>| watcher(api, config.clone()).backoff(Rewatch::default()).boxed();
    match ctx.scope.namespaces.as_slice() {
        [] => watch(Api::all(ctx.client.clone())),
        some => {
            let watches = some
                .iter()
                .map(|namespace| watch(Api::namespaced(ctx.client.clone(), namespace)));
            merged(watches.collect(), remains).boxed()
        }
    }
}

/// What is kept of metadata in case a later list lacks the object.
fn remains<K>(object: &PartialObjectMeta<K>) -> PartialObjectMeta<K> {
    PartialObjectMeta {
        types: None,
        metadata: ObjectMeta {
            managed_fields: None,
            annotations: None,
            ..object.metadata.clone()
        },
        _phantom: PhantomData,
    }
}

/// A store of what isn't watched is ready, and empty for ever.
async fn nothing<K>(writer: &mut Writer<K>)
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    writer.apply_watcher_event(&Event::Init);
    writer.apply_watcher_event(&Event::InitDone);
    futures::future::pending().await
}

/// What an event brings to look at: the echo of our own status write brings nothing.
fn news(event: Event<Cached>, lifecycles: &Lifecycles) -> Option<Cached> {
    match event {
        Event::Apply(token) | Event::InitApply(token) => (!lifecycles.take_echo(&token)).then_some(token),
        Event::Delete(token) => Some(token),
        Event::Init | Event::InitDone => None,
    }
}

impl Watches {
    /// Resolves once Secrets, namespaces and ClusterRealtimeProviders are known, so that nothing is decided on half
    /// the facts.
    pub(super) async fn listed(&self) -> Result<(), WriterDropped> {
        self.ctx.namespaces.wait_until_ready().await?;
        self.ctx.cluster_providers.wait_until_ready().await?;
        self.secrets_listed.notified().await;
        Ok(())
    }

    /// The operator's own Secrets, as metadata.
    pub(super) async fn secrets(&self) {
        let config = watcher::Config::default().labels(&format!("{MANAGED_BY}={MANAGER}"));
        let mut events = within(&self.ctx, &config, SecretMeta::clone);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    let done = matches!(event, Event::InitDone);
                    for name in self.ctx.targets.take_in(event) {
                        self.ctx.nudge(&name);
                    }
                    if done {
                        self.secrets_listed.notify_one();
                    }
                }
                Err(problem) => self.health.wait_for_unless_ready(&format!("Secrets: {problem}")),
            }
        }
    }

    /// Namespaces, for the labels that namespaceSelectors look at.
    pub(super) async fn namespaces(&self, mut writer: Writer<PartialObjectMeta<Namespace>>) {
        if !self.ctx.scope.cluster_providers {
            return nothing(&mut writer).await;
        }
        let watch = |config: watcher::Config| {
            let api: Api<PartialObjectMeta<Namespace>> = Api::all(self.ctx.client.clone());
            watcher(api, config).backoff(Rewatch::default()).boxed()
        };
        let by_name = |name: &String| watch(watcher::Config::default().fields(&format!("metadata.name={name}")));
        let events = match self.ctx.scope.namespaces.as_slice() {
            [] => watch(watcher::Config::default()),
            some => merged(some.iter().map(by_name).collect(), remains).boxed(),
        };
        let changes = events
            .modify(|namespace| {
                namespace.metadata.managed_fields = None;
                namespace.metadata.annotations = None;
            })
            .reflect(writer)
            .touched_objects()
            .predicate_filter(predicates::labels, Default::default());
        let mut changes = changes.boxed();
        while let Some(change) = changes.next().await {
            match change {
                Ok(namespace) => {
                    let name = namespace.name_any();
                    self.wake(|token| {
                        let credentials = token.credentials();
                        credentials.is_some_and(|them| them.provider_ref.is_some())
                            && token.meta().namespace.as_ref() == Some(&name)
                    });
                }
                Err(problem) => self.health.wait_for_unless_ready(&format!("namespaces: {problem}")),
            }
        }
    }

    /// ClusterRealtimeProviders: their own status, and the tokens that refer to them.
    pub(super) async fn providers(
        &self,
        reader: Store<ClusterRealtimeProvider>,
        mut writer: Writer<ClusterRealtimeProvider>,
        changed_credentials: mpsc::UnboundedReceiver<KeyRef>,
    ) {
        if !self.ctx.scope.cluster_providers {
            return nothing(&mut writer).await;
        }
        let api: Api<ClusterRealtimeProvider> = Api::all(self.ctx.client.clone());
        let (ctx, tokens, health) = (Arc::clone(&self.ctx), self.tokens.clone(), Arc::clone(&self.health));
        let changes = watcher(api, watcher::Config::default())
            .backoff(Rewatch::default())
            .modify(|provider| provider.managed_fields_mut().clear())
            .reflect(writer)
            .touched_objects()
            .inspect_err(move |problem| health.wait_for_unless_ready(&format!("ClusterRealtimeProviders: {problem}")))
            .inspect_ok(move |provider| {
                let name = provider.name_any();
                wake(&ctx, &tokens, |token| refers_to(token, &name));
            });
        let all = reader.clone();
        let operator_namespace = self.ctx.operator_namespace.clone();
        let nudges = tokio_stream_of(changed_credentials).flat_map(move |key| {
            let about = all.state_filter(|provider| KeyRef::of_provider(&operator_namespace, provider) == key);
            futures::stream::iter(about.into_iter().map(|provider| ObjectRef::from_obj(&*provider)))
        });
        providers::run(Arc::clone(&self.ctx), reader, changes, nudges).await;
    }

    /// Key Secrets: whoever mints with one of them.
    pub(super) async fn keys(&self, mut changed: mpsc::UnboundedReceiver<Name>) {
        while let Some(secret) = changed.recv().await {
            let of_operator = secret.namespace == self.ctx.operator_namespace;
            let providers = self
                .ctx
                .cluster_providers
                .state_filter(|provider| of_operator && provider.spec.credentials.secret_ref.name == secret.name);
            for provider in &providers {
                let key = KeyRef::of_provider(&self.ctx.operator_namespace, provider);
                self.ctx.budgets.report(&key);
            }
            self.wake(|token| {
                let own = token.credentials().and_then(|them| them.secret_ref.as_ref());
                let own = own.is_some_and(|own| {
                    own.name == secret.name && token.meta().namespace.as_ref() == Some(&secret.namespace)
                });
                own || providers.iter().any(|provider| refers_to(token, &provider.name_any()))
            });
        }
    }

    /// Reconciles the RealtimeTokens whose slot with their credential has come.
    pub(super) async fn slots(&self) {
        loop {
            for name in self.ctx.budgets.next(now).await {
                self.ctx.nudge(&name);
            }
        }
    }

    /// Drops key values and watches that are no longer needed, and verdicts on keys that no ClusterRealtimeProvider
    /// reports.
    pub(super) async fn tidy_keys(&self) {
        let of_provider =
            |provider: &Arc<ClusterRealtimeProvider>| KeyRef::of_provider(&self.ctx.operator_namespace, provider);
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            let reported: HashSet<_> = self.ctx.cluster_providers.state().iter().map(of_provider).collect();
            self.ctx.budgets.retain_verdicts(|key| reported.contains(key));
            self.ctx.credentials.tidy().await;
        }
    }

    /// Lets go of tokens that were stored long enough ago, and of RealtimeTokens that are gone. Waits for no request.
    pub(super) async fn sweep_lifecycles(&self) {
        let exists = |name: &Name| {
            let token = ObjectRef::new(&name.name).within(&name.namespace);
            self.tokens.get(&token).is_some()
        };
        loop {
            tokio::time::sleep(TIDY_EVERY).await;
            self.ctx.lifecycles.sweep(now(), exists);
        }
    }

    fn wake(&self, which: impl Fn(&Cached) -> bool) {
        wake(&self.ctx, &self.tokens, which);
    }
}

fn wake(ctx: &Context, tokens: &Store<Cached>, which: impl Fn(&Cached) -> bool) {
    for token in tokens.state_filter(which) {
        ctx.nudge(&Name::of(&*token));
    }
}

fn refers_to(token: &Cached, provider: &str) -> bool {
    let reference = token.credentials().and_then(|them| them.provider_ref.as_ref());
    reference.is_some_and(|reference| reference.name == provider)
}
