//! What each watched change wakes: RealtimeTokens, and the status of ClusterRealtimeProviders.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::ready;
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Namespace;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::reflector::store::{Writer, WriterDropped};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, predicates};
use kube::{Resource, ResourceExt};
use tokio::sync::{Notify, mpsc};

use super::context::Context;
use super::lifecycles::Lifecycles;
use super::{providers, tokio_stream_of};
use crate::api::{ClusterRealtimeProvider, Credentials};
use crate::clock::now;
use crate::cluster::{Cached, Name, watch};
use crate::health::Health;
use crate::issuer::Resolver;
use crate::resolve::{CredentialRef, is_requested_with};

/// The distance of two Secrets that are written for a new CA: 10,000 take less than four minutes.
const CONNECTION_PACE: Duration = Duration::from_millis(20);

/// What runs beside the reconciles of RealtimeTokens and wakes them.
pub(super) struct Wake {
    pub(super) ctx: Arc<Context>,
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
    watch::tokens(&ctx.client, &ctx.resolver.scope, &health)
        .inspect(move |event| match event {
            Ok(Event::Delete(token)) => ctx.forget(&Name::of(token)),
            Ok(Event::InitDone) => health.wait_for(None),
            _ => {}
        })
        .reflect(writer)
        .try_filter_map(move |event| ready(Ok(without_own_echo(event, &echoes.lifecycles))))
}

/// The RealtimeToken to reconcile after an event: none after the echo of our own status write.
fn without_own_echo(event: Event<Cached>, lifecycles: &Lifecycles) -> Option<Cached> {
    match event {
        Event::Apply(token) | Event::InitApply(token) => (!lifecycles.take_echo(&token)).then_some(token),
        Event::Delete(token) => Some(token),
        Event::Init | Event::InitDone => None,
    }
}

impl Wake {
    /// Resolves once Secrets, namespaces and ClusterRealtimeProviders have been listed: without them a RealtimeToken can't
    /// be judged.
    pub(super) async fn listed(&self) -> Result<(), WriterDropped> {
        self.ctx.resolver.namespaces.wait_until_ready().await?;
        self.ctx.resolver.cluster_providers.wait_until_ready().await?;
        self.secrets_listed.notified().await;
        Ok(())
    }

    /// Target Secrets wake their RealtimeToken, unless the change is our own write.
    pub(super) async fn secrets(&self) {
        let scope = &self.ctx.resolver.scope;
        let mut events = watch::target_secrets(&self.ctx.client, scope, &self.health);
        let mut unlisted = scope.parts();
        while let Some((part, event)) = events.next().await {
            let Ok(event) = event else {
                continue; // it is tried again
            };
            let listed = matches!(event, Event::InitDone) && unlisted.remove(&part);
            for name in self.ctx.targets.apply_event(&part, event) {
                self.ctx.nudge(&name);
            }
            if listed && unlisted.is_empty() {
                self.secrets_listed.notify_one();
            }
        }
    }

    /// Namespaces whose labels changed wake their RealtimeTokens that refer to a ClusterRealtimeProvider.
    pub(super) async fn namespaces(&self, writer: Writer<PartialObjectMeta<Namespace>>) {
        let changes = watch::namespaces(&self.ctx.client, &self.ctx.resolver.scope, &self.health)
            .reflect(writer)
            .touched_objects()
            .predicate_filter(predicates::labels, Default::default());
        let mut changes = changes.boxed();
        while let Some(change) = changes.next().await {
            let Ok(namespace) = change else {
                continue; // it is tried again
            };
            let name = namespace.name_any();
            wake(&self.ctx, |token| {
                let credentials = credentials(token);
                credentials.is_some_and(|credentials| credentials.provider_ref.is_some())
                    && token.meta().namespace.as_ref() == Some(&name)
            });
        }
    }

    /// ClusterRealtimeProviders wake the RealtimeTokens that refer to them. Runs the reconciles of their own status.
    pub(super) async fn providers(
        &self,
        writer: Writer<ClusterRealtimeProvider>,
        changed_credentials: mpsc::UnboundedReceiver<CredentialRef>,
    ) {
        let follow_rate_limits = {
            let ctx = Arc::clone(&self.ctx);
            move || ctx.issuer.follow_rate_limits(&ctx.resolver)
        };
        let wake_users_of = {
            let ctx = Arc::clone(&self.ctx);
            move |provider: &str| wake(&ctx, |token| refers_to(token, provider))
        };
        let wake_requested_with = {
            let ctx = Arc::clone(&self.ctx);
            move |key: &CredentialRef| wake(&ctx, |token| may_be_requested_with(key, token, &ctx.resolver))
        };
        let changes = watch::providers(&self.ctx.client, &self.ctx.resolver.scope, &self.health)
            .reflect(writer)
            .inspect(move |_| follow_rate_limits())
            .touched_objects()
            .inspect_ok(move |provider| wake_users_of(&provider.name_any()));
        let reader = self.ctx.resolver.cluster_providers.clone();
        let all = reader.clone();
        let operator_namespace = self.ctx.resolver.operator_namespace.clone();
        let nudges = tokio_stream_of(changed_credentials).flat_map(move |key| {
            wake_requested_with(&key);
            let is_its = |provider: &ClusterRealtimeProvider| {
                CredentialRef::of_provider(&operator_namespace, provider).as_ref() == Some(&key)
            };
            let about = all.state_filter(is_its);
            futures::stream::iter(about.into_iter().map(|provider| ObjectRef::from_obj(&*provider)))
        });
        providers::run(Arc::clone(&self.ctx), reader, changes, nudges, &self.health).await;
    }

    /// Key Secrets wake the RealtimeTokens and ClusterRealtimeProviders that use them. However many have changed, or one how
    /// often, all RealtimeTokens are looked through once.
    pub(super) async fn keys(&self, mut changed: mpsc::UnboundedReceiver<Name>) {
        let operator_namespace = &self.ctx.resolver.operator_namespace;
        let mut names = Vec::new();
        while changed.recv_many(&mut names, usize::MAX).await > 0 {
            let secrets: HashSet<Name> = names.drain(..).collect();
            let is_changed = |namespace: &str, reference: &str| secrets.contains(&Name::new(namespace, reference));
            let providers = self.ctx.resolver.cluster_providers.state_filter(|provider| {
                let reference = provider.spec.credentials.secret_ref.as_ref();
                reference.is_some_and(|reference| is_changed(operator_namespace, &reference.name))
            });
            let keys = providers.iter();
            for key in keys.filter_map(|provider| CredentialRef::of_provider(operator_namespace, provider)) {
                self.ctx.issuer.budgets.report(&key);
            }
            wake(&self.ctx, |token| {
                let own = credentials(token).and_then(|credentials| credentials.secret_ref.as_ref());
                let namespace = token.meta().namespace.as_deref().unwrap_or_default();
                own.is_some_and(|own| is_changed(namespace, &own.name))
                    || providers.iter().any(|provider| refers_to(token, &provider.name_any()))
            });
            tokio::task::yield_now().await;
        }
    }

    /// A new CA, or the first one, wakes the RealtimeTokens that tokens are requested of, at a bounded pace: the Secrets of
    /// all of them are to be written, and old and new CA are trusted meanwhile.
    pub(super) async fn connection(&self) {
        let Some(mut connection) = self.ctx.connection.clone() else {
            return;
        };
        while connection.changed().await.is_ok() {
            let is_served = |token: &Cached| token.read().is_ok_and(|token| token.spec.requests.is_some());
            for token in self.ctx.tokens.state_filter(is_served) {
                self.ctx.nudge(&Name::of(&*token));
                tokio::time::sleep(CONNECTION_PACE).await;
            }
        }
    }

    /// Reconciles the RealtimeTokens whose slot with their credential has come.
    pub(super) async fn slots(&self) {
        loop {
            for name in self.ctx.issuer.budgets.next(now).await {
                self.ctx.lifecycles.slot_came(&name, now());
                self.ctx.nudge(&name);
            }
        }
    }
}

fn wake(ctx: &Context, which: impl Fn(&Cached) -> bool) {
    for token in ctx.tokens.state_filter(which) {
        ctx.nudge(&Name::of(&*token));
    }
}

fn refers_to(token: &Cached, provider: &str) -> bool {
    let reference = credentials(token).and_then(|credentials| credentials.provider_ref.as_ref());
    reference.is_some_and(|reference| reference.name == provider)
}

/// Whether tokens of this RealtimeToken may be requested, and minted with this credential then: the condition Serving
/// says how that goes.
fn may_be_requested_with(key: &CredentialRef, token: &Cached, resolver: &Resolver) -> bool {
    token.read().is_ok_and(|token| {
        let reference = token.spec.credentials.provider_ref.as_ref();
        let provider = reference.and_then(|it| resolver.cluster_providers.get(&ObjectRef::new(&it.name)));
        is_requested_with(key, token, provider.as_deref(), &resolver.operator_namespace)
    })
}

/// None if the object can't be parsed.
fn credentials(token: &Cached) -> Option<&Credentials> {
    token.read().ok().map(|token| &token.spec.credentials)
}
