//! What the Secret's metadata says: whose it is, which token it holds, whether somebody edited it.
//!
//! The operator never reads a target's data. Whether the data is still ours follows from `managedFields`: the API
//! server takes a key away from our field manager as soon as somebody else changes it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{Issued, Stored, TargetState};
use crate::api::{DeletionPolicy, Target};

/// Names this operator as the writer of a Secret.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// The value of [`MANAGED_BY`], and the field manager of every write.
pub const MANAGER: &str = "realtime-token-operator";
/// The RealtimeToken that a Secret belongs to.
pub const NAME: &str = "realtime-token.dev/name";
/// When the token was asked for, RFC 3339, by the cluster's clock.
pub const ISSUED_AT: &str = "realtime-token.dev/issued-at";
/// The end of the token's usable life, RFC 3339, by the cluster's clock.
pub const USABLE_UNTIL: &str = "realtime-token.dev/usable-until";
/// The same as published in the data, by the provider's clock.
pub const EXPIRES_AT: &str = "realtime-token.dev/expires-at";
/// When the next token is due, RFC 3339.
pub const RENEWAL_TIME: &str = "realtime-token.dev/renewal-time";
/// Counts the tokens.
pub const REVISION: &str = "realtime-token.dev/revision";
/// Hash of the spec's fields that make the token.
pub const SPEC_HASH: &str = "realtime-token.dev/spec-hash";
/// Hash of the key.
pub const CREDENTIAL_REVISION: &str = "realtime-token.dev/credential-revision";
/// Hash of token.json, as in the operator's audit log.
pub const CONTENT_HASH: &str = "realtime-token.dev/content-hash";
/// Hash of labels, annotations and owner.
pub const METADATA_HASH: &str = "realtime-token.dev/metadata-hash";
/// The forced renewal that this token obeys.
pub const RENEW_REQUEST: &str = "realtime-token.dev/handled-renew-request";

/// The keys of the Secret that the provider fills beside [`OWN_KEYS`], separated by commas.
pub const FURTHER_KEYS: &str = "realtime-token.dev/further-keys";

/// The keys that every Secret has.
pub const OWN_KEYS: [&str; 4] = ["token.json", "token", "expires-at", "provider"];

/// A Secret's metadata, reduced to what decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretView {
    stored: Stored,
    controller: Option<Controller>,
    name_label: Option<String>,
    managed: bool,
    /// Keys of `data` that are as we wrote them; `None` if the API server tracks no fields.
    owned_keys: Option<Vec<Cow<'static, str>>>,
    /// [`FURTHER_KEYS`].
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
pub struct Meta {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    uid: String,
    resource_version: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    owner_references: Vec<OwnerReference>,
    managed_fields: Vec<Managed>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Managed {
    manager: String,
    operation: String,
    fields_v1: Fields,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Fields {
    #[serde(rename = "f:data")]
    data: BTreeMap<String, IgnoredAny>,
}

impl From<&Meta> for SecretView {
    fn from(meta: &Meta) -> Self {
        let Meta {
            labels,
            annotations,
            managed_fields,
            ..
        } = meta;
        let mut owners = meta.owner_references.iter();
        Self {
            stored: Stored {
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                issued: issued(annotations),
                intact: true,
                metadata_hash: annotations.get(METADATA_HASH).cloned(),
                renewal_time: time(annotations, RENEWAL_TIME),
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
            owned_keys: (!managed_fields.is_empty()).then(|| owned_keys(managed_fields)),
            further_keys: annotations.get(FURTHER_KEYS).cloned(),
        }
    }
}

impl SecretView {
    /// `metadata.resourceVersion`, for comparing two views of one Secret.
    #[must_use]
    pub fn resource_version(&self) -> &str {
        &self.stored.resource_version
    }

    /// `metadata.uid`.
    #[must_use]
    pub fn uid(&self) -> &str {
        &self.stored.uid
    }

    /// Keys of `data` that we wrote and that are not among the new ones.
    pub fn stale_keys<'a, V>(&'a self, new: &'a BTreeMap<String, V>) -> impl Iterator<Item = String> + 'a {
        self.owned_keys
            .iter()
            .flatten()
            .filter(|key| !new.contains_key(key.as_ref()))
            .map(|key| key.clone().into_owned())
    }

    /// The RealtimeToken that the Secret's label names.
    #[must_use]
    pub fn token_name(&self) -> Option<&str> {
        self.name_label.as_deref()
    }

    /// The Secret as one RealtimeToken sees it. It is ours if its controller is this very RealtimeToken, or if it has
    /// no controller and our labels with this name: retained from a predecessor, or robbed of its owner reference.
    #[must_use]
    pub fn seen_by(&self, name: &str, uid: &str, target: &Target) -> TargetState {
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

/// The fields of one kind (`f:labels`, `f:annotations`) that our field manager owns, so that a template entry that
/// was taken out can be taken out of the Secret.
#[must_use]
pub fn owned_metadata(meta: &ObjectMeta, kind: &str) -> Vec<String> {
    let ours = meta.managed_fields.iter().flatten().filter(|entry| is_ours(entry));
    ours.filter_map(|entry| entry.fields_v1.as_ref()?.0.get("f:metadata")?.get(kind)?.as_object())
        .flat_map(|fields| {
            fields
                .keys()
                .filter_map(|field| field.strip_prefix("f:"))
                .map(str::to_owned)
        })
        .collect()
}

/// The Secret's owners with this RealtimeToken among them, or without it.
#[must_use]
pub fn owners(others: &[OwnerReference], ours: Option<OwnerReference>) -> Vec<OwnerReference> {
    others
        .iter()
        .filter(|owner| owner.controller != Some(true))
        .cloned()
        .chain(ours)
        .collect()
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Update")
}

fn owned_keys(fields: &[Managed]) -> Vec<Cow<'static, str>> {
    fields
        .iter()
        .filter(|entry| entry.manager == MANAGER && entry.operation == "Update")
        .flat_map(|entry| entry.fields_v1.data.keys())
        .filter_map(|field| field.strip_prefix("f:"))
        .map(shared)
        .collect()
}

/// Ten thousand Secrets have the same four keys: those are not copied.
fn shared(key: &str) -> Cow<'static, str> {
    let own = OWN_KEYS.into_iter().find(|own| *own == key);
    own.map_or_else(|| Cow::Owned(key.to_owned()), Cow::Borrowed)
}

fn time(annotations: &BTreeMap<String, String>, key: &str) -> Option<Timestamp> {
    annotations.get(key)?.parse().ok()
}

fn issued(annotations: &BTreeMap<String, String>) -> Option<Issued> {
    Some(Issued {
        issued_at: time(annotations, ISSUED_AT)?,
        usable_until: time(annotations, USABLE_UNTIL)?,
        expires_at: time(annotations, EXPIRES_AT)?,
        revision: annotations
            .get(REVISION)?
            .parse()
            .ok()
            .filter(|revision| *revision > 0)?,
        fingerprint: annotations.get(SPEC_HASH)?.clone(),
        credential_revision: annotations.get(CREDENTIAL_REVISION)?.clone(),
        renew_request: annotations.get(RENEW_REQUEST).cloned(),
    })
}

/// A view of metadata that comes from nowhere.
#[cfg(test)]
pub(super) fn view_of(meta: &ObjectMeta) -> SecretView {
    let text = serde_json::to_string(meta).unwrap_or_default();
    SecretView::from(&serde_json::from_str::<Meta>(&text).unwrap_or_default())
}

#[cfg(test)]
mod tests;
