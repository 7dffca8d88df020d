//! Reads one key Secret, whatever a tenant has put into it: bounded in size, and without a plain copy of a value that
//! outlives the call.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt;
use k8s_openapi::api::core::v1::Secret;
use kube::api::GetParams;
use kube::client::Body;
use kube::core::{Request, Status};
use kube::{Client, Resource};
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::cluster::missing_key::CREDENTIALS;
use crate::cluster::watch::HELM_RELEASE;
use crate::cluster::{ClusterError, Name, bounded};
use crate::token::secret::annotations::{MANAGED_BY, MANAGER};

/// The size of a key Secret in the API, metadata included. The largest keys take a few KiB; `kubectl apply` repeats them
/// in an annotation.
const MAX_BYTES: usize = 256 << 10;
/// The keys of a key Secret.
pub(super) const MAX_KEYS: usize = 64;

pub(super) enum Fetched {
    Secret {
        version: String,
        /// Whether the watch shows its changes.
        is_watched: bool,
        /// Without white space around them, and without those that are empty or no text.
        values: BTreeMap<String, SecretString>,
    },
    Absent,
    /// It is of this type, from which no keys are read.
    OfType {
        version: String,
        type_: String,
    },
    /// It is larger than a key Secret may be, or has more keys.
    TooBig,
}

pub(super) async fn fetch(client: &Client, name: &Name) -> Result<Fetched, ClusterError> {
    let collection = Secret::url_path(&(), Some(&name.namespace));
    let request = Request::new(collection)
        .get(&name.name, &GetParams::default())
        .map_err(|problem| ClusterError::Unavailable(problem.to_string()))?;
    match bounded(ask(client, request.map(Body::from))).await {
        Ok(Some(text)) => parse(&text),
        Ok(None) => Ok(Fetched::TooBig),
        Err(ClusterError::NotFound) => Ok(Fetched::Absent),
        Err(error) => Err(error),
    }
}

/// The body of the answer; `None` if it is too big. kube's own calls take in any size, and log a body that they can't
/// parse.
async fn ask(client: &Client, request: http::Request<Body>) -> Result<Option<Zeroizing<Vec<u8>>>, kube::Error> {
    let (head, mut body) = client.send(request).await?.into_parts();
    let mut text = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            if text.len() + data.len() > MAX_BYTES {
                return Ok(None);
            }
            append(&mut text, &data);
        }
    }
    if head.status.is_success() {
        return Ok(Some(text));
    }
    let code = head.status.as_u16();
    let status = serde_json::from_slice(&text).unwrap_or_else(|_| Status::failure("", "Unknown"));
    Err(kube::Error::Api(status.with_code(code).boxed()))
}

/// A vector that grows leaves its former content behind in memory; this one wipes it.
fn append(text: &mut Zeroizing<Vec<u8>>, data: &[u8]) {
    let len = text.len() + data.len();
    if len > text.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(len.next_power_of_two()));
        larger.extend_from_slice(text);
        *text = larger;
    }
    text.extend_from_slice(data);
}

fn parse(text: &[u8]) -> Result<Fetched, ClusterError> {
    #[derive(Deserialize)]
    struct Object {
        metadata: Metadata,
        #[serde(rename = "type")]
        type_: Option<String>,
        #[serde(default)]
        data: BTreeMap<String, Value>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Metadata {
        resource_version: String,
        #[serde(default)]
        labels: BTreeMap<String, String>,
    }
    // The parser's message could quote a value.
    let unreadable = |_| ClusterError::Unavailable("a Secret was answered that can't be read as one".to_owned());
    let object: Object = serde_json::from_slice(text).map_err(unreadable)?;
    let version = object.metadata.resource_version;
    let type_ = object.type_.unwrap_or_else(|| "Opaque".to_owned());
    if !is_for_keys(&type_, &object.metadata.labels) {
        return Ok(Fetched::OfType { version, type_ });
    }
    if object.data.len() > MAX_KEYS {
        return Ok(Fetched::TooBig);
    }
    let is_ours = object.metadata.labels.get(MANAGED_BY).is_some_and(|by| by == MANAGER);
    let values = object.data.into_iter();
    Ok(Fetched::Secret {
        version,
        is_watched: !is_ours && type_ != HELM_RELEASE,
        values: values.filter_map(|(key, value)| Some((key, value.0?))).collect(),
    })
}

/// Not every Secret: a ServiceAccount's token, a TLS key or another controller's Secret would be sent to a provider, or
/// signed with, by any user who may create a RealtimeToken.
fn is_for_keys(type_: &str, labels: &BTreeMap<String, String>) -> bool {
    ["Opaque", CREDENTIALS].contains(&type_) || labels.get(CREDENTIALS).is_some_and(|value| value == "true")
}

struct Value(Option<SecretString>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;
        impl Visitor<'_> for Base64 {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
                let decoded = STANDARD.decode(text).map_err(|_| E::custom("no base64"))?;
                let decoded = Zeroizing::new(decoded);
                let text = std::str::from_utf8(&decoded).unwrap_or_default().trim();
                Ok(Value((!text.is_empty()).then(|| SecretString::from(text))))
            }
        }
        deserializer.deserialize_str(Base64)
    }
}
