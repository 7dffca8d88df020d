use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// A JSON object in the provider's own words, kept as its text, as Kubernetes' `RawExtension` is. Ten thousand specs are
/// kept while their tokens are valid, and parsed an object takes ten times its text.
#[derive(Clone, PartialEq, Eq)]
pub struct RawObject(Box<str>);

impl RawObject {
    /// The object, parsed.
    #[must_use]
    pub fn read(&self) -> Map<String, Value> {
        // It was written from an object, and serde_json reads what it wrote.
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// One value of it, parsed.
    pub(crate) fn get(&self, key: &str) -> Option<Value> {
        self.read().remove(key)
    }

    /// Its length as JSON, in bytes.
    pub(crate) fn size(&self) -> usize {
        self.0.len()
    }
}

impl Default for RawObject {
    fn default() -> Self {
        Self("{}".into())
    }
}

impl From<Map<String, Value>> for RawObject {
    fn from(object: Map<String, Value>) -> Self {
        Self(Value::Object(object).to_string().into())
    }
}

impl From<RawObject> for Value {
    fn from(object: RawObject) -> Self {
        Self::Object(object.read())
    }
}

impl fmt::Debug for RawObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for RawObject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.read().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_given_is_what_is_read() {
        let given = json!({"z": 1.6381611992198695, "a": {"text": "\u{1f600}\n\"", "list": [null, true, 18_446_744_073_709_551_615_u64]}});
        let object: RawObject = serde_json::from_value(given.clone()).unwrap();
        assert_eq!(Value::from(object.clone()), given);
        assert_eq!(serde_json::to_value(&object).unwrap(), given);
        assert_eq!(object.size(), given.to_string().len());
        assert_eq!(object.get("z"), Some(json!(1.6381611992198695)));
        // In the order in which it was written: providers and people compare texts.
        assert!(object.read().keys().eq(["z", "a"]));
        assert_eq!(Value::from(RawObject::default()), json!({}));
        for other in [json!("{}"), json!([]), json!(1)] {
            assert!(serde_json::from_value::<RawObject>(other).is_err());
        }
    }
}
