//! What a caller asks for beside a RealtimeToken's spec: who the token is for, and values for fields that the spec lets
//! callers set. The result passes the same checks as a RealtimeToken that is applied; [`super::resolve_for`] comes after.
//!
//! Overrides are merged as RFC 7396 has it, without its nulls: they would remove what the owner of the spec has set.

use std::fmt;

use serde_json::{Map, Value};

use super::overridable::Overridable;
use super::subject;
use crate::admission::{self, admit};
use crate::api::{RealtimeToken, SubjectUse};

/// No spec is deeper.
const DEEPEST: usize = 32;
/// Names that mean something else than a field to JavaScript programs, which may read what we send on.
const OF_JAVASCRIPT: [&str; 3] = ["__proto__", "constructor", "prototype"];
/// What is longer isn't repeated whole in an answer.
const LONGEST_FIELD: usize = 128;
const LONGEST_PROBLEM: usize = 600;

/// What a caller asks for. Without Debug: a subject is personal data.
#[derive(Clone, Default)]
pub(crate) struct Customization {
    pub(crate) subject: Option<String>,
    pub(crate) overrides: Option<Map<String, Value>>,
}

/// Why a request can't be met. None of them repeats the subject.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The field below `spec`.
    #[error("{field} can't be overridden: the RealtimeToken's spec.requests.overridable doesn't list it")]
    NotOverridable { field: String },
    #[error("name the subject: the RealtimeToken's spec.requests.subject is Required")]
    SubjectRequired,
    #[error("{problem}")]
    Invalid { problem: String },
}

impl Customization {
    /// The subject that counts, checked.
    pub(crate) fn subject_for(&self, token: &RealtimeToken) -> Result<Option<&str>, Refused> {
        let used = token.spec.requests.as_ref().map(|requests| requests.subject);
        let subject = self.subject.as_deref().map(subject::admit).transpose();
        match (used.unwrap_or(SubjectUse::Ignored), subject.map_err(invalid)?) {
            (SubjectUse::Required, None) => Err(Refused::SubjectRequired),
            (SubjectUse::Ignored, _) => Ok(None),
            (SubjectUse::Required | SubjectUse::Optional, subject) => Ok(subject),
        }
    }
}

/// The RealtimeToken as the caller wants it. Its subject is not in there: [`super::resolve_for`] puts it into its place.
pub(crate) fn customized(token: &RealtimeToken, asked: &Customization) -> Result<RealtimeToken, Refused> {
    asked.subject_for(token)?;
    let Some(overrides) = asked.overrides.as_ref().filter(|overrides| !overrides.is_empty()) else {
        return Ok(token.clone());
    };
    let overridable = Overridable::of(&token.spec);
    check(overrides, &mut Vec::new(), &overridable)?;
    let mut object = serde_json::to_value(token).map_err(|_| unreadable())?;
    let spec = object.get_mut("spec").and_then(Value::as_object_mut);
    merge(spec.ok_or_else(unreadable)?, overrides);
    let admitted = admit(&object).map_err(|refusals| invalid(complaints(&refusals)))?;
    let spec = admitted.get("spec").cloned().unwrap_or_default();
    let spec = serde_json::from_value(spec).map_err(|problem| invalid(format!("overrides: {problem}")))?;
    Ok(RealtimeToken { spec, ..token.clone() })
}

/// Every leaf must be a field that may be set. An object without fields is a leaf.
fn check<'a>(
    fields: &'a Map<String, Value>,
    path: &mut Vec<&'a str>,
    overridable: &Overridable<'_>,
) -> Result<(), Refused> {
    for (name, value) in fields {
        path.push(name);
        if path.len() > DEEPEST {
            return Err(too_deep());
        }
        match value {
            _ if OF_JAVASCRIPT.contains(&name.as_str()) => return Err(not_overridable(path)),
            Value::Object(below) if !below.is_empty() => check(below, path, overridable)?,
            leaf if overridable.covers(path) => check_leaf(leaf, path, DEEPEST - path.len())?,
            _ => return Err(not_overridable(path)),
        }
        path.pop();
    }
    Ok(())
}

/// A leaf has no nulls, and is not too deep. Arrays are leaves.
fn check_leaf(value: &Value, path: &[&str], levels: usize) -> Result<(), Refused> {
    let below = levels.checked_sub(1);
    match value {
        Value::Null => Err(invalid(format!(
            "overrides: {}: null removes a field from a spec, which a request can't; leave it out",
            shown(path)
        ))),
        Value::Array(items) => {
            let levels = below.ok_or_else(too_deep)?;
            items.iter().try_for_each(|item| check_leaf(item, path, levels))
        }
        Value::Object(fields) => {
            let levels = below.ok_or_else(too_deep)?;
            fields
                .iter()
                .try_for_each(|(name, value)| match OF_JAVASCRIPT.contains(&name.as_str()) {
                    true => Err(not_overridable(&[path, &[name.as_str()]].concat())),
                    false => check_leaf(value, path, levels),
                })
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn merge(into: &mut Map<String, Value>, overrides: &Map<String, Value>) {
    for (name, value) in overrides {
        match (into.get_mut(name), value) {
            (Some(Value::Object(into)), Value::Object(overrides)) => merge(into, overrides),
            _ => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

fn not_overridable(path: &[&str]) -> Refused {
    Refused::NotOverridable { field: shown(path) }
}

fn too_deep() -> Refused {
    invalid(format!("overrides: more than {DEEPEST} levels deep"))
}

fn unreadable() -> Refused {
    invalid("the RealtimeToken can't be read")
}

fn invalid(problem: impl fmt::Display) -> Refused {
    Refused::Invalid {
        problem: problem.to_string(),
    }
}

fn shown(path: &[&str]) -> String {
    plain(&path.join("."), LONGEST_FIELD)
}

/// The first of them. The values in them are the caller's own or the spec's.
fn complaints(refusals: &[admission::Refusal]) -> String {
    let few: Vec<String> = refusals.iter().take(3).map(ToString::to_string).collect();
    plain(&few.join("; "), LONGEST_PROBLEM)
}

/// A text as it may go into an answer and a log line: visible ASCII and spaces, the rest escaped, and cut.
fn plain(text: &str, longest: usize) -> String {
    let mut plain = String::new();
    for c in text.chars() {
        if plain.len() >= longest {
            return plain + "…";
        }
        match c {
            ' '..='~' | '…' => plain.push(c),
            _ => plain.extend(c.escape_unicode()),
        }
    }
    plain
}
