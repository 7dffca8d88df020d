//! What this replica knows of the cluster, by watches of its own, which run whether it leads or not: the RealtimeTokens
//! with `spec.requests`, and what they are resolved with.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::StreamExt;
use jiff::SignedDuration;
use kube::Client;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt, watcher};

use super::pool::{Terms, is_worthwhile};
use crate::api::{RealtimeToken, Requests};
use crate::clock::now;
use crate::cluster::{Cached, Name, Scope, watch};
use crate::health::Health;
use crate::issuer::{Issuer, Resolver, Writers};
use crate::mint::EndpointPolicy;
use crate::resolve::{MetadataPolicy, Resolved};
use crate::token::{Blocked, hash};

pub(super) struct World {
    tokens: Store<Cached>,
    pub(super) resolver: Resolver,
    pub(super) issuer: Arc<Issuer>,
}

/// Where the watches write what they see.
pub(super) struct WorldWriters {
    tokens: Writer<Cached>,
    stores: Writers,
}

/// A RealtimeToken of the cache that has `spec.requests`.
#[derive(Clone)]
pub(super) struct Served(Arc<Cached>);

impl Served {
    /// The spec and its `requests`; `None` if it has none, which the watch leaves out.
    pub(super) fn read(&self) -> Option<(&RealtimeToken, &Requests)> {
        let token = self.0.read().ok()?;
        Some((token, token.spec.requests.as_ref()?))
    }
}

impl World {
    pub(super) fn new(
        issuer: Arc<Issuer>,
        scope: Scope,
        operator_namespace: String,
        endpoints: EndpointPolicy,
        metadata: MetadataPolicy,
    ) -> (Self, WorldWriters) {
        let (tokens, tokens_writer) = reflector::store();
        let (resolver, writers) = Resolver::new(scope, operator_namespace, endpoints, metadata);
        let world = Self {
            tokens,
            resolver,
            issuer,
        };
        let writers = WorldWriters {
            tokens: tokens_writer,
            stores: writers,
        };
        (world, writers)
    }

    /// Waits until every watch has listed once.
    pub(super) async fn listed(&self) {
        // Fails only if a watch has ended, which none does.
        let _ = tokio::try_join!(
            self.tokens.wait_until_ready(),
            self.resolver.cluster_providers.wait_until_ready(),
            self.resolver.namespaces.wait_until_ready(),
        );
    }

    /// Follows the cluster until it is dropped. `changed` gets the name of each RealtimeToken that may have changed.
    pub(super) async fn follow(
        &self,
        client: &Client,
        writers: WorldWriters,
        health: &Arc<Health>,
        changed: impl Fn(&Name),
    ) {
        let scope = &self.resolver.scope;
        let tokens = watch::requested_tokens(client, scope, health)
            .reflect(writers.tokens)
            .touched_objects()
            .for_each(|event| {
                if let Ok(token) = event {
                    changed(&Name::of(&token));
                }
                futures::future::ready(())
            });
        let providers = watch::providers(client, scope, health)
            .reflect(writers.stores.cluster_providers)
            .for_each(|_| {
                self.issuer.follow_rate_limits(&self.resolver);
                futures::future::ready(())
            });
        let namespaces = watch::namespaces(client, scope, health)
            .reflect(writers.stores.namespaces)
            .for_each(|_| futures::future::ready(()));
        tokio::join!(tokens, providers, namespaces);
    }

    /// Without a cluster: takes in the RealtimeToken as it is now.
    pub(super) fn show(writers: &mut WorldWriters, token: RealtimeToken) {
        let event = watcher::Event::Apply(Cached::from(token));
        writers.tokens.apply_watcher_event(&event);
    }

    /// The RealtimeTokens with `spec.requests`.
    pub(super) fn names(&self) -> BTreeSet<Name> {
        self.tokens.state().iter().map(|token| Name::of(&**token)).collect()
    }

    /// A RealtimeToken with `spec.requests` that is not being deleted.
    pub(super) fn find(&self, name: &Name) -> Option<Served> {
        let found = Served(self.tokens.get(&ObjectRef::new(&name.name).within(&name.namespace))?);
        let (token, _) = found.read()?;
        token.metadata.deletion_timestamp.is_none().then_some(found)
    }

    /// What the pool of a RealtimeToken is to hold and what that is minted from; `None` if nothing may be handed out.
    pub(super) async fn terms(&self, name: &Name) -> Option<(Terms, Resolved)> {
        let found = self.find(name)?;
        let (token, requests) = found.read()?;
        if token.spec.suspend || requests.ready <= 0 {
            return None;
        }
        let resolved = self.resolver.resolve_for(token, None, now()).ok()?;
        let terms = self.terms_of(token, requests, &resolved).await.ok()?;
        Some((terms, resolved))
    }

    /// The terms of a pool, or why its credential can't be used; no reason if the API server doesn't say.
    pub(super) async fn terms_of(
        &self,
        token: &RealtimeToken,
        requests: &Requests,
        resolved: &Resolved,
    ) -> Result<Terms, Option<Blocked>> {
        let fields = resolved.ask.block.provider().secret_fields();
        let revision = self.issuer.revision(&resolved.credential, fields).await;
        let gone = |blocked| Some(resolved.without_platform_names(blocked));
        let revision = revision.map_err(|_| None)?.map_err(gone)?;
        let uid = token.metadata.uid.clone().unwrap_or_default();
        let source = format!("{uid}\n{}\n{:?}\n{revision}", resolved.fingerprint, resolved.credential);
        let floor = SignedDuration::from_secs(requests.min_remaining_seconds);
        // Zero where the provider alone knows the life: then the pool finds out.
        let life = Some(resolved.ask.expiration).filter(|life| !life.is_zero());
        let ready = match life.is_none_or(|life| is_worthwhile(life, floor)) {
            true => usize::try_from(requests.ready).unwrap_or(0),
            false => 0,
        };
        Ok(Terms {
            source: hash::short(source.as_bytes()),
            ready,
            floor,
            uid,
        })
    }
}
