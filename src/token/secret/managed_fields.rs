//! Who wrote which field of a Secret last, from `metadata.managedFields`.
//!
//! The API server takes a key away from our field manager as soon as somebody else changes it: so an edit of the data is
//! noticed without reading the data.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::annotations::MANAGER;
use crate::api::OWN_KEYS;

/// An entry of `managedFields`, reduced to the keys of `data`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DataFields {
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

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(MANAGER) && entry.operation.as_deref() == Some("Update")
}

/// The keys of `data` that are as we wrote them.
pub(super) fn owned_keys(fields: &[DataFields]) -> Vec<Cow<'static, str>> {
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
