//! A RealtimeToken as the controller's cache holds it.
//!
//! An object that can't be parsed must not stop the watch for all others, so its error takes the place of its contents.
//! kube's `DeserializeGuard` does the same by building two trees of every object; two events of each rotation are parsed
//! here, so this parses once, and only what decisions need of the metadata.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::{RENEW_REQUESTED_AT, RealtimeToken, RealtimeTokenSpec, RealtimeTokenStatus};

/// A RealtimeToken, or the metadata of an object that can't be read as one. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cached(Arc<Result<RealtimeToken, Invalid>>);

#[derive(Clone, Debug)]
struct Invalid {
    metadata: ObjectMeta,
    error: Unreadable,
}

/// The object isn't a RealtimeToken as this version knows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(String);

impl Cached {
    /// The RealtimeToken. Of its metadata only what decisions need is there.
    pub(crate) fn read(&self) -> Result<&RealtimeToken, &Unreadable> {
        self.0.as_ref().as_ref().map_err(|invalid| &invalid.error)
    }
}

#[derive(Deserialize)]
struct Object {
    metadata: Metadata,
    spec: RealtimeTokenSpec,
    status: Option<RealtimeTokenStatus>,
}

#[derive(Deserialize)]
struct MetadataOnly {
    metadata: Metadata,
}

/// The metadata that decisions need. The rest, above all managedFields, is most of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    deletion_timestamp: Option<Time>,
    annotations: Option<Annotations>,
}

#[derive(Deserialize)]
struct Annotations {
    #[serde(rename = "realtime-token.dev/renew-requested-at")]
    renew_requested_at: Option<String>,
}

impl<'de> Deserialize<'de> for Cached {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let token = match serde_json::from_str::<Object>(text.get()) {
            Ok(mut object) => {
                if let Some(status) = &mut object.status {
                    status.conditions.shrink_to_fit(); // a Vec grows to four, and most have three
                }
                Ok(RealtimeToken {
                    metadata: object.metadata.into(),
                    spec: object.spec,
                    status: object.status,
                })
            }
            Err(error) => {
                let object: MetadataOnly = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
                Err(Invalid {
                    metadata: object.metadata.into(),
                    error: unreadable(&error),
                })
            }
        };
        Ok(Self(Arc::new(token)))
    }
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        let renew_request = metadata.annotations.and_then(|all| all.renew_requested_at);
        Self {
            name: metadata.name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            deletion_timestamp: metadata.deletion_timestamp,
            annotations: renew_request.map(|at| BTreeMap::from([(RENEW_REQUESTED_AT.to_owned(), at)])),
            ..Self::default()
        }
    }
}

/// Without line and column, which count in a text that users don't see.
fn unreadable(error: &serde_json::Error) -> Unreadable {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    Unreadable(text.strip_suffix(&place).unwrap_or(&text).to_owned())
}

impl Resource for Cached {
    type DynamicType = <RealtimeToken as Resource>::DynamicType;
    type Scope = <RealtimeToken as Resource>::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        RealtimeToken::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        RealtimeToken::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        RealtimeToken::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        RealtimeToken::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        match self.0.as_ref() {
            Ok(token) => &token.metadata,
            Err(invalid) => &invalid.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match Arc::make_mut(&mut self.0) {
            Ok(token) => &mut token.metadata,
            Err(invalid) => &mut invalid.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::WatchEvent;

    use super::*;

    fn added(spec: &str) -> Cached {
        object(&format!(r#""spec":{spec},"status":{{"revision":7}}"#))
    }

    fn object(rest: &str) -> Cached {
        let event = format!(
            r#"{{"type":"ADDED","object":{{"apiVersion":"realtime-token.dev/v1alpha1","kind":"RealtimeToken",
            "metadata":{{"name":"voice","namespace":"shop","uid":"u"}},{rest}}}}}"#
        );
        let Ok(WatchEvent::Added(token)) = serde_json::from_str(&event) else {
            panic!("the event is read");
        };
        token
    }

    /// Ten thousand of these are kept. What most RealtimeTokens leave out is boxed.
    #[test]
    fn a_realtime_token_at_rest_is_small() {
        use std::mem::size_of;
        let sizes = [
            ("the object", size_of::<RealtimeToken>(), 1100),
            ("its spec", size_of::<RealtimeTokenSpec>(), 440),
            ("its status", size_of::<RealtimeTokenStatus>(), 400),
        ];
        for (what, size, most) in sizes {
            println!("{what}: {size}");
            assert!(size <= most, "{what}: {size} bytes");
        }
    }

    #[test]
    fn a_broken_object_keeps_its_metadata_and_its_watch() {
        for (broken, says) in [
            (
                added(r#"{"openai":[],"credentials":{}}"#),
                "invalid type: sequence, expected struct OpenAi",
            ),
            (added("null"), "invalid type: null"),
            (object(r#""status":{"revision":7}"#), "missing field `spec`"),
            (
                object(r#""spec":{"credentials":{}},"status":5"#),
                "invalid type: integer `5`",
            ),
        ] {
            assert_eq!(broken.meta().name.as_deref(), Some("voice"));
            let error = broken.read().unwrap_err().to_string();
            assert!(error.starts_with(says) && !error.contains("column"), "{error}");
        }
    }

    #[test]
    fn a_sound_object_is_there_without_the_metadata_that_nothing_needs() {
        let whole =
            added(r#"{"openai":{"model":"m","session":{"audio":{}}},"credentials":{"providerRef":{"name":"p"}}}"#);
        let token = whole.read().unwrap();
        assert_eq!(token.spec.credentials.provider_ref.as_ref().unwrap().name, "p");
        let openai = token.spec.blocks.openai.as_ref().unwrap();
        assert_eq!(openai.model, "m");
        assert!(openai.session.as_ref().unwrap().contains_key("audio"));
        assert_eq!(token.status.as_ref().unwrap().revision, Some(7));
        assert_eq!(token.metadata.uid.as_deref(), Some("u"));

        let annotated: Cached = serde_json::from_str(
            r#"{"metadata":{"name":"voice","labels":{"a":"b"},"managedFields":[{"manager":"kubectl"}],
            "annotations":{"realtime-token.dev/renew-requested-at":"now","other":"x"}},
            "spec":{"openai":{"model":"m"},"credentials":{}}}"#,
        )
        .unwrap();
        let meta = annotated.meta();
        let annotations = meta.annotations.as_ref().unwrap();
        assert_eq!(annotations.len(), 1);
        assert_eq!(annotations[RENEW_REQUESTED_AT], "now");
        assert!(meta.labels.is_none() && meta.managed_fields.is_none());
    }
}
