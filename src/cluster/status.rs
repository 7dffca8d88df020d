//! Writes of a status, as merge patches: a field of the prior status that the new one lacks is set to null.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{ClusterError, Name, write};
use crate::api::GROUP;
use crate::token::report::summary;
use crate::token::secret::annotations::MANAGER;

/// Writes the status of a RealtimeToken. Returns its new resourceVersion.
pub(crate) async fn of_token<S: Serialize>(
    client: &Client,
    name: &Name,
    prior: &S,
    new: &S,
) -> Result<String, ClusterError> {
    let path = format!(
        "/apis/{GROUP}/v1alpha1/namespaces/{}/realtimetokens/{}/status?fieldManager={MANAGER}",
        name.namespace, name.name
    );
    patch(client, path, prior, new).await
}

/// Writes the status of a ClusterRealtimeProvider. Returns its new resourceVersion.
pub(crate) async fn of_provider<S: Serialize>(
    client: &Client,
    name: &str,
    prior: &S,
    new: &S,
) -> Result<String, ClusterError> {
    let path = format!("/apis/{GROUP}/v1alpha1/clusterrealtimeproviders/{name}/status?fieldManager={MANAGER}");
    patch(client, path, prior, new).await
}

/// Writes the conditions of a RealtimeToken that can't be parsed, and their summary; the rest of its status stays.
pub(crate) async fn of_unreadable(
    client: &Client,
    name: &Name,
    generation: Option<i64>,
    conditions: &[Condition],
) -> Result<(), ClusterError> {
    let nothing = json!({});
    let (reason, message) = summary(conditions);
    let new = json!({
        "observedGeneration": generation, "reason": reason, "message": message, "conditions": conditions,
    });
    of_token(client, name, &nothing, &new).await.map(|_| ())
}

#[derive(Deserialize)]
struct Written {
    metadata: Version,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Version {
    resource_version: String,
}

async fn patch<S: Serialize>(client: &Client, path: String, prior: &S, new: &S) -> Result<String, ClusterError> {
    // Statuses are maps with string keys: serde_json can't fail on them.
    let (prior, mut new) = (json!(prior), json!(new));
    if let (Value::Object(prior), Value::Object(new)) = (&prior, &mut new) {
        for key in prior.keys() {
            new.entry(key.clone()).or_insert(Value::Null);
        }
    }
    let body = json!({"status": new}).to_string().into_bytes();
    let written: Written = write(client, http::Method::PATCH, path, "application/merge-patch+json", body).await?;
    Ok(written.metadata.resource_version)
}

#[cfg(test)]
mod tests;
