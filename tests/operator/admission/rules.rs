//! The CEL rules: each accepts and refuses, and says what the type says.

pub(in crate::admission) mod messages;
mod providers;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::messages::*;
use super::{ApiServer, Complaint, Kind, merge};

type Refusal = (Value, &'static str, &'static str);

fn elevenlabs() -> Value {
    json!({"openai": null, "elevenlabs": {"agentId": "a"}})
}

fn by_provider() -> Value {
    json!({"credentials": {"secretRef": null, "providerRef": {"name": "p"}}})
}

fn and(one: Value, other: Value) -> Value {
    // `merge` would take the nulls of the first for removals.
    let (mut one, other) = (one, other);
    for (key, value) in other.as_object().unwrap() {
        let before = one.get(key).filter(|before| before.is_object());
        one[key] = before.map_or_else(|| value.clone(), |before| and(before.clone(), value.clone()));
    }
    one
}

fn template(metadata: Value) -> Value {
    json!({"target": {"template": {"metadata": metadata}}})
}

fn data(data: Value) -> Value {
    json!({"target": {"template": {"data": data}}})
}

/// Changes to the smallest spec of a RealtimeToken that the rules let pass.
fn accepted() -> Vec<Value> {
    vec![
        json!({}),
        elevenlabs(),
        by_provider(),
        and(elevenlabs(), by_provider()),
        json!({"expirationSeconds": 10}),
        json!({"expirationSeconds": 7200}),
        json!({"openai": {"region": "EU", "organization": "org-1", "project": "proj_1"}}),
        and(
            elevenlabs(),
            json!({"elevenlabs": {"region": "India", "endpoint": "https://gw.example"}}),
        ),
        and(
            elevenlabs(),
            json!({"elevenlabs": {"kind": "ConversationToken", "participantName": "Bo B."}}),
        ),
        json!({"renewal": {"renewBeforePercentage": 50}}),
        json!({"renewal": {"renewBeforeSeconds": 50}}),
        json!({"openai": {"endpoint": "http://127.0.0.1:8080"}}),
        json!({"openai": {"endpoint": "http://[::1]:8080"}}),
        json!({"openai": {"endpoint": "https://gateway.example.com/"}}),
        json!({"target": {"name": "a.b-c.9"}}),
        json!({"credentials": {"secretRef": {"name": "a.b-c", "key": "OPENAI_API_KEY"}}}),
        template(
            json!({"labels": {"app": "", "example.com/team": "a_b.c-d", "my-k8s.io/x": "1", "k8s.io.example/x": "1"}}),
        ),
        template(json!({"labels": {"owner": "shop"}, "annotations": {"owner": "helm"}})),
        json!({"target": {"name": "my.sh.helm.release.v1"}}),
        template(json!({"annotations": {"note": "any text\nwith lines", "realtime-token.dev.example/x": ""}})),
        data(json!({".env": "", "LIVEKIT_TOKEN": "{{ token }}", "token.txt": "", "a..b": ""})),
        json!({"openai": {"session": {"any": [{"thing": null}]}}}),
    ]
}

fn refused() -> Vec<Refusal> {
    let mut rows = vec![
        (json!({"openai": null}), "spec", ONE_BLOCK.as_str()),
        (json!({"elevenlabs": {"agentId": "a"}}), "spec", ONE_BLOCK.as_str()),
        (json!({"credentials": {"secretRef": null}}), "spec.credentials", ONE_KEY),
        (
            json!({"credentials": {"providerRef": {"name": "p"}}}),
            "spec.credentials",
            ONE_KEY,
        ),
        (json!({"expirationSeconds": 9}), "spec", OPENAI_LIFE),
        (json!({"expirationSeconds": 7201}), "spec", OPENAI_LIFE),
        (
            and(elevenlabs(), json!({"expirationSeconds": 900})),
            "spec",
            ELEVENLABS_LIFE,
        ),
        (
            and(elevenlabs(), json!({"elevenlabs": {"participantName": "Bo"}})),
            "spec.elevenlabs",
            PARTICIPANT,
        ),
        (
            and(
                elevenlabs(),
                json!({"elevenlabs": {"kind": "SignedUrl", "participantName": "Bo"}}),
            ),
            "spec.elevenlabs",
            PARTICIPANT,
        ),
        (
            json!({"renewal": {"renewBeforePercentage": 50, "renewBeforeSeconds": 50}}),
            "spec.renewal",
            RENEW_BEFORE,
        ),
        (
            json!({"openai": {"safetyIdentifier": "Jane Doe"}}),
            "spec.openai.safetyIdentifier",
            HEADER,
        ),
        (
            json!({"openai": {"organization": "org 1"}}),
            "spec.openai.organization",
            HEADER,
        ),
        (json!({"openai": {"project": "pröj"}}), "spec.openai.project", HEADER),
        (
            template(json!({"labels": {"a": "b c"}})),
            "spec.target.template.metadata.labels[a]",
            LABEL_VALUE,
        ),
        (
            template(json!({"labels": {"a": "-b"}})),
            "spec.target.template.metadata.labels[a]",
            LABEL_VALUE,
        ),
    ];
    for account in [
        json!({"region": "Global"}),
        json!({"organization": "org-1"}),
        json!({"project": "proj_1"}),
        json!({"endpoint": "https://gw.example"}),
    ] {
        rows.push((and(by_provider(), json!({"openai": account})), "spec", OPENAI_ACCOUNT));
    }
    for account in [json!({"region": "Global"}), json!({"endpoint": "https://gw.example"})] {
        let spec = and(and(elevenlabs(), by_provider()), json!({"elevenlabs": account}));
        rows.push((spec, "spec", ELEVENLABS_ACCOUNT));
    }
    for name in [
        "Openai", "open_ai", "-openai", "openai-", "open..ai", "open/ai", "open ai", ".",
    ] {
        rows.push((
            json!({"credentials": {"secretRef": {"name": name}}}),
            "spec.credentials.secretRef.name",
            NAME,
        ));
        rows.push((
            json!({"credentials": {"secretRef": null, "providerRef": {"name": name}}}),
            "spec.credentials.providerRef.name",
            NAME,
        ));
        rows.push((json!({"target": {"name": name}}), "spec.target.name", NAME));
    }
    for key in ["api key", "a/b", "schlüssel", "key\n"] {
        rows.push((
            json!({"credentials": {"secretRef": {"key": key}}}),
            "spec.credentials.secretRef.key",
            KEY,
        ));
    }
    for endpoint in [
        "gateway.example.com",
        "ftp://gateway.example.com",
        "https://",
        "https://gateway.example.com/v1",
        "https://gateway.example.com//",
        "https://gateway.example.com?a=b",
        "https://gateway.example.com#a",
        "https://user:password@gateway.example.com",
        "https://gateway.example.com ",
    ] {
        rows.push((
            json!({"openai": {"endpoint": endpoint}}),
            "spec.openai.endpoint",
            ENDPOINT,
        ));
        let spec = and(elevenlabs(), json!({"elevenlabs": {"endpoint": endpoint}}));
        rows.push((spec, "spec.elevenlabs.endpoint", ENDPOINT));
    }
    let (labels, annotations) = (
        "spec.target.template.metadata.labels",
        "spec.target.template.metadata.annotations",
    );
    for key in [
        "kubernetes.io/x",
        "app.kubernetes.io/name",
        "k8s.io/x",
        "node.k8s.io/x",
        "realtime-token.dev/name",
        "sub.realtime-token.dev/x",
    ] {
        rows.push((template(json!({"labels": {key: "v"}})), labels, LABEL_RESERVED));
        rows.push((
            template(json!({"annotations": {key: "v"}})),
            annotations,
            ANNOTATION_RESERVED,
        ));
    }
    rows.push((template(json!({"labels": {"owner": "helm"}})), labels, LABEL_OF_HELM));
    let long = "a".repeat(64);
    for key in ["a b", "-a", "a/b/c", "Example.com/x", "/x", "x/", long.as_str()] {
        rows.push((template(json!({"labels": {key: "v"}})), labels, LABEL_KEY));
        rows.push((
            template(json!({"annotations": {key: "v"}})),
            annotations,
            ANNOTATION_KEY,
        ));
    }
    let long = "a".repeat(254);
    for key in ["a b", "a/b", "ü", "..", "..a", ".", long.as_str()] {
        rows.push((data(json!({key: ""})), "spec.target.template.data", DATA_KEY));
    }
    for key in ["token.json", "token", "expires-at", "provider"] {
        rows.push((data(json!({key: ""})), "spec.target.template.data", DATA_RESERVED));
    }
    rows
}

#[tokio::test]
async fn each_rule_lets_pass_and_refuses() {
    let server = ApiServer::new().await;
    for (kind, accepted, refused) in [
        (Kind::Token, accepted(), refused()),
        (Kind::Provider, providers::accepted(), providers::refused()),
    ] {
        for change in accepted {
            server.accepts(kind, &merge(&kind.spec(), &change)).await;
        }
        for (change, field, text) in refused {
            server.refuses(kind, &merge(&kind.spec(), &change), field, text).await;
        }
    }
}

fn said_of(complaints: &[Complaint], field: &str, text: &str) {
    assert!(
        matches!(complaints, [one] if one.field == field && one.text.ends_with(text)),
        "{field}: {complaints:?}"
    );
}

#[tokio::test]
async fn a_name_must_fit_into_a_label() {
    let server = ApiServer::new().await;
    let spec = Kind::Token.spec();
    let (fits, long) = ("a".repeat(63), "a".repeat(64));
    server.admit_named(Kind::Token, &fits, &spec).await.unwrap();
    let complaints = server.admit_named(Kind::Token, &long, &spec).await.unwrap_err();
    said_of(&complaints, "metadata.name", LONG_NAME);
    server
        .admit_named(Kind::Provider, &long, &Kind::Provider.spec())
        .await
        .unwrap();
}

#[tokio::test]
async fn no_secret_is_named_as_helm_or_the_api_server_name_theirs() {
    let server = ApiServer::new().await;
    let spec = Kind::Token.spec();
    for reserved in ["sh.helm.release.v1.shop.v1", "bootstrap-token-07401b"] {
        let elsewhere = merge(&spec, &json!({"target": {"name": "voice"}}));
        server.admit_named(Kind::Token, reserved, &elsewhere).await.unwrap();
        let there = merge(&spec, &json!({"target": {"name": reserved}}));
        for (name, spec, field) in [(reserved, &spec, "spec"), ("voice", &there, "spec.target.name")] {
            let complaints = server.admit_named(Kind::Token, name, spec).await.unwrap_err();
            said_of(&complaints, field, RESERVED);
        }
    }
    server.admit_named(Kind::Token, "sh.helm", &spec).await.unwrap();
}

#[tokio::test]
async fn the_key_is_not_overwritten() {
    let server = ApiServer::new().await;
    let spec = Kind::Token.spec();
    let elsewhere = merge(&spec, &json!({"target": {"name": "other"}}));
    server.admit_named(Kind::Token, "key", &elsewhere).await.unwrap();
    let there = merge(&spec, &json!({"target": {"name": "key"}}));
    for (name, spec) in [("key", &spec), ("voice", &there)] {
        let complaints = server.admit_named(Kind::Token, name, spec).await.unwrap_err();
        said_of(&complaints, "spec", KEY_SECRET);
    }
    // A ClusterRealtimeProvider's key is in another namespace.
    let by_provider = merge(&spec, &by_provider());
    server.admit_named(Kind::Token, "p", &by_provider).await.unwrap();
}

/// A rule that is added to the types and not to the tables is noticed here.
#[test]
fn every_rule_is_tested() {
    fn collect(schema: &Value, messages: &mut BTreeSet<String>) {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            match (&rule["message"], &rule["messageExpression"]) {
                (Value::String(message), Value::Null) => messages.extend([message.to_owned()]),
                // Nothing else in it has double quotes.
                (Value::Null, Value::String(cel)) => {
                    let texts = cel.split('"').skip(1).step_by(2);
                    messages.extend(texts.filter(|text| !text.is_empty()).map(str::to_owned));
                }
                _ => panic!("no message: {rule}"),
            }
        }
        match schema {
            Value::Object(fields) => fields.values().for_each(|value| collect(value, messages)),
            Value::Array(items) => items.iter().for_each(|value| collect(value, messages)),
            _ => {}
        }
    }
    let mut rules = BTreeSet::new();
    for kind in Kind::ALL {
        collect(&kind.schema(), &mut rules);
    }
    let mut tested: BTreeSet<String> = [refused(), providers::refused()]
        .concat()
        .into_iter()
        .map(|(_, _, text)| text.to_owned())
        .collect();
    tested.extend(super::conformance::messages());
    tested.extend(super::identities::messages());
    tested.extend(super::requests::messages());
    tested.extend([LONG_NAME, KEY_SECRET, IMMUTABLE, RESERVED].map(str::to_owned));
    assert_eq!(rules, tested);
}
