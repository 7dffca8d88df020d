//! The Lease that replicas elect their leader by.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};

use super::ClusterError;

/// A Lease that can't be reached must be noticed well before it runs out.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// One Lease by name. Every write carries the version that was read: of two claims one gets a 409.
pub struct LeaseLock {
    api: Api<Lease>,
    name: String,
}

impl LeaseLock {
    /// The Lease `name` in the operator's own namespace; it need not exist.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: String) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The Lease as it is, if there is one.
    ///
    /// # Errors
    /// The read failed.
    pub async fn read(&self) -> Result<Option<Lease>, ClusterError> {
        within(self.api.get_opt(&self.name)).await
    }

    /// Takes the Lease, or keeps it, for so many seconds.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] if somebody else wrote meanwhile.
    pub async fn hold(
        &self,
        seen: Option<Lease>,
        me: &str,
        seconds: i32,
        now: Timestamp,
    ) -> Result<Lease, ClusterError> {
        let Some(mut lease) = seen else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.name.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(LeaseSpec {
                    holder_identity: Some(me.to_owned()),
                    lease_duration_seconds: Some(seconds),
                    acquire_time: Some(MicroTime(now)),
                    renew_time: Some(MicroTime(now)),
                    lease_transitions: Some(0),
                    ..LeaseSpec::default()
                }),
            };
            return within(self.api.create(&PostParams::default(), &lease)).await;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() != Some(me) {
            spec.holder_identity = Some(me.to_owned());
            spec.acquire_time = Some(MicroTime(now));
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        }
        spec.lease_duration_seconds = Some(seconds);
        spec.renew_time = Some(MicroTime(now));
        self.replace(&lease).await
    }

    /// Gives the Lease up, so that nobody has to wait for its end.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] if somebody else wrote meanwhile.
    pub async fn release(&self, mut lease: Lease, now: Timestamp) -> Result<(), ClusterError> {
        let spec = lease.spec.get_or_insert_default();
        spec.holder_identity = Some(String::new());
        spec.lease_duration_seconds = Some(1);
        spec.renew_time = Some(MicroTime(now));
        self.replace(&lease).await.map(|_| ())
    }

    async fn replace(&self, lease: &Lease) -> Result<Lease, ClusterError> {
        within(self.api.replace(&self.name, &PostParams::default(), lease)).await
    }
}

async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(ClusterError::from),
        Err(_) => Err(ClusterError::Timeout(REQUEST_TIMEOUT)),
    }
}
