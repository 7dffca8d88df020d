//! The metadata that every object has: it is no part of a CRD, and Kubernetes' own type knows its fields.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::Refusal;
use super::schema::Findings;

const LONGEST_NAME: usize = 253;
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start \
     and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
     '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// Fields that Kubernetes' type doesn't keep.
pub(super) fn unknown_fields(metadata: &Value) -> Vec<Refusal> {
    let Ok(known) = serde_json::from_value::<ObjectMeta>(metadata.clone()) else {
        return Vec::new(); // `check` says so
    };
    let known = serde_json::to_value(known).unwrap_or_default();
    let given = metadata.as_object().into_iter().flatten();
    given
        .filter(|(name, value)| !value.is_null() && known.get(name).is_none())
        .map(|(name, _)| Refusal::new("", format!("unknown field \"metadata.{name}\"")))
        .collect()
}

/// What is wrong with types and name.
pub(super) fn check(metadata: &Value, found: &mut Findings) {
    let given = metadata.as_object().cloned().unwrap_or_default();
    let (name, prefix) = match serde_json::from_value::<ObjectMeta>(Value::Object(given)) {
        Ok(typed) => (typed.name.unwrap_or_default(), typed.generate_name.unwrap_or_default()),
        Err(problem) => return found.block("metadata", format!("Invalid value: {problem}")),
    };
    match (name.as_str(), prefix.as_str()) {
        ("", "") => found.block(
            "metadata.name",
            "Required value: name or generateName is required".to_owned(),
        ),
        ("", prefix) => check_name(&generated(prefix), found),
        (name, _) => check_name(name, found),
    }
}

/// A name as the API server makes one of `generateName`.
pub(super) fn generated(prefix: &str) -> String {
    format!("{prefix}xxxxx")
}

fn check_name(name: &str, found: &mut Findings) {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good =
        |part: &str| !part.is_empty() && part.chars().all(inner) && !part.starts_with('-') && !part.ends_with('-');
    let mut refuse = |problem: &str| found.add("metadata.name", format!("Invalid value: {name:?}: {problem}"));
    if name.len() > LONGEST_NAME {
        refuse("must be no more than 253 characters");
    }
    if !name.split('.').all(good) {
        refuse(SUBDOMAIN);
    }
}
