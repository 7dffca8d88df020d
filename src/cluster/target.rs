//! The target Secrets: observed as metadata only, written without being read.
//!
//! A Secret that neither the watch nor our own writes have shown is looked up live, and if there is none, again after a
//! while: others may create it, and a watch on our label doesn't show theirs.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::ListParams;
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::target_cache::TargetCache;
use super::watch::Part;
use super::{ClusterError, Name, SecretMeta, bounded, write};
use crate::api::{RealtimeToken, TARGET_TYPE, TargetContent};
use crate::token::secret::annotations::{CONNECTION_MANAGER, MANAGER};
use crate::token::secret::{self, Content, SecretMetadata, SecretView, annotations};

const MERGE_PATCH: &str = "application/merge-patch+json";
const APPLY_PATCH: &str = "application/apply-patch+yaml"; // JSON is YAML

pub(crate) struct Targets {
    client: Client,
    cache: TargetCache,
}

impl Targets {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            cache: TargetCache::default(),
        }
    }

    /// A Secret as last seen or written, looked up live if it is neither.
    pub(crate) async fn observe(&self, name: &Name) -> Result<Option<Arc<SecretView>>, ClusterError> {
        if let Some(known) = self.cache.get(name) {
            return Ok(Some(known));
        }
        if self.cache.is_absent(name) {
            return Ok(None);
        }
        let api: Api<SecretMeta> = Api::namespaced(self.client.clone(), &name.namespace);
        let asked = Instant::now();
        let found = bounded(api.get_opt(&name.name)).await?;
        if found.is_none() {
            self.cache.note_absent(name, asked);
        }
        Ok(found.map(|secret| secret.view))
    }

    /// Whether the RealtimeToken of a Secret is there and is to stay, as the API server itself says: a watch may not have
    /// shown its deletion yet. Asked as a list of one, since `list` is what the operator may do with RealtimeTokens.
    pub(crate) async fn owner_exists(&self, owner: &Name, uid: &str) -> Result<bool, ClusterError> {
        let api: Api<RealtimeToken> = Api::namespaced(self.client.clone(), &owner.namespace);
        let one = ListParams::default().fields(&format!("metadata.name={}", owner.name));
        let found = bounded(api.list_metadata(&one)).await?;
        let is_owner = |meta: &ObjectMeta| meta.uid.as_deref() == Some(uid) && meta.deletion_timestamp.is_none();
        Ok(found.items.iter().any(|object| is_owner(&object.metadata)))
    }

    /// Creates the Secret. A [`ClusterError::Conflict`] means that it exists by now.
    pub(crate) async fn create(
        &self,
        name: &Name,
        content: Content,
        desired: &SecretMetadata,
        owner: Option<OwnerReference>,
    ) -> Result<Arc<SecretView>, ClusterError> {
        let mut all = content.annotations;
        all.extend(desired.all_annotations());
        let mut data = content.data;
        data.extend(desired.connection.clone());
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.name.clone()),
                namespace: Some(name.namespace.clone()),
                labels: Some(desired.labels.clone()),
                annotations: Some(all),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            data: Some(data),
            type_: Some(TARGET_TYPE.to_owned()),
            ..Secret::default()
        };
        self.write(name, http::Method::POST, "application/json", "?", MANAGER, &secret)
            .await
    }

    /// Replaces the token and its annotations. A [`ClusterError::Conflict`] or [`ClusterError::NotFound`] means that the
    /// Secret is no longer as it was seen.
    pub(crate) async fn update(
        &self,
        name: &Name,
        seen: &SecretView,
        content: Content,
    ) -> Result<Arc<SecretView>, ClusterError> {
        let taken_over = match seen.lacks_ownership(content.data.keys()) {
            true => Some(self.take_over(name, seen, &content).await?),
            false => None,
        };
        let seen = taken_over.as_deref().unwrap_or(seen);
        let sometimes = [
            annotations::RENEW_REQUEST,
            annotations::FURTHER_KEYS,
            annotations::CONTENT,
        ]
        .map(str::to_owned);
        let data = replacing(seen.stale_keys(&content.data), &content.data);
        let annotations = replacing(sometimes, &content.annotations);
        let patch = json!({"metadata": precondition(seen, json!({"annotations": annotations})), "data": data});
        self.patch(name, MERGE_PATCH, "", &patch).await
    }

    /// Makes keys ours that are not: in a Secret restored from a backup, or edited. A merge patch that leaves a value as
    /// it is does not, and the key would count as edited for ever; a forced apply does.
    async fn take_over(
        &self,
        name: &Name,
        seen: &SecretView,
        content: &Content,
    ) -> Result<Arc<SecretView>, ClusterError> {
        let metadata = precondition(seen, json!({"name": name.name, "annotations": content.annotations}));
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": content.data});
        self.patch(name, APPLY_PATCH, "force=true&", &secret).await
    }

    /// Brings labels, annotations, owner and connection up to date. A token stays as it is, unless the Secret is to hold
    /// none. Errors are those of [`Self::update`].
    pub(crate) async fn relabel(
        &self,
        name: &Name,
        seen: &SecretView,
        desired: &SecretMetadata,
        renewal_time: Option<String>,
        owner: Option<OwnerReference>,
    ) -> Result<Arc<SecretView>, ClusterError> {
        // Only managedFields say what a former template put there, and the cache does not keep them.
        let live = self.get(name).await?.ok_or(ClusterError::NotFound)?;
        let mut annotations = desired.all_annotations();
        annotations.extend(renewal_time.map(|time| (annotations::RENEWAL_TIME.to_owned(), time)));
        let labels = replacing(secret::owned_metadata(&live, "f:labels"), &desired.labels);
        let mut former = secret::owned_metadata(&live, "f:annotations");
        former.retain(|key| !key.starts_with("realtime-token.dev/")); // these are of the token
        match desired.content {
            TargetContent::Token => former.push(annotations::CONTENT.to_owned()),
            TargetContent::Connection => former.extend(annotations::OF_TOKEN.map(str::to_owned)),
        }
        let annotations = replacing(former, &annotations);
        let owners = secret::owners(live.owner_references.as_deref().unwrap_or_default(), owner);
        let changes = json!({"labels": labels, "annotations": annotations, "ownerReferences": owners});
        let mut patch = json!({"metadata": precondition(seen, changes)});
        let obsolete = seen.obsolete_keys(desired.content, &desired.connection);
        let data = replacing(obsolete, &desired.connection);
        if !data.is_empty() {
            patch["data"] = Value::Object(data);
        }
        let written = self.patch(name, MERGE_PATCH, "", &patch).await?;
        if written.lacks_ownership(desired.connection.keys()) {
            return self.take_over_connection(name, &written, desired).await;
        }
        Ok(written)
    }

    /// Makes keys of the connection ours that the patch left to another writer or to none, as [`Self::take_over`] does
    /// with a token's. Only now is it known that they were there before: those that are new are ours.
    async fn take_over_connection(
        &self,
        name: &Name,
        seen: &SecretView,
        desired: &SecretMetadata,
    ) -> Result<Arc<SecretView>, ClusterError> {
        let metadata = precondition(seen, json!({"name": name.name}));
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": desired.connection});
        let rest = format!("/{}?force=true&", name.name);
        let method = http::Method::PATCH;
        self.write(name, method, APPLY_PATCH, &rest, CONNECTION_MANAGER, &secret)
            .await
    }

    /// Applies an event of the watch on the operator's Secrets in `part`. Returns the RealtimeTokens whose Secret is now
    /// another than our own last write.
    pub(crate) fn apply_event(&self, part: &Part, event: Event<SecretMeta>) -> Vec<Name> {
        self.cache.apply_event(part, event)
    }

    async fn get(&self, name: &Name) -> Result<Option<ObjectMeta>, ClusterError> {
        let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(self.client.clone(), &name.namespace);
        Ok(bounded(api.get_opt(&name.name)).await?.map(|secret| secret.metadata))
    }

    async fn patch(
        &self,
        name: &Name,
        content_type: &'static str,
        query: &str,
        patch: &Value,
    ) -> Result<Arc<SecretView>, ClusterError> {
        let rest = format!("/{}?{query}", name.name);
        self.write(name, http::Method::PATCH, content_type, &rest, MANAGER, patch)
            .await
    }

    /// `rest` is what follows the collection in the path, up to the field manager.
    async fn write(
        &self,
        name: &Name,
        method: http::Method,
        content_type: &'static str,
        rest: &str,
        manager: &str,
        body: &impl Serialize,
    ) -> Result<Arc<SecretView>, ClusterError> {
        let path = format!(
            "/api/v1/namespaces/{}/secrets{rest}fieldManager={manager}",
            name.namespace
        );
        // Maps with string keys: serde_json can't fail on them.
        let body = serde_json::to_vec(body).unwrap_or_default();
        match write::<SecretMeta>(&self.client, method, path, content_type, body).await {
            Ok(secret) => {
                self.cache.insert_written(name, &secret.view);
                Ok(secret.view)
            }
            Err(error) => {
                // What is known may be wrong now: a write without an answer may have been applied. A refused one wasn't.
                if !matches!(error, ClusterError::Refused { .. }) {
                    self.cache.forget(name);
                }
                Err(error)
            }
        }
    }
}

/// For a merge patch: the new members, and null for the former ones that are not among them.
fn replacing<V: Serialize>(former: impl IntoIterator<Item = String>, new: &BTreeMap<String, V>) -> Map<String, Value> {
    let former = former.into_iter().map(|key| (key, Value::Null));
    former
        .chain(new.iter().map(|(key, value)| (key.clone(), json!(value))))
        .collect()
}

/// Has the API server refuse the write with 409 if the Secret is no longer as it was seen.
fn precondition(seen: &SecretView, mut changes: Value) -> Value {
    changes["uid"] = json!(seen.uid());
    changes["resourceVersion"] = json!(seen.resource_version());
    changes
}

#[cfg(test)]
mod tests;
