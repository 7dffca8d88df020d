//! Minted + template -> what the Secret holds.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{Held, hash, metadata, template};
use crate::api::{DeletionPolicy, Target};
use crate::token::Minted;

/// The parts of a Secret that a new token replaces. Has no `Debug`: it holds the token.
pub struct Content {
    /// `data`.
    pub data: BTreeMap<String, ByteString>,
    /// The annotations that later decisions rest on.
    pub annotations: BTreeMap<String, String>,
    /// Hash of token.json, for the audit log.
    pub hash: String,
}

/// As short as this a quotation gives nothing away.
const QUOTATION: usize = 16;

impl Content {
    /// Whether a text quotes some of the data, plain or as base64: the refusal of an admission webhook may.
    #[must_use]
    pub fn quoted_in(&self, text: &str) -> bool {
        let plain = self.data.values().map(|value| value.0.clone());
        let encoded = self.data.values().map(|value| BASE64.encode(&value.0).into_bytes());
        let data: Vec<Vec<u8>> = plain.chain(encoded).collect();
        let mut quotations = text.as_bytes().windows(QUOTATION);
        quotations.any(|part| data.iter().any(|value| value.windows(QUOTATION).any(|own| own == part)))
    }
}

/// The parts of a Secret that don't come from the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dress {
    /// Labels: the template's and our own.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the template.
    pub annotations: BTreeMap<String, String>,
    /// Hash of these and of the deletion policy.
    pub hash: String,
}

/// TanStack AI's `RealtimeToken`, as `JSON.stringify` writes it: `provider`, `token`, `expiresAt` in milliseconds,
/// `config`, in this order.
#[must_use]
pub fn token_json(minted: &Minted) -> SecretString {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct RealtimeToken<'a> {
        provider: &'a str,
        token: &'a str,
        expires_at: i64,
        config: &'a Map<String, Value>,
    }
    let json = serde_json::to_string(&RealtimeToken {
        provider: &minted.provider,
        token: minted.value.expose_secret(),
        expires_at: minted.expires_at.as_millisecond(),
        config: &minted.config,
    });
    // Strings, a number and a JSON map: serde_json can't fail on them.
    json.unwrap_or_default().into()
}

/// Renders the data and the annotations for a new token.
///
/// # Errors
/// A template of the target that doesn't render.
pub fn content(
    held: &Held,
    revision: i64,
    renewal_time: Timestamp,
    target: &Target,
) -> Result<Content, template::TemplateError> {
    let minted = &held.minted;
    let json = token_json(minted);
    let hash = hash::short(json.expose_secret().as_bytes());
    let mut data = BTreeMap::from([
        ("token.json".to_owned(), bytes(json.expose_secret())),
        ("token".to_owned(), bytes(minted.value.expose_secret())),
        ("expires-at".to_owned(), bytes(&minted.expires_at.to_string())),
        ("provider".to_owned(), bytes(&minted.provider)),
    ]);
    for (key, value) in &minted.outputs {
        data.insert(key.clone().into_owned(), bytes(value.expose_secret()));
    }
    if let Some(template) = &target.template {
        for (key, rendered) in template::render(&template.data, minted)? {
            data.insert(key, bytes(rendered.expose_secret()));
        }
    }
    let mut annotations = BTreeMap::from([
        (metadata::ISSUED_AT.to_owned(), minted.issued_at.to_string()),
        (metadata::USABLE_UNTIL.to_owned(), minted.usable_until.to_string()),
        (metadata::EXPIRES_AT.to_owned(), minted.expires_at.to_string()),
        (metadata::RENEWAL_TIME.to_owned(), renewal_time.to_string()),
        (metadata::REVISION.to_owned(), revision.to_string()),
        (metadata::SPEC_HASH.to_owned(), held.fingerprint.clone()),
        (
            metadata::CREDENTIAL_REVISION.to_owned(),
            held.credential_revision.clone(),
        ),
        (metadata::CONTENT_HASH.to_owned(), hash.clone()),
    ]);
    if !minted.outputs.is_empty() {
        let keys: Vec<&str> = minted.outputs.keys().map(AsRef::as_ref).collect();
        annotations.insert(metadata::FURTHER_KEYS.to_owned(), keys.join(","));
    }
    if let Some(request) = &held.renew_request {
        annotations.insert(metadata::RENEW_REQUEST.to_owned(), request.clone());
    }
    Ok(Content {
        data,
        annotations,
        hash,
    })
}

/// The Secret's labels and the template's annotations.
#[must_use]
pub fn dress(token_name: &str, target: &Target) -> Dress {
    let template = target
        .template
        .as_ref()
        .and_then(|template| template.metadata.clone())
        .unwrap_or_default();
    let mut labels = template.labels;
    labels.insert(metadata::MANAGED_BY.to_owned(), metadata::MANAGER.to_owned());
    labels.insert(metadata::NAME.to_owned(), token_name.to_owned());
    let policy = match target.deletion_policy {
        DeletionPolicy::Delete => "Delete",
        DeletionPolicy::Retain => "Retain",
    };
    // Maps of strings: serde_json can't fail on them.
    let hash = serde_json::to_vec(&(&labels, &template.annotations, policy)).unwrap_or_default();
    Dress {
        labels,
        annotations: template.annotations,
        hash: hash::short(&hash),
    }
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests;
