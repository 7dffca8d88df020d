//! Holds a call against all recorded requests of its path: names that none has, and names that all have.

use std::collections::HashSet;

use serde_json::Value;

use super::asked::Asked;
use super::face::{ORDINARY, Refusal};

pub(super) fn headers(asked: &Asked, known: &[&Value]) -> Result<(), Refusal> {
    let recorded = |name: &str| {
        known
            .iter()
            .filter_map(|known| known["headers"].as_object())
            .any(|headers| headers.keys().any(|key| key.eq_ignore_ascii_case(name)))
    };
    for (name, value) in &asked.headers {
        if !ORDINARY.contains(&name.as_str()) && !recorded(name) {
            return Err(Refusal::bad(name.clone(), format!("unknown header {name}")));
        }
        let types: Vec<&str> = known
            .iter()
            .filter_map(|known| known["headers"].as_object())
            .flatten()
            .filter(|(key, _)| key.eq_ignore_ascii_case("content-type"))
            .filter_map(|(_, value)| value.as_str())
            .collect();
        if name == "content-type" && !types.contains(&value.as_str()) {
            return Err(Refusal::bad(
                "content-type",
                format!("content-type must be {types:?}, not {value}"),
            ));
        }
    }
    let names = known.iter().map(|known| names(known["headers"].as_object()));
    match in_all(names).find(|name| asked.header(name).is_none()) {
        Some(name) => Err(Refusal::bad(name.clone(), format!("missing header {name}"))),
        None => Ok(()),
    }
}

fn names(headers: Option<&serde_json::Map<String, Value>>) -> HashSet<String> {
    let names = headers.into_iter().flat_map(|headers| headers.keys());
    names.map(|name| name.to_ascii_lowercase()).collect()
}

/// What every recorded request has.
fn in_all(sets: impl Iterator<Item = HashSet<String>>) -> impl Iterator<Item = String> {
    let common = sets.reduce(|common, set| &common & &set);
    common.unwrap_or_default().into_iter()
}

pub(super) fn query(asked: &Asked, known: &[&Value]) -> Result<(), Refusal> {
    let keys = |known: &&Value| -> HashSet<String> {
        let path = known["path"].as_str().unwrap_or_default();
        let query = path.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| pair.split('=').next().unwrap_or(pair).to_owned())
            .collect()
    };
    let recorded: HashSet<String> = known.iter().flat_map(keys).collect();
    let mut seen = HashSet::new();
    for (key, value) in asked.raw_query() {
        if !recorded.contains(key) {
            return Err(Refusal::bad(key, format!("unknown query key {key}")));
        }
        if !seen.insert(key) {
            return Err(Refusal::bad(key, format!("query key {key} sent twice")));
        }
        if value.contains('+') {
            let message = format!("query key {key} has a raw +; SDKs write a space as %20");
            return Err(Refusal::bad(key, message));
        }
    }
    match in_all(known.iter().map(keys)).find(|key| !seen.contains(key.as_str())) {
        Some(key) => Err(Refusal::bad(key.clone(), format!("missing query key {key}"))),
        None => Ok(()),
    }
}

/// Every field is one that some recorded body has, with a value of the same type.
pub(super) fn same_shape(body: &Value, known: &[&Value], place: &str) -> Result<(), Refusal> {
    let Value::Object(fields) = body else {
        return Ok(());
    };
    for (key, value) in fields {
        let place = format!("{place}/{key}");
        let theirs: Vec<&Value> = known.iter().filter_map(|known| known.get(key)).collect();
        if theirs.is_empty() {
            return Err(Refusal::bad(place.clone(), format!("unknown field {place}")));
        }
        let same = |other: &&Value| std::mem::discriminant(*other) == std::mem::discriminant(value) || other.is_null();
        if !theirs.iter().any(same) {
            let message = format!("field {place} has another type than {}", theirs[0]);
            return Err(Refusal::bad(place, message));
        }
        same_shape(value, &theirs, &place)?;
    }
    Ok(())
}
