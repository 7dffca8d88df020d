//! A RealtimeToken as the controller's cache holds it.
//!
//! An object that can't be parsed must not stop the watch for all others, so its error takes the place of its contents.
//! kube's `DeserializeGuard` does the same by building two trees of every object; two events of each rotation are parsed
//! here, so this parses once, and only what decisions need of the metadata.
//!
//! A spec that is too large isn't parsed at all: parsed, it takes up to forty times its text, and a few of 1 MiB would
//! take all of the operator's memory. The API server can't be relied on to refuse such ones: to its CRD they are opaque.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::{RENEW_REQUESTED_AT, RealtimeToken, RealtimeTokenSpec, RealtimeTokenStatus, TooLarge, check_size};
use crate::token::hash;

/// The longest status that is read. The operator writes a few KiB; longer ones are another's.
const LONGEST_STATUS: usize = 32 * 1024;
/// The longest value of the renewal annotation that is kept, and goes into the Secret and the status, as it is. A longer
/// one is replaced by its hash.
const LONGEST_RENEW_REQUEST: usize = 64;

/// A RealtimeToken, or the metadata of an object that can't be read as one. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Cached(Arc<Result<RealtimeToken, Invalid>>);

#[derive(Clone, Debug)]
struct Invalid {
    metadata: ObjectMeta,
    conditions: Vec<Condition>,
    error: Unreadable,
}

/// The object isn't a RealtimeToken as this version knows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    #[error(
        "{0}. Compare it with `kubectl explain realtimetoken.spec`, and make sure that the CRD in the cluster is of the \
         operator's own version"
    )]
    Malformed(String),
    #[error("spec {0}")]
    TooLarge(#[from] TooLarge),
}

impl Cached {
    /// The RealtimeToken. Of its metadata only what decisions need is there.
    pub(crate) fn read(&self) -> Result<&RealtimeToken, &Unreadable> {
        self.0.as_ref().as_ref().map_err(|invalid| &invalid.error)
    }

    /// The conditions that it has, readable or not.
    pub(crate) fn conditions(&self) -> &[Condition] {
        match self.0.as_ref() {
            Ok(token) => token.status.as_ref().map_or(&[], |status| &status.conditions),
            Err(invalid) => &invalid.conditions,
        }
    }
}

impl From<RealtimeToken> for Cached {
    fn from(token: RealtimeToken) -> Self {
        Self(Arc::new(Ok(token)))
    }
}

/// The object's parts, not parsed yet.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: &'a RawValue,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

impl Object<'_> {
    fn spec(&self) -> Result<RealtimeTokenSpec, Unreadable> {
        let json = self.spec.map(RawValue::get);
        let json = json.ok_or_else(|| Unreadable::Malformed("missing field `spec`".to_owned()))?;
        check_size(json)?;
        serde_json::from_str(json).map_err(malformed)
    }

    fn status<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, Unreadable> {
        let json = self.status.map(RawValue::get);
        let json = json.filter(|json| json.len() <= LONGEST_STATUS);
        json.map(serde_json::from_str).transpose().map_err(malformed)
    }
}

/// Of a status, what is reported of an object that can't be read.
#[derive(Default, Deserialize)]
struct Conditions {
    #[serde(default)]
    conditions: Vec<Condition>,
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
        let object: Object<'_> = serde_json::from_str(text.get()).map_err(D::Error::custom)?;
        let metadata: Metadata = serde_json::from_str(object.metadata.get()).map_err(D::Error::custom)?;
        let metadata = ObjectMeta::from(metadata);
        let token = match object
            .spec()
            .and_then(|spec| Ok((spec, object.status::<RealtimeTokenStatus>()?)))
        {
            Ok((spec, mut status)) => {
                if let Some(status) = &mut status {
                    status.conditions.shrink_to_fit(); // a Vec grows to four and to eight
                }
                Ok(RealtimeToken { metadata, spec, status })
            }
            Err(error) => Err(Invalid {
                metadata,
                conditions: object
                    .status::<Conditions>()
                    .ok()
                    .flatten()
                    .unwrap_or_default()
                    .conditions,
                error,
            }),
        };
        Ok(Self(Arc::new(token)))
    }
}

impl From<Metadata> for ObjectMeta {
    fn from(metadata: Metadata) -> Self {
        let renew_request = metadata.annotations.and_then(|all| all.renew_requested_at);
        let renew_request = renew_request.map(|at| match at.len() {
            0..=LONGEST_RENEW_REQUEST => at,
            _ => hash::short(at.as_bytes()),
        });
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
#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn malformed(error: serde_json::Error) -> Unreadable {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    Unreadable::Malformed(text.strip_suffix(&place).unwrap_or(&text).to_owned())
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
    use crate::api::{LONGEST_SPEC, MOST_VALUES};

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
            (added("null"), "missing field `spec`"),
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
    fn what_is_too_large_is_not_parsed() {
        let spec = |session: &str| {
            format!(
                r#"{{"openai":{{"model":"m","session":{{"x":{session}}}}},"credentials":{{"providerRef":{{"name":"p"}}}}}}"#
            )
        };
        let read = |session: &str| added(&spec(session)).read().map(|_| ()).map_err(ToString::to_string);
        assert_eq!(read(r#""short""#), Ok(()));
        let long = format!("\"{}\"", "x".repeat(LONGEST_SPEC));
        let bytes = spec(&long).len();
        let says = read(&long).unwrap_err();
        assert!(
            says.starts_with(&format!("spec takes {bytes} bytes as JSON where 131072 are allowed")),
            "{says}"
        );
        let many = format!("[0{}]", ",0".repeat(MOST_VALUES));
        let says = read(&many).unwrap_err();
        assert!(says.contains("where 4096 are allowed"), "{says}");
        // Its text is not kept either.
        let debug = format!("{:?}", added(&spec(&long)));
        assert!(debug.len() < 4096, "{} bytes are kept", debug.len());
    }

    #[test]
    fn the_conditions_of_what_cannot_be_read_are_known() {
        let condition = r#"{"type":"Ready","status":"False","reason":"InvalidSpec","message":"m",
            "lastTransitionTime":"2027-01-01T00:00:00Z"}"#;
        let broken = |status: &str| object(&format!(r#""spec":null,"status":{status}"#));
        let known = |status: &str| broken(status).conditions().len();
        assert_eq!(known(&format!(r#"{{"revision":"odd","conditions":[{condition}]}}"#)), 1);
        assert_eq!(known(r#"{"conditions":"odd"}"#), 0);
        assert_eq!(known("null"), 0);
        let long = [condition].repeat(LONGEST_STATUS / condition.len() + 1).join(",");
        assert_eq!(
            known(&format!(r#"{{"conditions":[{long}]}}"#)),
            0,
            "another's, and too long to be read"
        );
    }

    #[test]
    fn a_long_request_to_renew_is_kept_as_its_hash() {
        let asked = |at: &str| {
            let text = format!(r#"{{"metadata":{{"annotations":{{"{RENEW_REQUESTED_AT}":"{at}"}}}},"spec":null}}"#);
            let cached: Cached = serde_json::from_str(&text).unwrap();
            cached.meta().annotations.as_ref().unwrap()[RENEW_REQUESTED_AT].clone()
        };
        let short = "x".repeat(LONGEST_RENEW_REQUEST);
        assert_eq!(asked(&short), short);
        let [one, other] = ["1", "2"].map(|end| asked(&(short.clone() + end)));
        assert!(one != other && one.len() <= LONGEST_RENEW_REQUEST, "{one} {other}");
    }

    #[test]
    fn a_sound_object_is_there_without_the_metadata_that_nothing_needs() {
        let whole =
            added(r#"{"openai":{"model":"m","session":{"audio":{}}},"credentials":{"providerRef":{"name":"p"}}}"#);
        let token = whole.read().unwrap();
        assert_eq!(token.spec.credentials.provider_ref.as_ref().unwrap().name, "p");
        let openai = token.spec.blocks.openai.as_ref().unwrap();
        assert_eq!(openai.model, "m");
        assert!(openai.session.as_ref().unwrap().get("audio").is_some());
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
