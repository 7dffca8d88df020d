//! Stand-ins for the two things the operator talks to, for tests in one process: the Kubernetes API and the providers.
//! Beside them, what the models of the pure parts share.
//!
//! [`FakeApi`] keeps RealtimeTokens, ClusterRealtimeProviders, Secrets, Namespaces, ServiceAccounts, Events and Leases in
//! memory and answers a [`kube::Client`] without a socket or a thread, so that it works under tokio's paused time.
//!
//! It promises what the operator relies on: one growing resourceVersion; a new generation for a new spec only; writes
//! that change nothing make no new version; uid and resourceVersion of a write are preconditions (409); the status is
//! written through its subresource alone; metadata-only answers; `managedFields` of Secrets, where a key belongs to the
//! manager that last changed its value; watches from a resourceVersion, with label and name selectors; the bodies of
//! refusals. Tests can make a chosen request fail, hold back or break watches, and refuse writes as admission would.
//!
//! Reviews of bearer tokens and of rights are answered from what tests say of them.
//!
//! It does not know CRD schemas, defaults, CEL, RBAC, server-side apply, pages of a list, bookmarks, garbage collection
//! of owned objects, or whether a namespace exists. The real API server's tests are in `tests/operator`.

mod api;
mod faults;
mod field_managers;
mod models;
mod objects;
mod provider;
mod request;
mod reviews;

pub(crate) use self::api::{FakeApi, USER};
pub(crate) use self::faults::Fault;
pub(crate) use self::models::explore;
pub(crate) use self::objects::Backup;
pub(crate) use self::provider::{FakeProvider, MintFault};
pub(crate) use self::request::Request;

use std::sync::Arc;

use kube::Client;

use crate::cluster::Scope;
use crate::health::Health;
use crate::issuer::{self, Issuer};
use crate::metrics::Metrics;

impl Issuer {
    /// Asks this provider with keys of this API, at most four times at once for each.
    pub(crate) fn with_fakes(api: &FakeApi, provider: &FakeProvider) -> Arc<Self> {
        let metrics = Arc::new(Metrics::new(true));
        Self::of_process(api.client(), provider, &metrics, &Arc::default())
    }

    /// The same, of a process with these metrics and probes.
    pub(crate) fn of_process(
        client: Client,
        provider: &FakeProvider,
        metrics: &Arc<Metrics>,
        health: &Arc<Health>,
    ) -> Arc<Self> {
        Arc::new(Self::new(issuer::Options {
            client,
            providers: Arc::new(provider.clone()),
            mints_per_credential: 4,
            scope: Scope {
                namespaces: Vec::new(),
                cluster_providers: true,
            },
            operator_namespace: "operator".to_owned(),
            health: Arc::clone(health),
            metrics: Arc::clone(metrics),
        }))
    }
}

#[cfg(test)]
mod tests;
