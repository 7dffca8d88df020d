//! A RealtimeToken that may not parse: a broken one must not stop the watch for all.
//!
//! Does what kube's `DeserializeGuard` does without building two trees of each object on the way: ten thousand objects
//! and two events for each rotation come through here.

use std::borrow::Cow;

use kube::Resource;
use kube::core::{ObjectMeta, PartialObjectMeta};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::RealtimeToken;

/// A RealtimeToken, or what is left of one that can't be read.
#[derive(Clone, Debug)]
pub struct Guarded(pub Result<RealtimeToken, Unreadable>);

/// An object that isn't a RealtimeToken as this version knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// What is wrong.
    pub error: String,
    /// The object's metadata.
    pub metadata: ObjectMeta,
}

impl<'de> Deserialize<'de> for Guarded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        match serde_json::from_str(text.get()) {
            Ok(token) => Ok(Self(Ok(token))),
            Err(problem) => {
                let object: PartialObjectMeta<RealtimeToken> =
                    serde_json::from_str(text.get()).map_err(D::Error::custom)?;
                Ok(Self(Err(Unreadable {
                    error: placeless(&problem),
                    metadata: object.metadata,
                })))
            }
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
        match &self.0 {
            Ok(token) => &token.metadata,
            Err(unreadable) => &unreadable.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        match &mut self.0 {
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
            "metadata":{"name":"broken","namespace":"shop","uid":"u"},"spec":{"openai":[]}}}"#;
        let Ok(WatchEvent::Added(broken)) = serde_json::from_str::<WatchEvent<Guarded>>(event)
        else {
            panic!("the event is read");
        };
        assert_eq!(broken.meta().name.as_deref(), Some("broken"));
        let error = broken.0.unwrap_err().error;
        assert!(
            error.contains("invalid type") && !error.contains("column"),
            "{error}"
        );

        let event = event.replace(
            r#"{"openai":[]}"#,
            r#"{"openai":{"model":"m"},"credentials":{}}"#,
        );
        let Ok(WatchEvent::Added(whole)) = serde_json::from_str::<WatchEvent<Guarded>>(&event)
        else {
            panic!("the event is read");
        };
        assert_eq!(whole.0.unwrap().spec.openai.unwrap().model, "m");
    }
}
