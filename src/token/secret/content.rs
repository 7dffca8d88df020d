//! Minted + template -> what the Secret holds.

use std::collections::{BTreeMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{annotations, template};
use crate::api::{OWN_KEYS, Target};
use crate::token::{Minted, UnstoredToken, hash};

/// The parts of a Secret that a new token replaces. Has no `Debug`: it holds the token.
pub(crate) struct Content {
    pub(crate) data: BTreeMap<String, ByteString>,
    pub(crate) annotations: BTreeMap<String, String>,
    /// Hash of token.json, for the audit log.
    pub(crate) hash: String,
}

/// As short as this a quotation gives nothing away.
const QUOTATION: usize = 16;

impl Content {
    /// Of a Secret that holds no token.
    pub(crate) const fn none() -> Self {
        Self {
            data: BTreeMap::new(),
            annotations: BTreeMap::new(),
            hash: String::new(),
        }
    }

    /// Whether a text quotes some of the data, plain or as base64: the refusal of an admission webhook may. The authors
    /// of the webhook and of the template decide on both, so each byte of the data is looked at once.
    pub(crate) fn quoted_in(&self, text: &str) -> bool {
        let quotations: HashSet<&[u8]> = text.as_bytes().windows(QUOTATION).collect();
        let quoted = |data: &[u8]| data.windows(QUOTATION).any(|part| quotations.contains(part));
        let mut values = self.data.values().map(|value| &value.0);
        !quotations.is_empty() && values.any(|value| quoted(value) || quoted(BASE64.encode(value).as_bytes()))
    }
}

/// TanStack AI's `RealtimeToken`, as `JSON.stringify` writes it: `provider`, `token`, `expiresAt` in milliseconds,
/// `config`, in this order.
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

/// Hash of token.json, by which a token is recognized that a provider hands out again.
pub(crate) fn content_hash(minted: &Minted) -> String {
    hash::short(token_json(minted).expose_secret().as_bytes())
}

/// Renders the data and the annotations for a new token.
pub(crate) fn content(
    token: &UnstoredToken,
    revision: i64,
    renewal_time: Timestamp,
    target: &Target,
) -> Result<Content, template::TemplateError> {
    let hash = content_hash(&token.minted);
    let annotations = annotations::of_token(token, revision, renewal_time, &hash);
    Ok(Content {
        data: data(&token.minted, target)?,
        annotations,
        hash,
    })
}

/// The data for a new token: our own keys, the provider's further ones, and those of the template.
pub(crate) fn data(minted: &Minted, target: &Target) -> Result<BTreeMap<String, ByteString>, template::TemplateError> {
    let json = token_json(minted);
    let expires_at = minted.expires_at.to_string();
    let values = [
        json.expose_secret(),
        minted.value.expose_secret(),
        &expires_at,
        &minted.provider,
    ];
    let own = OWN_KEYS.into_iter().map(str::to_owned);
    let mut data: BTreeMap<_, _> = own.zip(values.map(bytes)).collect();
    for (key, value) in &minted.outputs {
        data.insert(key.clone().into_owned(), bytes(value.expose_secret()));
    }
    if let Some(template) = &target.template {
        for (key, rendered) in template::render(&template.data, minted)? {
            data.insert(key, bytes(rendered.expose_secret()));
        }
    }
    Ok(data)
}

fn bytes(text: &str) -> ByteString {
    ByteString(text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests;
