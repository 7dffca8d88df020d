//! What a RealtimeToken has come to, so that two of them can be compared.

use std::collections::BTreeMap;

use super::generate::Variant;
use super::*;
use crate::api::FALLBACK_KEY;
use crate::token::secret::annotations::{
    CONTENT_HASH, EXPIRES_AT, FURTHER_KEYS, ISSUED_AT, METADATA_HASH, RENEWAL_TIME, REVISION, USABLE_UNTIL,
};

/// A Secret without what differs between any two of them: names, times, the token itself.
fn essence(secret: &Value, name: &str) -> Value {
    let meta = &secret["metadata"];
    let mut annotations: BTreeMap<&str, &str> = BTreeMap::new();
    for (key, value) in meta["annotations"].as_object().into_iter().flatten() {
        annotations.insert(key, value.as_str().unwrap_or_default());
    }
    let text = |key: &str| secret["data"][key].as_str().map(decoded).unwrap_or_default();
    let expires_at = annotations.get(EXPIRES_AT).copied().unwrap_or("no time");
    let millis = expires_at.parse::<Timestamp>().map_or(0, Timestamp::as_millisecond);
    let replacements = [
        (text("token"), "<token>"),
        (expires_at.to_owned(), "<expires-at>"),
        (text("expires-at"), "<expires-at>"),
        (millis.to_string(), "<millis>"),
        (name.to_owned(), "<name>"),
    ];
    let neutral = |value: &str| {
        let used = replacements.iter().filter(|(text, _)| !text.is_empty() && text != "0");
        used.fold(value.to_owned(), |value, (text, by)| value.replace(text, by))
    };
    for own in [
        ISSUED_AT,
        USABLE_UNTIL,
        EXPIRES_AT,
        RENEWAL_TIME,
        REVISION,
        CONTENT_HASH,
        METADATA_HASH,
    ] {
        annotations.remove(own);
    }
    let data = secret["data"].as_object().into_iter().flatten();
    let data: BTreeMap<_, _> = data
        .map(|(key, value)| (key, neutral(&decoded(value.as_str().unwrap_or_default()))))
        .collect();
    let labels = neutral(&meta["labels"].to_string());
    let owners = meta["ownerReferences"].as_array().map_or(0, Vec::len);
    json!({"data": data, "annotations": annotations, "labels": labels, "owners": owners})
}

fn decoded(value: &str) -> String {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.decode(value).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The merge patch from one value to another.
pub(super) fn patch(from: &Value, to: &Value) -> Value {
    let (Value::Object(before), Value::Object(after)) = (from, to) else {
        return to.clone();
    };
    let gone = before.keys().filter(|key| !after.contains_key(*key));
    let gone = gone.map(|key| (key.clone(), Value::Null));
    let changed = after.iter().filter(|(key, value)| before.get(*key) != Some(value));
    let changed = changed.map(|(key, value)| (key.clone(), patch(before.get(key).unwrap_or(&Value::Null), value)));
    Value::Object(gone.chain(changed).collect())
}

/// What a RealtimeToken has come to.
#[derive(Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) secret: Option<Value>,
    /// Status and reason of each condition, Issued and Renewed being the same.
    conditions: Vec<(String, String, String)>,
}

impl Outcome {
    /// Without what is said with the next token, since the edit is no reason to mint one.
    fn without_fallback(&mut self) {
        let mut remove = |part: &str, key: &str| {
            let part = self.secret.as_mut().and_then(|secret| secret[part].as_object_mut());
            part.and_then(|part| part.remove(key))
        };
        remove("data", FALLBACK_KEY);
        let further = remove("annotations", FURTHER_KEYS);
        assert!(
            further.is_none_or(|keys| keys == FALLBACK_KEY),
            "the provider has keys of its own"
        );
    }
}

impl Fleet {
    pub(super) fn outcome(&self, name: &str) -> Outcome {
        let conditions = self.status(name).conditions.into_iter();
        let conditions = conditions.map(|it| (it.type_, it.status, it.reason.replace("Renewed", "Issued")));
        Outcome {
            secret: self.secret(name).map(|secret| essence(&secret, name)),
            conditions: conditions.collect(),
        }
    }
}

/// In what a RealtimeToken that was edited differs from one that was created so.
pub(super) fn difference(fleet: &Fleet, variant: &Variant, edited: &str, fresh: &str) -> Option<String> {
    let (mut edited, mut fresh) = (fleet.outcome(edited), fleet.outcome(fresh));
    if variant.field.starts_with("requests") {
        for outcome in [&mut edited, &mut fresh] {
            outcome.without_fallback();
        }
    }
    if fresh.secret.is_none() || variant.spec["suspend"] == true {
        // It is blocked or suspended: the token that is there stays, and is Ready as long as it lives.
        if edited.secret.is_none() {
            return Some("the Secret is gone".to_owned());
        }
        (edited.secret, fresh.secret) = (None, None);
        for outcome in [&mut edited, &mut fresh] {
            let of_token = |type_: &str| ["Ready", "FreshnessGuaranteed", "SpecApplied"].contains(&type_);
            outcome.conditions.retain(|(type_, ..)| !of_token(type_));
        }
    }
    (edited != fresh).then(|| format!("{edited:?} instead of {fresh:?}"))
}
