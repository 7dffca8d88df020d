//! Agreement with an API server is tested on one, in `tests/operator/admission`; here is what must hold for that.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn token(change: impl FnOnce(&mut Value)) -> Value {
    let mut object = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "voice"},
        "spec": {"credentials": {"secretRef": {"name": "key"}}, "openai": {"model": "m"}},
    });
    change(&mut object);
    object
}

fn refused(object: &Value) -> Vec<String> {
    let refusals = admit(object).unwrap_err();
    refusals.iter().map(ToString::to_string).collect()
}

fn walk(schema: &Value, look: &mut impl FnMut(&Value)) {
    look(schema);
    let named = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(_, below)| below);
    for below in named.chain([&schema["items"], &schema["additionalProperties"]]) {
        if below.is_object() {
            walk(below, look);
        }
    }
}

fn every_schema(mut look: impl FnMut(&Value)) {
    for crd in crds().unwrap() {
        let schema = crd.spec.versions[0].schema.as_ref().unwrap();
        walk(&serde_json::to_value(&schema.open_api_v3_schema).unwrap(), &mut look);
    }
}

/// A keyword that the types begin to use is implemented here, or this test fails.
#[test]
fn every_keyword_of_the_crds_is_known() {
    let known = BTreeSet::from([
        "additionalProperties",
        "default",
        "description",
        "enum",
        "format", // int64, which the type implies; date-time, in the status alone
        "items",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minimum",
        "properties",
        "required",
        "title",
        "type",
        "x-kubernetes-list-map-keys", // in the status alone
        "x-kubernetes-list-type",
        "x-kubernetes-preserve-unknown-fields",
        "x-kubernetes-validations",
    ]);
    let mut unknown = BTreeSet::new();
    every_schema(|schema| {
        let used = schema.as_object().unwrap().keys();
        unknown.extend(used.filter(|keyword| !known.contains(keyword.as_str())).cloned());
    });
    assert_eq!(unknown, BTreeSet::new());
}

/// Kubernetes' own CEL libraries are not in the crate; nor is `reason` followed.
#[test]
fn every_rule_can_be_read() {
    let known = ["fieldPath", "message", "messageExpression", "optionalOldSelf", "rule"];
    let environment = cel::Env::stdlib();
    let mut rules = 0;
    every_schema(|schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            assert!(
                rule.as_object()
                    .unwrap()
                    .keys()
                    .all(|key| known.contains(&key.as_str())),
                "{rule}"
            );
            let path = rule["fieldPath"].as_str();
            assert!(
                path.is_none_or(|path| path.starts_with('.') && !path.contains('[')),
                "{rule}"
            );
            for cel in [&rule["rule"], &rule["messageExpression"]]
                .into_iter()
                .filter_map(Value::as_str)
            {
                let program = environment.compile(cel).unwrap();
                let functions = program.references().functions().join(" ");
                let standard = |name: &str| name.starts_with('_') || name.ends_with('_') || name.starts_with('@');
                let known = [
                    "contains",
                    "dyn",
                    "hasValue",
                    "matches",
                    "optional.of",
                    "orValue",
                    "size",
                    "startsWith",
                    "value",
                ];
                let other: Vec<_> = functions
                    .split(' ')
                    .filter(|name| !standard(name) && !known.contains(name) && !name.is_empty())
                    .collect();
                assert_eq!(other, [""; 0], "{cel}");
                rules += 1;
            }
        }
    });
    assert!(rules > 30, "{rules}");
}

#[test]
fn defaults_are_filled_in_and_nulls_dropped() {
    let object = token(|object| {
        object["spec"]["renewal"] = json!(null);
        object["spec"]["openai"]["kind"] = json!(null);
        object["spec"]["openai"]["session"] = json!({"audio": null});
        object["status"] = json!({"revision": 7});
    });
    let admitted = admit(&object).unwrap();
    assert_eq!(admitted["spec"]["openai"]["kind"], "Realtime");
    assert_eq!(admitted["spec"]["renewal"]["minRemainingSeconds"], 90);
    assert_eq!(
        admitted["spec"]["openai"]["session"],
        json!({"audio": null}),
        "it is the provider's"
    );
    assert_eq!(admitted.get("status"), None);
}

#[test]
fn unknown_fields_come_first_and_name_the_known() {
    let object = token(|object| {
        object["spec"]["openai"] = json!({"modle": "m"});
        object["metadata"]["label"] = json!({});
        object["specs"] = json!({});
    });
    let said = refused(&object);
    assert_eq!(said[0], "unknown field \"metadata.label\"");
    assert!(said[1].starts_with("unknown field \"spec.openai.modle\"; known here are endpoint, kind, model, "));
    assert!(said[2].starts_with("unknown field \"specs\"; known here are apiVersion, "));
}

#[test]
fn types_before_rules() {
    let both = token(|object| {
        object["spec"]["azureOpenAI"] = json!({});
        object["spec"]["expirationSeconds"] = json!("60");
    });
    assert_eq!(
        refused(&both),
        [
            "spec.azureOpenAI.deployment: Required value",
            "spec.expirationSeconds: Invalid value: \"string\": spec.expirationSeconds in body must be of type integer: \
             \"string\"",
        ]
    );
    let rule = token(|object| object["spec"]["expirationSeconds"] = json!(9));
    assert_eq!(
        refused(&rule),
        ["spec: Invalid value: expirationSeconds: OpenAI client secrets live 10 to 7200 seconds"]
    );
}

#[test]
fn names() {
    for (metadata, said) in [
        (
            json!(null),
            "metadata.name: Required value: name or generateName is required",
        ),
        (
            json!({"name": "Voice"}),
            "metadata.name: Invalid value: \"Voice\": a lowercase RFC 1123",
        ),
        (json!({"name": "a".repeat(254)}), "must be no more than 253 characters"),
        (
            json!({"name": "a".repeat(64)}),
            "metadata.name: Invalid value: at most 63 characters",
        ),
        (
            json!({"generateName": "a".repeat(59)}),
            "metadata.name: Invalid value: at most 63 characters",
        ),
        (json!({"name": 5}), "metadata: Invalid value: "),
    ] {
        let said_instead = refused(&token(|object| object["metadata"] = metadata)).join("; ");
        assert!(said_instead.contains(said), "{said_instead}");
    }
    assert!(admit(&token(|object| object["metadata"] = json!({"generateName": "voice-"}))).is_ok());
}

#[test]
fn a_kind_that_no_crd_has() {
    let object = json!({"apiVersion": "v1", "kind": "Secret"});
    assert_eq!(refused(&object), ["no matches for kind \"Secret\" in version \"v1\""]);
}
