//! A Secret's metadata as decisions need it: whose the Secret is, which token it holds, whether its data was edited.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;

use super::annotations::{self, FURTHER_KEYS, MANAGED_BY, MANAGER, METADATA_HASH, NAME, RENEWAL_TIME};
use super::managed_fields::{DataFields, owned_keys};
use super::{Stored, TargetState};
use crate::api::{CONNECTION_KEYS, DeletionPolicy, OWN_KEYS, Target, TargetContent};

/// The kind of a Secret's owner, unless another controls it.
const KIND: &str = "RealtimeToken";

/// A Secret's metadata, reduced to what decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretView {
    stored: Stored,
    controller: Option<Controller>,
    name_label: Option<String>,
    /// The label that names the operator; another value is another's, or a policy's.
    managed_by: Option<Cow<'static, str>>,
    /// Keys of `data` that are as we wrote them; `None` if the API server tracks no fields.
    owned_keys: Option<Box<[Cow<'static, str>]>>,
    further_keys: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Controller {
    kind: Cow<'static, str>,
    name: String,
    uid: String,
}

/// A Secret's metadata as the API server sends it, without what no decision needs.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Meta {
    pub(crate) name: String,
    pub(crate) namespace: String,
    uid: String,
    resource_version: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owner_references: Vec<OwnerReference>,
    managed_fields: Vec<DataFields>,
}

impl From<&Meta> for SecretView {
    fn from(meta: &Meta) -> Self {
        let (labels, annotations, managed_fields) = (&meta.labels, &meta.annotations, &meta.managed_fields);
        let mut owners = meta.owner_references.iter();
        let owned = owned_keys(managed_fields);
        Self {
            stored: Stored {
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                issued: annotations::issued(annotations),
                content: annotations::content(annotations),
                intact: true,
                metadata_hash: annotations.get(METADATA_HASH).cloned(),
                renewal_time: annotations::time(annotations, RENEWAL_TIME),
                damage: annotations::damaged(annotations).map(|key| format!("annotation {key} is missing or damaged")),
            },
            controller: owners
                .find(|owner| owner.controller == Some(true))
                .map(|owner| Controller {
                    kind: match owner.kind.as_str() {
                        KIND => Cow::Borrowed(KIND),
                        other => Cow::Owned(other.to_owned()),
                    },
                    name: owner.name.clone(),
                    uid: owner.uid.clone(),
                }),
            name_label: labels.get(NAME).cloned(),
            managed_by: labels.get(MANAGED_BY).map(|by| match by.as_str() {
                MANAGER => Cow::Borrowed(MANAGER),
                other => Cow::Owned(other.to_owned()),
            }),
            owned_keys: (!managed_fields.is_empty()).then_some(owned),
            further_keys: annotations.get(FURTHER_KEYS).cloned(),
        }
    }
}

impl SecretView {
    pub(crate) fn resource_version(&self) -> &str {
        &self.stored.resource_version
    }

    pub(crate) fn uid(&self) -> &str {
        &self.stored.uid
    }

    /// Keys of `data` that we wrote and that are not among the new ones, nor say where to ask for tokens.
    pub(crate) fn stale_keys<'a, V>(&'a self, new: &'a BTreeMap<String, V>) -> impl Iterator<Item = String> + 'a {
        self.owned_keys
            .iter()
            .flat_map(|keys| keys.iter())
            .filter(|key| !new.contains_key(key.as_ref()) && !CONNECTION_KEYS.contains(&key.as_ref()))
            .map(|key| key.clone().into_owned())
    }

    /// Keys of `data` that a Secret has no more that is to hold this content and this connection.
    pub(crate) fn obsolete_keys(
        &self,
        content: TargetContent,
        connection: &BTreeMap<String, ByteString>,
    ) -> Vec<String> {
        let owned = self.owned_keys.iter().flat_map(|keys| keys.iter()).map(AsRef::as_ref);
        let obsolete: Vec<&str> = match content {
            TargetContent::Token => owned.filter(|key| CONNECTION_KEYS.contains(key)).collect(),
            // Also those that another writer has changed: no part of a token stays behind.
            TargetContent::Connection => owned.chain(OWN_KEYS).chain(self.further_keys()).collect(),
        };
        let gone = obsolete.into_iter().filter(|key| !connection.contains_key(*key));
        gone.map(str::to_owned).collect()
    }

    /// Whether one of these keys of `data` may stay another field manager's, or without an owner, after a patch that leaves its
    /// value as it is.
    pub(crate) fn lacks_ownership<'a>(&self, mut keys: impl Iterator<Item = &'a String>) -> bool {
        let owned = self.owned_keys.as_ref();
        owned.is_some_and(|owned| keys.any(|key| owned.iter().all(|own| own != key)))
    }

    /// The RealtimeToken that the Secret's label names.
    pub(crate) fn token_name(&self) -> Option<&str> {
        self.name_label.as_deref()
    }

    /// The Secret as one RealtimeToken sees it. It is ours if its controller is this very RealtimeToken, or if it has
    /// no controller, our label with this name, and our other label or our annotations: retained from a predecessor,
    /// restored, or robbed of its owner reference. The label `managed-by` is common, and policies rewrite it.
    pub(crate) fn seen_by(
        &self,
        name: &str,
        uid: &str,
        target: &Target,
        connection: &BTreeMap<String, ByteString>,
    ) -> TargetState {
        match (&self.controller, self.name_label.as_deref()) {
            (Some(owner), _) if owner.uid == uid => {}
            (Some(owner), _) if owner.kind == KIND && owner.name == name => {
                return TargetState::Foreign(format!("an earlier RealtimeToken {name}, whose deletion is under way"));
            }
            (Some(owner), _) => {
                return TargetState::Foreign(format!("controlled by {} {}", owner.kind, owner.name));
            }
            (None, Some(label)) if label == name && self.is_of_operator() => {}
            (None, other) if self.managed_by.as_deref() == Some(MANAGER) => {
                let other = other.unwrap_or("of another name");
                return TargetState::Foreign(format!("written for RealtimeToken {other}"));
            }
            (None, _) => return TargetState::Foreign("not created by this operator".into()),
        }
        let mut stored = self.stored.clone();
        let lost = self.lost_keys(target);
        let lost_connection = self.not_owned(connection.keys().map(String::as_str));
        let metadata = self.damaged_metadata(name, target);
        stored.intact = lost.is_empty();
        if !metadata.is_empty() || !lost_connection.is_empty() {
            stored.metadata_hash = None;
        }
        if target.content == TargetContent::Connection {
            // A token that it still holds is none that anything depends on.
            (stored.issued, stored.renewal_time) = (None, None);
            stored.intact = lost_connection.is_empty() && stored.content == TargetContent::Connection;
            if stored.content != TargetContent::Connection {
                (stored.metadata_hash, stored.damage) = (None, None);
            }
        }
        let lost = [lost, lost_connection].concat();
        let data = (!lost.is_empty()).then(|| format!("another writer has changed its data ({})", lost.join(", ")));
        let damage: Vec<String> = metadata.into_iter().chain(stored.damage).chain(data).collect();
        stored.damage = (!damage.is_empty()).then(|| damage.join("; "));
        TargetState::Ours(Box::new(stored))
    }

    fn is_of_operator(&self) -> bool {
        let is_described = self.stored.issued.is_some() || self.stored.content == TargetContent::Connection;
        self.managed_by.as_deref() == Some(MANAGER) || is_described
    }

    /// The keys of the token that are no longer as we wrote them.
    fn lost_keys<'a>(&'a self, target: &'a Target) -> Vec<&'a str> {
        if target.content == TargetContent::Connection {
            return Vec::new();
        }
        let templated = target
            .template
            .iter()
            .flat_map(|template| template.data.keys().map(String::as_str));
        self.not_owned(OWN_KEYS.into_iter().chain(self.further_keys()).chain(templated))
    }

    /// The keys of the Secret that came with the token beside [`OWN_KEYS`].
    fn further_keys(&self) -> impl Iterator<Item = &str> {
        self.further_keys.iter().flat_map(|keys| keys.split(','))
    }

    /// Those of these keys of `data` that are not as we wrote them, as far as the API server tracks that.
    fn not_owned<'a>(&self, keys: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let Some(owned) = &self.owned_keys else {
            return Vec::new();
        };
        keys.filter(|key| owned.iter().all(|own| own != key)).collect()
    }

    /// Which of our labels and the owner are not as we write them.
    fn damaged_metadata(&self, name: &str, target: &Target) -> Vec<String> {
        let label = |label, found: Option<&str>, wanted: &str| match found {
            Some(found) if found == wanted => None,
            Some(found) => Some(format!("label {label} is {found:?} and should be {wanted:?}")),
            None => Some(format!("label {label} is gone and should be {wanted:?}")),
        };
        let owner_lost = target.deletion_policy == DeletionPolicy::Delete && self.controller.is_none();
        let damaged = [
            label(MANAGED_BY, self.managed_by.as_deref(), MANAGER),
            label(NAME, self.name_label.as_deref(), name),
            owner_lost.then(|| "its owner reference is gone".to_owned()),
        ];
        damaged.into_iter().flatten().collect()
    }
}

/// The view of an object that a test makes up.
#[cfg(test)]
pub(super) fn view_of(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> SecretView {
    let text = serde_json::to_string(meta).unwrap_or_default();
    SecretView::from(&serde_json::from_str::<Meta>(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests;
