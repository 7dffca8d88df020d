//! Overrides of a request, from what a caller sends to what the provider gets or the token holds: each field that
//! `spec.requests.overridable` may list arrives in its place and changes nothing else, and is refused by name if the list
//! hasn't it.

use std::collections::BTreeSet;

use testkit::conformance::Override;

use super::leaves::leaves;
use super::subjects::SUBJECT;
use super::*;
use crate::api::{FieldUse, RealtimeToken};
use crate::resolve::customize::{Customization, Refused, customized};

/// The spec as the caller wants it, where the owner's lists these fields.
fn customize(spec: &Value, overridable: &[String], overrides: &Value) -> Result<Value, Refused> {
    let mut spec = spec.clone();
    if spec.get("credentials").is_none() {
        spec["credentials"] = json!({"secretRef": {"name": "key"}});
    }
    spec["requests"] = json!({"subject": "Optional", "overridable": overridable});
    let token: RealtimeToken = serde_json::from_value(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "voice", "namespace": "apps"}, "spec": spec,
    }))
    .unwrap();
    let asked = Customization {
        subject: None,
        overrides: overrides.as_object().cloned(),
    };
    customized(&token, &asked).map(|customized| serde_json::to_value(customized.spec).unwrap())
}

/// The paths of the values, joined by dots. A list is a value, and so is an object without fields.
fn paths(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object() {
        Some(fields) if !fields.is_empty() => {
            for (name, value) in fields {
                let dot = if path.is_empty() { "" } else { "." };
                paths(value, &format!("{path}{dot}{name}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

fn paths_of(case: &Override) -> Vec<String> {
    let mut found = Vec::new();
    paths(&case.set, "", &mut found);
    found
}

/// Every field of a provider's block that is not the account's, as deep as the schema knows it.
fn fields_of(provider: &str) -> Vec<String> {
    fn below(schema: &Value, path: &str, found: &mut Vec<String>) {
        match schema["properties"].as_object() {
            Some(properties) => {
                for (name, property) in properties {
                    below(property, &format!("{path}.{name}"), found);
                }
            }
            None => found.push(path.to_owned()),
        }
    }
    let crds = serde_json::to_value(crate::api::crds().unwrap()).unwrap();
    let block = |kind: usize| {
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties";
        let block = crds[kind].pointer(&format!("{spec}/{provider}/properties"));
        block.and_then(Value::as_object).cloned().unwrap_or_default()
    };
    let account = block(1);
    let mut found = Vec::new();
    for (name, field) in block(0).iter().filter(|(name, _)| !account.contains_key(*name)) {
        below(field, &format!("{provider}.{name}"), &mut found);
    }
    found
}

/// The texts by their place. Segments of a path have one place.
fn by_place(spec: &Value, subject: Option<&str>, secret: &Value) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (place, text) in leaves(&ask_for(spec, subject), secret).unwrap() {
        places.entry(place).or_default().push(text);
    }
    places
}

/// A text, a number or a list of them, as the leaves have it.
fn expected(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Null => None,
        Value::Array(items) if !items.is_empty() => Some(items.iter().map(text).collect()),
        one => Some(vec![text(one)]),
    }
}

#[test]
fn what_is_listed_arrives_and_nothing_else_changes() {
    let mut wrong = Vec::new();
    for file in all().unwrap() {
        for case in &file.overrides {
            let name = format!("{}: {}", file.field, case.set);
            let spec = case.spec.as_ref().unwrap_or(&file.example);
            let customized = customize(spec, &paths_of(case), &case.set).unwrap_or_else(|why| panic!("{name}: {why}"));
            let before = by_place(spec, None, &file.secret);
            let after = by_place(&customized, None, &file.secret);
            let places: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            let changed = places
                .into_iter()
                .filter(|place| before.get(*place) != after.get(*place));
            let changed: BTreeMap<_, _> = changed
                .map(|place| (place.clone(), after.get(place).cloned()))
                .collect();
            let arrives = case.arrives.iter();
            let arrives: BTreeMap<_, _> = arrives.map(|(place, value)| (place.clone(), expected(value))).collect();
            if changed != arrives || arrives.is_empty() {
                wrong.push(format!("{name}: {changed:?} in place of {arrives:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_listed_is_refused_by_name() {
    for file in all().unwrap() {
        for case in &file.overrides {
            let spec = case.spec.as_ref().unwrap_or(&file.example);
            let listed = paths_of(case);
            for field in &listed {
                // A name that begins alike covers nothing.
                let others = listed.iter().filter(|other| *other != field).cloned();
                let others: Vec<String> = others.chain([format!("{field}X")]).collect();
                let refused = Refused::NotOverridable { field: field.clone() };
                assert_eq!(
                    customize(spec, &others, &case.set),
                    Err(refused),
                    "{}: {}",
                    file.field,
                    case.set
                );
            }
        }
    }
}

/// A field that is added to a provider has no case: this fails until it has one.
#[test]
fn every_field_has_a_case_or_a_reason() {
    let mut without = Vec::new();
    for file in all().unwrap() {
        let set: Vec<String> = file.overrides.iter().flat_map(paths_of).collect();
        let fields = fields_of(&file.field);
        let is_set = |field: &str| {
            let mut set = set.iter();
            set.any(|set| set == field || set.strip_prefix(field).is_some_and(|below| below.starts_with('.')))
        };
        for (field, reason) in &file.not_overridden {
            let name = format!("{}: not_overridden: {field}", file.field);
            assert!(!reason.is_empty(), "{name}: no reason");
            if *field == file.field {
                assert_eq!(fields, [""; 0], "{name}: has fields that are not the account's");
                continue;
            }
            assert_eq!(field, "expirationSeconds", "{name}");
            let refused = customize(
                &file.example,
                std::slice::from_ref(field),
                &json!({"expirationSeconds": 600}),
            );
            let Err(Refused::Invalid { problem }) = refused else {
                panic!("{name}: {refused:?}");
            };
            assert!(problem.contains("expirationSeconds: "), "{name}: {problem}");
        }
        if fields.is_empty() {
            assert!(file.not_overridden.contains_key(&file.field), "{}: say why", file.field);
        }
        for field in fields.iter().map(String::as_str).chain(["expirationSeconds"]) {
            let reason = file.not_overridden.get(field);
            if is_set(field) == reason.is_some() {
                without.push(format!("{}: {field}", file.field));
            }
        }
    }
    assert!(
        without.is_empty(),
        "in tests/conformance a case in `overrides`, or a reason in `not_overridden`, and not both: {without:#?}"
    );
}

/// Else a caller could take a token for another subject than its limit and its audit line name.
#[test]
fn an_override_never_takes_the_place_of_the_subject() {
    for file in all().unwrap() {
        let places = file.subject.iter().flat_map(|subject| &subject.places);
        let places: Vec<&String> = places.collect();
        let mut tried = 0;
        for case in &file.overrides {
            let spec = case.spec.as_ref().unwrap_or(&file.example);
            let customized = customize(spec, &paths_of(case), &case.set).unwrap();
            let after = by_place(&customized, Some(SUBJECT), &file.secret);
            for place in places.iter().filter(|place| case.arrives.contains_key(**place)) {
                let texts = after.get(*place).unwrap();
                let subjects = texts.iter().all(|text| text.contains(SUBJECT));
                assert!(subjects, "{}: {}: {place} is {texts:?}", file.field, case.set);
                tried += 1;
            }
        }
        // In `http` and `jwt` no field but the text of the owner says where a subject goes.
        let block = ask(&file.example).block;
        let mut uses = block.provider().facts().fields.iter().copied().flatten();
        let has_field = uses.any(|(path, is)| *is == FieldUse::Identity && !path.starts_with("params."));
        assert_eq!(
            tried > 0,
            has_field,
            "{}: a case that sets the field for the subject",
            file.field
        );
    }
}
