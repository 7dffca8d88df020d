//! Which of the operator's kinds the API server serves.

use kube::Client;

use super::{ClusterError, bounded};
use crate::api::GROUP;

/// The plurals served in the operator's group and version; none if the group isn't known.
pub(crate) async fn kinds(client: &Client) -> Result<Vec<String>, ClusterError> {
    let version = format!("{GROUP}/v1alpha1");
    match bounded(client.list_api_group_resources(&version)).await {
        Ok(list) => Ok(list.resources.into_iter().map(|kind| kind.name).collect()),
        // The API server answers for an unknown group in plain text, without a reason.
        Err(ClusterError::NotFound | ClusterError::Refused { code: 404, .. }) => Ok(Vec::new()),
        Err(problem) => Err(problem),
    }
}
