//! Who wrote which field of a Secret last, from `metadata.managedFields`.
//!
//! The API server takes a key away from our field manager as soon as another manager changes it: so an edit of the data is
//! noticed without reading the data.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::annotations::{CONNECTION_MANAGER, MANAGER};
use crate::api::{CONNECTION_KEYS, FALLBACK_KEY, OWN_KEYS};

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
pub(crate) fn owned_metadata(meta: &ObjectMeta, kind: &str) -> Vec<String> {
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

/// How we write: patches, and applies where keys have another owner.
const OPERATIONS: [&str; 2] = ["Update", "Apply"];

const MANAGERS: [&str; 2] = [MANAGER, CONNECTION_MANAGER];

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    let operation = entry.operation.as_deref().unwrap_or_default();
    let manager = entry.manager.as_deref().unwrap_or_default();
    MANAGERS.contains(&manager) && OPERATIONS.contains(&operation)
}

impl DataFields {
    fn is_ours(&self) -> bool {
        MANAGERS.contains(&self.manager.as_str()) && OPERATIONS.contains(&self.operation.as_str())
    }

    fn keys(&self) -> impl Iterator<Item = Cow<'static, str>> {
        let keys = self.fields_v1.data.keys();
        keys.filter_map(|field| field.strip_prefix("f:")).map(shared)
    }
}

/// The keys of `data` that are as we wrote them.
pub(super) fn owned_keys(fields: &[DataFields]) -> Box<[Cow<'static, str>]> {
    let ours = fields.iter().filter(|entry| entry.is_ours());
    ours.flat_map(DataFields::keys).collect()
}

/// Ten thousand Secrets have the same keys: those are not copied.
fn shared(key: &str) -> Cow<'static, str> {
    let own = OWN_KEYS.into_iter().chain(CONNECTION_KEYS).chain([FALLBACK_KEY]);
    let own = own.into_iter().find(|own| *own == key);
    own.map_or_else(|| Cow::Owned(key.to_owned()), Cow::Borrowed)
}
