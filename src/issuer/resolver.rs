//! What a RealtimeToken is resolved with: ClusterRealtimeProviders and namespaces as the watches show them, and what this
//! installation serves. Controller and requests have one each, over watches of their own.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use kube::core::PartialObjectMeta;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, ObjectRef, Store};

use super::terminating::Terminating;
use crate::api::{ClusterRealtimeProvider, RateLimit, RealtimeToken, Reason};
use crate::cluster::Scope;
use crate::mint::EndpointPolicy;
use crate::resolve::{
    CredentialRef, MetadataPolicy, ResolveContext, Resolved, rate_limits, resolve_for, unknown_overridable,
};
use crate::token::Blocked;

pub(crate) struct Resolver {
    pub(crate) cluster_providers: Store<ClusterRealtimeProvider>,
    /// All namespaces, for their labels.
    pub(crate) namespaces: Store<PartialObjectMeta<Namespace>>,
    pub(crate) scope: Scope,
    /// Where ClusterRealtimeProviders' keys live.
    pub(crate) operator_namespace: String,
    pub(crate) endpoints: EndpointPolicy,
    /// Which labels and annotations Secrets may be given.
    pub(crate) metadata: MetadataPolicy,
    /// Namespaces that a refused write has shown to be under deletion, where they can't be watched.
    pub(crate) terminating: Terminating,
}

/// Where the watches write what they see.
pub(crate) struct Writers {
    pub(crate) cluster_providers: Writer<ClusterRealtimeProvider>,
    pub(crate) namespaces: Writer<PartialObjectMeta<Namespace>>,
}

impl Resolver {
    pub(crate) fn new(
        scope: Scope,
        operator_namespace: String,
        endpoints: EndpointPolicy,
        metadata: MetadataPolicy,
    ) -> (Self, Writers) {
        let (cluster_providers, providers_writer) = reflector::store();
        let (namespaces, namespaces_writer) = reflector::store();
        let resolver = Self {
            cluster_providers,
            namespaces,
            scope,
            operator_namespace,
            endpoints,
            metadata,
            terminating: Terminating::default(),
        };
        let writers = Writers {
            cluster_providers: providers_writer,
            namespaces: namespaces_writer,
        };
        (resolver, writers)
    }

    /// The configured rate of each credential.
    pub(crate) fn rate_limits(&self) -> HashMap<CredentialRef, RateLimit> {
        let providers = self.cluster_providers.state();
        rate_limits(providers.iter().map(|provider| &**provider), &self.operator_namespace)
    }

    /// What to ask of whom with which key, or what stands in the way.
    pub(crate) fn resolve(&self, token: &RealtimeToken, now: Timestamp) -> Result<Resolved, Blocked> {
        self.resolve_as(token, None, now)
    }

    /// The same for a request, whose caller may name a subject. A mistake in `spec.requests` stops requests only.
    pub(crate) fn resolve_for(
        &self,
        token: &RealtimeToken,
        subject: Option<&str>,
        now: Timestamp,
    ) -> Result<Resolved, Blocked> {
        if let Some(problem) = unknown_overridable(&token.spec) {
            return Err(Blocked::new(Reason::InvalidSpec, problem));
        }
        self.resolve_as(token, subject, now)
    }

    fn resolve_as(&self, token: &RealtimeToken, subject: Option<&str>, now: Timestamp) -> Result<Resolved, Blocked> {
        let reference = token.spec.credentials.provider_ref.as_ref();
        if reference.is_some() && !self.scope.cluster_providers {
            return Err(Blocked::new(
                Reason::ProviderNotFound,
                "the operator of this namespace serves no ClusterRealtimeProviders (--no-cluster-providers); use \
                 credentials.secretRef",
            ));
        }
        let name = token.namespace().unwrap_or_default();
        let namespace = self.namespaces.get(&ObjectRef::new(&name));
        let deleted = namespace
            .as_ref()
            .and_then(|found| found.metadata.deletion_timestamp.as_ref());
        if deleted.is_some() || self.terminating.contains(&name, now) {
            return Err(Blocked::new(
                Reason::NamespaceTerminating,
                "the namespace is being deleted: nothing is minted for it any more",
            ));
        }
        let provider = reference.and_then(|reference| self.cluster_providers.get(&ObjectRef::new(&reference.name)));
        let labels = namespace.as_deref().and_then(|found| found.metadata.labels.as_ref());
        resolve_for(
            token,
            subject,
            &ResolveContext {
                provider: provider.as_deref(),
                namespace_labels: labels.unwrap_or(&BTreeMap::new()),
                operator_namespace: &self.operator_namespace,
                endpoints: &self.endpoints,
                metadata: &self.metadata,
            },
        )
    }
}
