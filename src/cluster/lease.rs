//! Reads and writes the Lease by which replicas elect their leader. `leader.rs` decides what to write.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};

use super::{ClusterError, within};

/// For a request by one that doesn't lead, or no longer.
pub(crate) const LEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// One Lease by name. Every write carries the resourceVersion that was read, so that of two claims one gets a 409.
pub struct LeaseLock {
    api: Api<Lease>,
    name: String,
}

impl LeaseLock {
    /// The Lease `name` in `namespace`; it need not exist.
    pub fn new(client: Client, namespace: &str, name: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) async fn read(&self, limit: Duration) -> Result<Option<Lease>, ClusterError> {
        within(limit, self.api.get_opt(&self.name)).await
    }

    /// Acquires or renews the Lease for `seconds`. A [`ClusterError::Conflict`] means that it is no longer as `seen`.
    pub(crate) async fn hold(
        &self,
        seen: Option<Lease>,
        me: &str,
        seconds: i32,
        now: Timestamp,
        limit: Duration,
    ) -> Result<Lease, ClusterError> {
        let exists = seen.is_some();
        let mut lease = seen.unwrap_or_default();
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(me) {
            spec.holder_identity = Some(me.to_owned());
            spec.acquire_time = Some(MicroTime(now));
            let before = spec.lease_transitions.unwrap_or(0);
            spec.lease_transitions = Some(before.saturating_add(i32::from(exists)));
        }
        spec.lease_duration_seconds = Some(seconds);
        spec.renew_time = Some(MicroTime(now));
        if exists {
            return self.replace(&lease, limit).await;
        }
        lease.metadata.name = Some(self.name.clone());
        within(limit, self.api.create(&PostParams::default(), &lease)).await
    }

    /// Clears the holder, so that the next leader need not wait for the end of the Lease.
    pub(crate) async fn release(&self, mut lease: Lease, now: Timestamp) -> Result<(), ClusterError> {
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(now));
        self.replace(&lease, LEASE_TIMEOUT).await.map(|_| ())
    }

    async fn replace(&self, lease: &Lease, limit: Duration) -> Result<Lease, ClusterError> {
        within(limit, self.api.replace(&self.name, &PostParams::default(), lease)).await
    }
}
