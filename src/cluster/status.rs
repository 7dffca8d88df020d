//! Status writes, as merge patches that name what disappears.

use kube::Client;
use serde::Serialize;
use serde_json::{Value, json};

use super::{ClusterError, Name, write};
use crate::token::metadata::MANAGER;

/// Writes the status of a RealtimeToken. Returns the resourceVersion it has now.
///
/// # Errors
/// The write failed.
pub async fn of_token<S: Serialize>(
    client: &Client,
    name: &Name,
    prior: &S,
    new: &S,
) -> Result<String, ClusterError> {
    let path = format!(
        "/apis/realtime-token.dev/v1alpha1/namespaces/{}/realtimetokens/{}/status?fieldManager={MANAGER}",
        name.namespace, name.name
    );
    patch(client, path, prior, new).await
}

/// Writes the status of a ClusterRealtimeProvider. Returns the resourceVersion it has now.
///
/// # Errors
/// The write failed.
pub async fn of_provider<S: Serialize>(
    client: &Client,
    name: &str,
    prior: &S,
    new: &S,
) -> Result<String, ClusterError> {
    let path = format!(
        "/apis/realtime-token.dev/v1alpha1/clusterrealtimeproviders/{name}/status?fieldManager={MANAGER}"
    );
    patch(client, path, prior, new).await
}

async fn patch<S: Serialize>(
    client: &Client,
    path: String,
    prior: &S,
    new: &S,
) -> Result<String, ClusterError> {
    // Statuses are maps with string keys: serde_json can't fail on them.
    let (prior, mut new) = (json!(prior), json!(new));
    if let (Value::Object(prior), Value::Object(new)) = (&prior, &mut new) {
        for key in prior.keys() {
            new.entry(key.clone()).or_insert(Value::Null);
        }
    }
    let body = json!({"status": new}).to_string().into_bytes();
    let written = write(
        client,
        http::Method::PATCH,
        path,
        "application/merge-patch+json",
        body,
    )
    .await?;
    Ok(written.metadata.resource_version.unwrap_or_default())
}
