//! A RealtimeToken that may not parse: a broken one must not stop the watch for all.
//!
//! Does what kube's `DeserializeGuard` does without building two trees of each object on the way: ten thousand objects
//! and two events for each rotation come through here.

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

/// A RealtimeToken, or what is left of one that can't be read. Of the metadata only what decisions need is there.
#[derive(Clone, Debug)]
pub struct Guarded(pub Arc<Result<RealtimeToken, Unreadable>>);

/// An object that isn't a RealtimeToken as this version knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// What is wrong.
    pub error: String,
    /// The object's metadata.
    pub metadata: ObjectMeta,
}

impl Guarded {
    /// What is kept of a RealtimeToken in case a later list lacks it.
    pub(super) fn remains(&self) -> Self {
        let meta = self.meta();
        Self(Arc::new(Err(Unreadable {
            error: String::new(),
            metadata: ObjectMeta {
                name: meta.name.clone(),
                namespace: meta.namespace.clone(),
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
                ..ObjectMeta::default()
            },
        })))
    }
}

impl<'de> Deserialize<'de> for Guarded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Whole {
            metadata: Meta,
            spec: RealtimeTokenSpec,
            status: Option<RealtimeTokenStatus>,
        }
        #[derive(Deserialize)]
        struct Head {
            metadata: Meta,
        }
        let text = Box::<RawValue>::deserialize(deserializer)?;
        let read = match serde_json::from_str::<Whole>(text.get()) {
            Ok(whole) => Ok(RealtimeToken {
                metadata: whole.metadata.into(),
                spec: whole.spec,
                status: whole.status,
            }),
            Err(problem) => Err(Unreadable {
                error: placeless(&problem),
                metadata: serde_json::from_str::<Head>(text.get())
                    .map_err(D::Error::custom)?
                    .metadata
                    .into(),
            }),
        };
        Ok(Self(Arc::new(read)))
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

/// Without line and column: those move with every write to the object, our own to its status included.
fn placeless(problem: &serde_json::Error) -> String {
    let text = problem.to_string();
    let place = format!(" at line {} column {}", problem.line(), problem.column());
    text.strip_suffix(&place).unwrap_or(&text).to_owned()
}

impl Resource for Guarded {
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
        match &*self.0 {
            Ok(token) => &token.metadata,
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match Arc::make_mut(&mut self.0) {
            Ok(token) => &mut token.metadata,
            Err(unreadable) => &mut unreadable.metadata,
        }
    }
}

#[cfg(test)]
mod tests {
    use kube::core::WatchEvent;

    use super::*;

    #[test]
    fn a_broken_object_keeps_its_metadata_and_its_watch() {
        let event = r#"{"type":"ADDED","object":{"apiVersion":"realtime-token.dev/v1alpha1","kind":"RealtimeToken",
            "metadata":{"name":"broken","namespace":"shop","uid":"u"},"spec":{"openai":[],"credentials":{}}}}"#;
        let Ok(WatchEvent::Added(broken)) = serde_json::from_str::<WatchEvent<Guarded>>(event)
        else {
            panic!("the event is read");
        };
        assert_eq!(broken.meta().name.as_deref(), Some("broken"));
        let error = &broken.0.as_ref().as_ref().unwrap_err().error;
        assert!(
            error.contains("invalid type") && !error.contains("column"),
            "{error}"
        );

        let event = event.replace(
            r#"{"openai":[],"credentials":{}}"#,
            r#"{"openai":{"model":"m"},"credentials":{}}"#,
        );
        let Ok(WatchEvent::Added(whole)) = serde_json::from_str::<WatchEvent<Guarded>>(&event)
        else {
            panic!("the event is read");
        };
        let whole = whole.0.as_ref().as_ref().unwrap();
        assert_eq!(whole.spec.blocks.openai.as_ref().unwrap().model, "m");
    }
}
