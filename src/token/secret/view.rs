//! A Secret's metadata as decisions need it: whose the Secret is, which token it holds, whether its data was edited.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Deserialize;

use super::annotations::{self, FURTHER_KEYS, MANAGED_BY, MANAGER, METADATA_HASH, NAME, RENEWAL_TIME};
use super::managed_fields::{DataFields, foreign_keys, owned_keys};
use super::{Stored, TargetState};
use crate::api::{DeletionPolicy, OWN_KEYS, Target};

/// A Secret's metadata, reduced to what decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SecretView {
    stored: Stored,
    controller: Option<Controller>,
    name_label: Option<String>,
    managed: bool,
    /// Keys of `data` that are as we wrote them; `None` if the API server tracks no fields.
    owned_keys: Option<Vec<Cow<'static, str>>>,
    /// Keys of `data` that another field manager wrote: an edit, or a restored backup.
    foreign_keys: Vec<Cow<'static, str>>,
    further_keys: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Controller {
    kind: String,
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
                intact: true,
                metadata_hash: annotations.get(METADATA_HASH).cloned(),
                renewal_time: annotations::time(annotations, RENEWAL_TIME),
            },
            controller: owners
                .find(|owner| owner.controller == Some(true))
                .map(|owner| Controller {
                    kind: owner.kind.clone(),
                    name: owner.name.clone(),
                    uid: owner.uid.clone(),
                }),
            name_label: labels.get(NAME).cloned(),
            managed: labels.get(MANAGED_BY).is_some_and(|by| by == MANAGER),
            foreign_keys: foreign_keys(managed_fields, &owned),
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

    /// Keys of `data` that we wrote and that are not among the new ones.
    pub(crate) fn stale_keys<'a, V>(&'a self, new: &'a BTreeMap<String, V>) -> impl Iterator<Item = String> + 'a {
        self.owned_keys
            .iter()
            .flatten()
            .filter(|key| !new.contains_key(key.as_ref()))
            .map(|key| key.clone().into_owned())
    }

    /// Whether one of these keys of `data` is there and another field manager's.
    pub(crate) fn has_foreign<'a>(&self, mut keys: impl Iterator<Item = &'a String>) -> bool {
        keys.any(|key| self.foreign_keys.iter().any(|foreign| foreign == key))
    }

    /// The RealtimeToken that the Secret's label names.
    pub(crate) fn token_name(&self) -> Option<&str> {
        self.name_label.as_deref()
    }

    /// The Secret as one RealtimeToken sees it. It is ours if its controller is this very RealtimeToken, or if it has
    /// no controller and our labels with this name: retained from a predecessor, or robbed of its owner reference.
    pub(crate) fn seen_by(&self, name: &str, uid: &str, target: &Target) -> TargetState {
        match &self.controller {
            Some(owner) if owner.uid == uid => {}
            Some(owner) if owner.kind == "RealtimeToken" && owner.name == name => {
                return TargetState::Foreign(format!("an earlier RealtimeToken {name}, whose deletion is under way"));
            }
            Some(owner) => {
                return TargetState::Foreign(format!("controlled by {} {}", owner.kind, owner.name));
            }
            None if self.managed && self.name_label.as_deref() == Some(name) => {}
            None if self.managed => {
                let other = self.name_label.as_deref().unwrap_or("of another name");
                return TargetState::Foreign(format!("written for RealtimeToken {other}"));
            }
            None => return TargetState::Foreign("not created by this operator".into()),
        }
        let mut stored = self.stored.clone();
        let templated = target
            .template
            .iter()
            .flat_map(|template| template.data.keys().map(String::as_str));
        let further = self.further_keys.iter().flat_map(|keys| keys.split(','));
        stored.intact = match &self.owned_keys {
            Some(owned) => OWN_KEYS
                .into_iter()
                .chain(further)
                .chain(templated)
                .all(|key| owned.iter().any(|own| own == key)),
            None => true,
        };
        let owner_lost = target.deletion_policy == DeletionPolicy::Delete && self.controller.is_none();
        if owner_lost || !self.managed || self.name_label.as_deref() != Some(name) {
            stored.metadata_hash = None;
        }
        TargetState::Ours(Box::new(stored))
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
