//! A RealtimeToken as the cache holds it: its text, which is less than half of what it becomes when read, and the few
//! facts that are asked for while it rests. It is read when its turn comes.
//!
//! One that can't be read must not stop the watch for all. kube's `DeserializeGuard` sees to that too, by building two
//! trees of each object on the way: ten thousand objects and two events for each rotation come through here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Resource;
use kube::core::ObjectMeta;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::Error;
use serde_json::value::RawValue;

use crate::api::{Credentials, RENEW_REQUESTED_AT, RealtimeToken};

/// A RealtimeToken at rest, or what is left of one that can't be read.
#[derive(Clone, Debug)]
pub struct Cached(Arc<Kept>);

/// The object isn't a RealtimeToken as this version knows it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(String);

#[derive(Clone, Debug)]
struct Kept {
    metadata: ObjectMeta,
    body: Result<Body, Unreadable>,
}

#[derive(Clone, Debug)]
struct Body {
    spec: Box<RawValue>,
    status: Option<Box<RawValue>>,
    credentials: Credentials,
}

impl Cached {
    /// The whole RealtimeToken. Of its metadata only what decisions need is there.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(&self) -> Result<RealtimeToken, Unreadable> {
        let body = self.0.body.as_ref().map_err(Clone::clone)?;
        let mut token = body.read().map_err(|problem| unreadable(&problem))?;
        token.metadata = self.0.metadata.clone();
        Ok(token)
    }

    /// Whose key it is minted with; nobody's if it can't be read.
    #[must_use]
    pub fn credentials(&self) -> Option<&Credentials> {
        Some(&self.0.body.as_ref().ok()?.credentials)
    }

    /// What is kept of a RealtimeToken in case a later list lacks it.
    pub(super) fn remains(&self) -> Self {
        let meta = self.meta();
        Self(Arc::new(Kept {
            metadata: ObjectMeta {
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                ..ObjectMeta::default()
            },
            body: Err(Unreadable(String::new())),
        }))
    }
}

impl Body {
    fn new(text: &Text<'_>) -> serde_json::Result<Self> {
        let spec = text.spec.ok_or_else(|| Error::missing_field("spec"))?;
        let mut body = Self {
            spec: spec.to_owned(),
            status: text.status.map(ToOwned::to_owned),
            credentials: Credentials::default(),
        };
        let token = body.read()?;
        body.credentials = token.spec.credentials;
        Ok(body)
    }

    fn read(&self) -> serde_json::Result<RealtimeToken> {
        let status = self.status.as_ref();
        Ok(RealtimeToken {
            metadata: ObjectMeta::default(),
            spec: serde_json::from_str(self.spec.get())?,
            status: status.map(|status| serde_json::from_str(status.get())).transpose()?,
        })
    }
}

#[derive(Deserialize)]
struct Text<'a> {
    metadata: Meta,
    #[serde(borrow)]
    spec: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Cached {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Box::<RawValue>::deserialize(deserializer)?;
        let text: Text<'_> = serde_json::from_str(object.get()).map_err(D::Error::custom)?;
        let body = Body::new(&text).map_err(|problem| unreadable(&problem));
        let metadata = text.metadata.into();
        Ok(Self(Arc::new(Kept { metadata, body })))
    }
}

/// The metadata that decisions need. The rest, managedFields before all, is most of an object.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
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

impl From<Meta> for ObjectMeta {
    fn from(meta: Meta) -> Self {
        let asked = meta.annotations.and_then(|them| them.renew_requested_at);
        Self {
            name: meta.name,
            namespace: meta.namespace,
            uid: meta.uid,
            resource_version: meta.resource_version,
            generation: meta.generation,
            deletion_timestamp: meta.deletion_timestamp,
            annotations: asked.map(|at| BTreeMap::from([(RENEW_REQUESTED_AT.to_owned(), at)])),
            ..Self::default()
        }
    }
}

/// Without line and column: they count within a part of the object that nobody sees alone.
fn unreadable(problem: &serde_json::Error) -> Unreadable {
    let text = problem.to_string();
    let place = format!(" at line {} column {}", problem.line(), problem.column());
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
        &self.0.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut Arc::make_mut(&mut self.0).metadata
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
            assert!(broken.credentials().is_none());
            let error = broken.read().unwrap_err().to_string();
            assert!(error.starts_with(says) && !error.contains("column"), "{error}");
        }
    }

    #[test]
    fn what_is_kept_as_text_is_read_whole() {
        let whole =
            added(r#"{"openai":{"model":"m","session":{"audio":{}}},"credentials":{"providerRef":{"name":"p"}}}"#);
        let credentials = whole.credentials().unwrap();
        assert_eq!(credentials.provider_ref.as_ref().unwrap().name, "p");
        let token = whole.read().unwrap();
        let openai = token.spec.blocks.openai.as_ref().unwrap();
        assert_eq!(openai.model, "m");
        assert!(openai.session.as_ref().unwrap().contains_key("audio"));
        assert_eq!(token.status.unwrap().revision, Some(7));
        assert_eq!(token.metadata.uid.as_deref(), Some("u"));
    }
}
