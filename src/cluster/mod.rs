//! Everything that talks to the Kubernetes API: watches, reads and writes. Nothing else uses the API client.
//!
//! Requests are not retried here and come back as a [`ClusterError`] that says what helps. Target Secrets are seen as
//! metadata only; key Secrets alone are read with their data.

mod address;
mod cached;
pub(crate) mod certificate_secret;
pub mod client;
mod connections;
pub(crate) mod credentials;
mod error;
pub(crate) mod events;
pub(crate) mod inspect;
mod kubeconfig;
pub mod lease;
mod merged;
mod missing_key;
pub mod preflight;
mod proxy;
mod refusal;
pub(crate) mod remedy;
pub(crate) mod retry_after;
pub(crate) mod review;
mod secret_meta;
pub(crate) mod served;
pub(crate) mod service_account;
pub(crate) mod status;
pub(crate) mod target;
mod target_cache;
pub(crate) mod watch;

pub use self::address::Address;
pub(crate) use self::cached::{Cached, Unreadable};
pub(crate) use self::error::ClusterError;
pub(crate) use self::proxy::is_this_machine;
pub use self::refusal::Refusal;
pub(crate) use self::secret_meta::{SecretMeta, SecretVersion};
pub use self::watch::Scope;

use std::time::Duration;

use http::header::{ACCEPT, CONTENT_TYPE};
use kube::Client;
use serde::de::DeserializeOwned;

/// From sending a request to the head of its answer. Watches answer at once and then stream without this limit.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest that one request may take, body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Has the API server answer a write with the object's metadata instead of the whole object.
const METADATA_ONLY: &str = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
/// Namespace and name of an object.
pub struct Name {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl Name {
    pub(crate) fn of(object: &impl kube::ResourceExt) -> Self {
        Self::new(object.namespace().unwrap_or_default(), object.name_any())
    }

    pub(crate) fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

async fn bounded<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
    within(REQUEST_TIMEOUT, request).await
}

async fn within<T>(limit: Duration, request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, ClusterError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(ClusterError::from),
        Err(_) => Err(ClusterError::Timeout(limit)),
    }
}

/// Sends a write whose body kube's typed calls would print in debug logs. Only metadata comes back.
async fn write<T: DeserializeOwned>(
    client: &Client,
    method: http::Method,
    path: String,
    content_type: &'static str,
    body: Vec<u8>,
) -> Result<T, ClusterError> {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(CONTENT_TYPE, content_type)
        .header(ACCEPT, METADATA_ONLY)
        .body(body)
        .map_err(|problem| ClusterError::from(kube::Error::HttpError(problem)))?;
    bounded(client.request(request)).await
}
