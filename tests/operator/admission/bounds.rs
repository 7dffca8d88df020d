//! The bounds of the schema: the tests walk it, so that none is left out.

use realtime_token_operator::api::PROVIDER_FIELDS;
use serde_json::{Value, json};

use super::{ApiServer, Kind, merge};

/// A field that holds a value, not further fields.
#[derive(Debug)]
struct Leaf {
    path: Vec<String>,
    schema: Value,
}

fn leaves(schema: &Value, path: &[String], found: &mut Vec<Leaf>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = [path, std::slice::from_ref(name)].concat();
        if property["properties"].is_object() {
            leaves(property, &path, found);
        } else {
            found.push(Leaf {
                path,
                schema: property.clone(),
            });
        }
    }
}

fn leaves_of(kind: Kind) -> Vec<Leaf> {
    let mut found = Vec::new();
    leaves(&kind.schema()["properties"]["spec"], &[], &mut found);
    // Kubernetes' own type, with rows of its own in `rules`.
    found.retain(|leaf| leaf.path[0] != "namespaceSelector");
    // With rows of its own in `identities`.
    found.retain(|leaf| leaf.path.get(1).is_none_or(|second| second != "workloadIdentity"));
    // With rows of its own in `requests`.
    found.retain(|leaf| leaf.path.join(".") != "requests.overridable");
    // With rows of its own in `rules`.
    found.retain(|leaf| leaf.path.join(".") != "policy.allowedFields");
    // Two providers stand for all here; each has rows of its own in `conformance`.
    found.retain(|leaf| {
        let first = leaf.path[0].as_str();
        !PROVIDER_FIELDS.contains(&first) || ["openai", "elevenlabs"].contains(&first)
    });
    found
}

/// A valid spec in which the field may be set.
fn home(kind: Kind, path: &str) -> Value {
    let change = match path {
        "elevenlabs.participantName" => {
            json!({"openai": null, "elevenlabs": {"agentId": "a", "kind": "ConversationToken"}})
        }
        _ if path.starts_with("elevenlabs.") && kind == Kind::Token => {
            json!({"openai": null, "elevenlabs": {"agentId": "a"}})
        }
        _ if path.starts_with("elevenlabs.") => json!({"openai": null}),
        _ if path.starts_with("credentials.providerRef") => {
            json!({"credentials": {"secretRef": null}})
        }
        "rateLimit.burst" => json!({"rateLimit": {"requestsPerMinute": 1}}),
        "requests.rateLimit.burst" => json!({"requests": {"rateLimit": {"requestsPerMinute": 1}}}),
        "requests.subjectRateLimit.burst" => json!({"requests": {"subjectRateLimit": {"requestsPerMinute": 1}}}),
        "requests.ready" => json!({"requests": {"subject": "Optional"}}),
        "target.content" => json!({"requests": {}}),
        _ => json!({}),
    };
    merge(&kind.spec(), &change)
}

fn set(spec: &Value, path: &[String], value: &Value) -> Value {
    let mut changed = spec.clone();
    let mut place = &mut changed;
    for name in path {
        place = &mut place[name.as_str()];
    }
    *place = value.clone();
    changed
}

fn text(path: &str, length: u64) -> Value {
    let length = usize::try_from(length).unwrap();
    if path.ends_with(".endpoint") {
        return json!(format!("https://{}", "a".repeat(length.saturating_sub(8).max(1))));
    }
    json!("a".repeat(length))
}

fn strings(path: &str, schema: &Value) -> (Vec<Value>, Vec<(Value, String)>) {
    if let Some(variants) = schema["enum"].as_array() {
        let supported: Vec<String> = variants.iter().map(ToString::to_string).collect();
        let supported = format!("supported values: {}", supported.join(", "));
        // Those that go with the agent of `home`; the conformance file tries the others.
        let fit = if path == "elevenlabs.kind" {
            &variants[..2]
        } else {
            variants
        };
        return (
            fit.to_vec(),
            vec![
                (json!("Nope"), supported.clone()),
                (json!(variants[0].as_str().unwrap().to_lowercase()), supported),
            ],
        );
    }
    let (min, max) = (
        schema["minLength"].as_u64().unwrap_or(0),
        schema["maxLength"].as_u64().unwrap(),
    );
    let mut outside = vec![(text(path, max + 1), format!("may not be more than {max} bytes"))];
    if min > 0 {
        assert_eq!(min, 1, "{path}");
        outside.push((json!(""), "should be at least 1 chars long".to_owned()));
    }
    (vec![text(path, min), text(path, max)], outside)
}

fn integers(path: &str, schema: &Value) -> (Vec<Value>, Vec<(Value, String)>) {
    let bound = |name: &str| schema[name].as_f64().unwrap() as i64;
    let (min, max) = (bound("minimum"), bound("maximum"));
    let inside = match path {
        "expirationSeconds" => vec![json!(10), json!(7200)], // the provider's own limits are narrower
        "requests.minRemainingSeconds" => vec![json!(min), json!(1799)], // less than the life of a token
        _ => vec![json!(min), json!(max)],
    };
    let at_least = format!("should be greater than or equal to {min}");
    let at_most = format!("should be less than or equal to {max}");
    let outside = vec![
        (json!(min - 1), at_least),
        (json!(max + 1), at_most.clone()),
        (json!(i64::MAX), at_most),
        (json!(1.5), "must be of type int64: \"float64\"".to_owned()),
        (json!("60"), "must be of type integer: \"string\"".to_owned()),
    ];
    (inside, outside)
}

/// Values that fit, and values that don't with what is said of them.
fn values(path: &str, schema: &Value) -> (Vec<Value>, Vec<(Value, String)>) {
    let kind = schema["type"].as_str().unwrap();
    let (inside, mut outside) = match kind {
        "string" => strings(path, schema),
        "integer" => integers(path, schema),
        "boolean" => (
            vec![json!(true), json!(false)],
            vec![(json!("yes"), "must be of type boolean: \"string\"".into())],
        ),
        "array" => {
            let (min, max) = (
                schema["minItems"].as_u64().unwrap_or(0),
                schema["maxItems"].as_u64().unwrap(),
            );
            let of = |count: u64| json!(vec!["a"; usize::try_from(count).unwrap()]);
            let mut outside = vec![(of(max + 1), format!("must have at most {max} items"))];
            if min > 0 {
                outside.push((of(min - 1), format!("should have at least {min} items")));
            }
            let (fit, unfit) = strings(path, &schema["items"]);
            outside.extend(unfit.into_iter().map(|(value, said)| (json!([value]), said)));
            (
                fit.into_iter()
                    .map(|value| json!([value]))
                    .chain([of(min), of(max)])
                    .collect(),
                outside,
            )
        }
        "object" if schema["additionalProperties"].is_object() => {
            let max = schema["maxProperties"].as_u64().unwrap();
            let of = |count: u64| Value::Object((0..count).map(|n| (format!("k{n}"), json!("v"))).collect());
            let (fit, unfit) = strings(path, &schema["additionalProperties"]);
            let mut outside: Vec<_> = unfit
                .into_iter()
                .map(|(value, said)| (json!({"k": value}), said))
                .collect();
            outside.push((of(max + 1), format!("must have at most {max} items")));
            outside.push((json!({"k": 5}), "must be of type string: \"integer\"".into()));
            (
                fit.into_iter()
                    .map(|value| json!({"k": value}))
                    .chain([of(max)])
                    .collect(),
                outside,
            )
        }
        "object" => {
            let max = schema["maxProperties"].as_u64().unwrap();
            let of = |count: u64| Value::Object((0..count).map(|n| (format!("k{n}"), json!({"v": [n]}))).collect());
            (
                vec![json!({}), json!({"any": {"depth": [null]}}), of(max)],
                vec![(of(max + 1), format!("must have at most {max} items"))],
            )
        }
        other => panic!("{path}: {other}"),
    };
    let (other, said) = match kind {
        "object" => (json!([1]), "must be of type object: \"array\"".to_owned()),
        "integer" => (json!({"a": 1}), "must be of type int64".to_owned()),
        _ => (json!({"a": 1}), format!("must be of type {kind}: \"object\"")),
    };
    // An enum is compared before its type is looked at.
    if !schema["enum"].is_array() {
        outside.push((other, said));
    }
    (inside, outside)
}

#[tokio::test]
async fn every_bound_and_every_type() {
    let server = ApiServer::new().await;
    let mut tried = 0;
    for kind in Kind::ALL {
        for leaf in leaves_of(kind) {
            let path = leaf.path.join(".");
            let home = home(kind, &path);
            let (inside, outside) = values(&path, &leaf.schema);
            for value in inside {
                server.accepts(kind, &set(&home, &leaf.path, &value)).await;
                tried += 1;
            }
            for (value, said) in outside {
                let spec = set(&home, &leaf.path, &value);
                let complaints = server.admit(kind, &spec).await.unwrap_err();
                let field = format!("spec.{path}");
                assert!(
                    complaints
                        .iter()
                        .any(|it| it.field.starts_with(&field) && it.text.contains(&said)),
                    "{path} = {value}\nexpected {field}: {said}\ngot {complaints:#?}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 200, "only {tried} values were tried");
}

#[tokio::test]
async fn required_fields_are_named() {
    let server = ApiServer::new().await;
    for (kind, change, field) in [
        (Kind::Token, json!({"credentials": null}), "spec.credentials"),
        (Kind::Token, json!({"openai": {"model": null}}), "spec.openai.model"),
        (
            Kind::Token,
            json!({"credentials": {"secretRef": {"name": null}}}),
            "spec.credentials.secretRef.name",
        ),
        (
            Kind::Token,
            json!({"credentials": {"secretRef": null, "providerRef": {}}}),
            "spec.credentials.providerRef.name",
        ),
        (Kind::Provider, json!({"credentials": null}), "spec.credentials"),
        (
            Kind::Provider,
            json!({"rateLimit": {"burst": 5}}),
            "spec.rateLimit.requestsPerMinute",
        ),
        (
            Kind::Provider,
            json!({"namespaceSelector": {"matchExpressions": [{"key": "a"}]}}),
            "spec.namespaceSelector.matchExpressions[0].operator",
        ),
    ] {
        server
            .refuses(kind, &merge(&kind.spec(), &change), field, "Required value")
            .await;
    }
    let misspelt =
        json!({"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]}});
    let spec = merge(&Kind::Provider.spec(), &misspelt);
    let complaints = server.admit(Kind::Provider, &spec).await.unwrap_err();
    let said = "supported values: \"In\", \"NotIn\", \"Exists\", \"DoesNotExist\"";
    assert!(complaints[0].text.contains(said), "{complaints:?}");
}

/// A field set to null is a field left out, wherever it is: tools that render YAML leave such behind.
#[tokio::test]
async fn null_means_left_out() {
    let server = ApiServer::new().await;
    for kind in Kind::ALL {
        for leaf in leaves_of(kind) {
            let path = leaf.path.join(".");
            if ["openai.model", "elevenlabs.agentId"].contains(&path.as_str())
                || path.to_lowercase().ends_with("ratelimit.requestsperminute")
                || path.starts_with("credentials.") && path.ends_with(".name")
            {
                continue; // required
            }
            let with = set(&home(kind, &path), &leaf.path, &Value::Null);
            let without = server.accepts(kind, &strip(&with)).await;
            let with = server.accepts(kind, &with).await;
            assert_eq!(with["spec"], without["spec"], "{path}");
        }
    }
}

/// Without nulls.
fn strip(value: &Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), strip(value)))
            .collect(),
        other => other.clone(),
    }
}
