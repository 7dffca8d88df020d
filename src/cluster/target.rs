//! The target Secrets: observed as metadata only, written without being read.
//!
//! What the watch shows is overlaid with our own writes, the newer resourceVersion winning, so that a decision never
//! rests on a state older than our last write. A Secret that is in neither is looked up once, live.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher::Event;
use kube::{Api, Client, Resource};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::{ClusterError, Name, at_least_as_new, bounded, write};
use crate::token::secret::{self, Content, SecretMetadata, SecretView, annotations};

const MERGE_PATCH: &str = "application/merge-patch+json";

/// A Secret, asked for and read as metadata only, and of that only what decisions need.
#[derive(Clone, Debug)]
pub struct SecretMeta {
    meta: ObjectMeta,
    view: Arc<SecretView>,
}

impl SecretMeta {
    fn name(&self) -> Name {
        let ObjectMeta { namespace, name, .. } = &self.meta;
        Name::new(namespace.clone().unwrap_or_default(), name.clone().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for SecretMeta {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            metadata: secret::Meta,
        }
        let seen = Object::deserialize(deserializer)?.metadata;
        let view = Arc::new(SecretView::from(&seen));
        let meta = ObjectMeta {
            name: Some(seen.name),
            namespace: Some(seen.namespace),
            resource_version: Some(view.resource_version().to_owned()),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, view })
    }
}

impl Resource for SecretMeta {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn metadata_api() -> bool {
        true
    }

    fn kind((): &()) -> Cow<'_, str> {
        Secret::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Secret::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Secret::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Secret::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

/// The target Secrets of all RealtimeTokens.
pub struct Targets {
    client: Client,
    known: Mutex<HashMap<Name, Arc<SecretView>>>,
    /// Names that the watch has listed since its last restart; `None` while it is not listing.
    listing: Mutex<Option<HashSet<Name>>>,
}

impl Targets {
    /// No Secrets are known yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self {
            client,
            known: Mutex::default(),
            listing: Mutex::default(),
        }
    }

    /// A Secret as last seen or written, looked up live if it is neither.
    ///
    /// # Errors
    /// The live look-up failed.
    pub async fn observe(&self, name: &Name) -> Result<Option<Arc<SecretView>>, ClusterError> {
        if let Some(known) = self.known().get(name) {
            return Ok(Some(Arc::clone(known)));
        }
        let api: Api<SecretMeta> = Api::namespaced(self.client.clone(), &name.namespace);
        Ok(bounded(api.get_opt(&name.name)).await?.map(|secret| secret.view))
    }

    /// Creates the Secret with everything in it.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] if there is one by now.
    pub async fn create(
        &self,
        name: &Name,
        content: Content,
        desired: &SecretMetadata,
        owner: Option<OwnerReference>,
    ) -> Result<Arc<SecretView>, ClusterError> {
        let mut all = content.annotations;
        all.extend(desired.annotations.clone());
        all.insert(annotations::METADATA_HASH.to_owned(), desired.hash.clone());
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.name.clone()),
                namespace: Some(name.namespace.clone()),
                labels: Some(desired.labels.clone()),
                annotations: Some(all),
                owner_references: owner.map(|owner| vec![owner]),
                ..ObjectMeta::default()
            },
            data: Some(content.data),
            type_: Some("Opaque".to_owned()),
            ..Secret::default()
        };
        let path = format!(
            "/api/v1/namespaces/{}/secrets?fieldManager={}",
            name.namespace,
            annotations::MANAGER
        );
        self.written(
            name,
            write(
                &self.client,
                http::Method::POST,
                path,
                "application/json",
                json_bytes(&secret),
            )
            .await,
        )
    }

    /// Replaces token and annotations, if the Secret is still as it was seen.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] or [`ClusterError::NotFound`] if it is not.
    pub async fn update(
        &self,
        name: &Name,
        seen: &SecretView,
        content: Content,
    ) -> Result<Arc<SecretView>, ClusterError> {
        let mut data: Map<String, Value> = seen.stale_keys(&content.data).map(|key| (key, Value::Null)).collect();
        data.extend(content.data.into_iter().map(|(key, value)| (key, json!(value))));
        let mut annotations: Map<String, Value> = content
            .annotations
            .into_iter()
            .map(|(key, value)| (key, Value::String(value)))
            .collect();
        for sometimes in [annotations::RENEW_REQUEST, annotations::FURTHER_KEYS] {
            annotations.entry(sometimes).or_insert(Value::Null);
        }
        let patch = json!({"metadata": precondition(seen, json!({"annotations": annotations})), "data": data});
        self.patch(name, &patch).await
    }

    /// Brings labels, annotations and owner up to date; the data stays.
    ///
    /// # Errors
    /// [`ClusterError::Conflict`] or [`ClusterError::NotFound`] if the Secret is no longer as it was seen.
    pub async fn relabel(
        &self,
        name: &Name,
        seen: &SecretView,
        desired: &SecretMetadata,
        renewal_time: Option<String>,
        owner: Option<OwnerReference>,
    ) -> Result<Arc<SecretView>, ClusterError> {
        // What a former template put there is known to managedFields only, which the cache does not keep.
        let live = self.get(name).await?.ok_or(ClusterError::NotFound)?;
        let mut annotations = desired.annotations.clone();
        annotations.insert(annotations::METADATA_HASH.to_owned(), desired.hash.clone());
        annotations.extend(renewal_time.map(|time| (annotations::RENEWAL_TIME.to_owned(), time)));
        let removed = |kind: &str, prefix_kept: bool| {
            secret::owned_metadata(&live, kind)
                .into_iter()
                .filter(move |key| !(prefix_kept && key.starts_with("realtime-token.dev/")))
                .map(|key| (key, Value::Null))
        };
        let mut new_labels: Map<String, Value> = removed("f:labels", false).collect();
        new_labels.extend(
            desired
                .labels
                .clone()
                .into_iter()
                .map(|(key, value)| (key, Value::String(value))),
        );
        let mut new_annotations: Map<String, Value> = removed("f:annotations", true).collect();
        new_annotations.extend(annotations.into_iter().map(|(key, value)| (key, Value::String(value))));
        let owners = secret::owners(live.owner_references.as_deref().unwrap_or_default(), owner);
        let changes = json!({"labels": new_labels, "annotations": new_annotations, "ownerReferences": owners});
        self.patch(name, &json!({"metadata": precondition(seen, changes)}))
            .await
    }

    /// Forgets what is known of a Secret, so that the next look is live.
    pub fn forget(&self, name: &Name) {
        self.known().remove(name);
    }

    /// Takes in an event of the watch on the operator's Secrets. Returns the RealtimeTokens whose Secret is now
    /// another than our own last write.
    pub fn take_in(&self, event: Event<SecretMeta>) -> Vec<Name> {
        match event {
            Event::Init => {
                *self.listing() = Some(HashSet::new());
                Vec::new()
            }
            Event::InitApply(secret) => {
                if let Some(listed) = self.listing().as_mut() {
                    listed.insert(secret.name());
                }
                self.learn(secret)
            }
            Event::Apply(secret) => self.learn(secret),
            Event::Delete(secret) => self.lose(secret),
            Event::InitDone => {
                // What was not listed is gone, or was created after the list: the next look is live and tells.
                let listed = self.listing().take().unwrap_or_default();
                let mut known = self.known();
                let gone: Vec<Name> = known.keys().filter(|name| !listed.contains(name)).cloned().collect();
                gone.iter()
                    .filter_map(|name| token_of(&name.namespace, &*known.remove(name)?))
                    .collect()
            }
        }
    }

    fn learn(&self, secret: SecretMeta) -> Vec<Name> {
        let (name, view) = (secret.name(), secret.view);
        let mut known = self.known();
        if let Some(before) = known.get(&name)
            && at_least_as_new(before.resource_version(), view.resource_version())
        {
            return Vec::new();
        }
        let token = token_of(&name.namespace, &view);
        known.insert(name, view);
        token.into_iter().collect()
    }

    fn lose(&self, secret: SecretMeta) -> Vec<Name> {
        let (name, last) = (secret.name(), secret.view);
        let mut known = self.known();
        match known.get(&name) {
            // Created anew by us before the deletion of its predecessor came through the watch.
            Some(newer) if !at_least_as_new(last.resource_version(), newer.resource_version()) => Vec::new(),
            _ => {
                known.remove(&name);
                token_of(&name.namespace, &last).into_iter().collect()
            }
        }
    }

    async fn get(&self, name: &Name) -> Result<Option<ObjectMeta>, ClusterError> {
        let api: Api<PartialObjectMeta<Secret>> = Api::namespaced(self.client.clone(), &name.namespace);
        Ok(bounded(api.get_opt(&name.name)).await?.map(|secret| secret.metadata))
    }

    async fn patch(&self, name: &Name, patch: &Value) -> Result<Arc<SecretView>, ClusterError> {
        let path = format!(
            "/api/v1/namespaces/{}/secrets/{}?fieldManager={}",
            name.namespace,
            name.name,
            annotations::MANAGER
        );
        self.written(
            name,
            write(&self.client, http::Method::PATCH, path, MERGE_PATCH, json_bytes(patch)).await,
        )
    }

    fn written(&self, name: &Name, answer: Result<SecretMeta, ClusterError>) -> Result<Arc<SecretView>, ClusterError> {
        match answer {
            Ok(secret) => {
                let view = secret.view;
                let mut known = self.known();
                let newer = known
                    .get(name)
                    .is_none_or(|before| at_least_as_new(view.resource_version(), before.resource_version()));
                if newer {
                    known.insert(name.clone(), Arc::clone(&view));
                }
                Ok(view)
            }
            Err(error) => {
                // Whatever happened, what is known may be wrong: a write without an answer may have landed.
                self.forget(name);
                Err(error)
            }
        }
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Name, Arc<SecretView>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listing(&self) -> MutexGuard<'_, Option<HashSet<Name>>> {
        self.listing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A write that rests on a stale view gets a 409 instead of landing.
fn precondition(seen: &SecretView, mut changes: Value) -> Value {
    changes["uid"] = json!(seen.uid());
    changes["resourceVersion"] = json!(seen.resource_version());
    changes
}

fn token_of(namespace: &str, view: &SecretView) -> Option<Name> {
    view.token_name().map(|token| Name::new(namespace, token))
}

/// Serialising maps with string keys can't fail.
fn json_bytes(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}
