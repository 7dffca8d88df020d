//! Which of our kinds the API server serves.

use kube::Client;

use super::{ClusterError, bounded};
use crate::api::GROUP;

/// The plurals served in our group and version; none if the group isn't known.
///
/// # Errors
/// The API server can't be asked.
pub async fn kinds(client: &Client) -> Result<Vec<String>, ClusterError> {
    let version = format!("{GROUP}/v1alpha1");
    match bounded(client.list_api_group_resources(&version)).await {
        Ok(list) => Ok(list.resources.into_iter().map(|kind| kind.name).collect()),
        // Of a group that nobody has registered the API server says so in plain text, without a reason.
        Err(ClusterError::NotFound | ClusterError::Refused { code: 404, .. }) => Ok(Vec::new()),
        Err(problem) => Err(problem),
    }
}
