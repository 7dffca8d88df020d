//! What the API server fills in, drops, warns of and shows.

use realtime_token_operator::api::RealtimeToken;
use serde_json::{Value, json};
use testkit::wait;

use super::{ApiServer, Kind, merge, object};
use crate::world::DEADLINE;

#[tokio::test]
async fn defaults_are_filled_in() {
    let server = ApiServer::new().await;
    let filled = json!({
        "renewal": {"minRemainingSeconds": 90, "propagationSeconds": 120},
        "target": {"content": "Token", "deletionPolicy": "Delete"},
        "suspend": false,
    });
    let secret = json!({"secretRef": {"name": "key"}});
    for (kind, given, expected) in [
        (
            Kind::Token,
            Kind::Token.spec(),
            merge(
                &filled,
                &json!({"openai": {"model": "m", "kind": "Realtime"}, "credentials": secret}),
            ),
        ),
        (
            Kind::Token,
            json!({"elevenlabs": {"agentId": "a"}, "credentials": {"providerRef": {"name": "p"}}, "renewal": {}, "target": {}}),
            merge(
                &filled,
                &json!({"elevenlabs": {"agentId": "a", "kind": "SignedUrl"}, "credentials": {"providerRef": {"name": "p"}}}),
            ),
        ),
        (
            Kind::Token,
            merge(&Kind::Token.spec(), &json!({"requests": {}})),
            merge(
                &filled,
                &json!({
                    "openai": {"model": "m", "kind": "Realtime"}, "credentials": secret,
                    "requests": {
                        "subject": "Required", "minRemainingSeconds": 30, "ready": 0,
                        "rateLimit": {"requestsPerMinute": 600, "burst": 50},
                        "subjectRateLimit": {"requestsPerMinute": 6, "burst": 3},
                    },
                }),
            ),
        ),
        (
            Kind::Provider,
            merge(&Kind::Provider.spec(), &json!({"rateLimit": {"requestsPerMinute": 60}})),
            json!({"openai": {}, "credentials": secret, "rateLimit": {"requestsPerMinute": 60, "burst": 10}}),
        ),
    ] {
        let created = server.accepts(kind, &given).await;
        assert_eq!(sorted(&created["spec"]), sorted(&expected), "{given}");
    }
}

/// Whatever the API server lets pass, the types can read.
#[tokio::test]
async fn a_whole_number_may_be_written_with_a_fraction() {
    let server = ApiServer::new().await;
    let spec = merge(&Kind::Token.spec(), &json!({"renewal": {"minRemainingSeconds": 60.0}}));
    let created = server.accepts(Kind::Token, &spec).await;
    assert_eq!(created["spec"]["renewal"]["minRemainingSeconds"].to_string(), "60");
    serde_json::from_value::<RealtimeToken>(created).unwrap();
}

/// kubectl asks for strict validation: what is misspelt is named, not dropped.
#[tokio::test]
async fn unknown_fields_are_named() {
    fn places(schema: &Value, path: &str, found: &mut Vec<String>) {
        if schema["properties"].is_object() {
            found.push(path.to_owned());
        }
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            places(property, &format!("{path}/{name}"), found);
        }
    }
    let server = ApiServer::new().await;
    for kind in Kind::ALL {
        let mut found = Vec::new();
        places(&kind.schema()["properties"]["spec"], "/spec", &mut found);
        assert!(found.len() > 6, "{found:?}");
        for place in found {
            let mut odd = object(kind, "voice", &kind.spec());
            let mut at = &mut odd;
            for name in place.split('/').skip(1) {
                at = &mut at[name];
            }
            at["bogus"] = json!(1);
            let url = format!("{}?dryRun=All&fieldValidation=Strict", server.url(kind));
            let complaints = server.send("POST", &url, &odd).await.unwrap_err();
            let expected = format!("unknown field \"{}.bogus\"", place[1..].replace('/', "."));
            assert!(complaints[0].text.contains(&expected), "{expected}: {complaints:?}");
        }
    }

    // Without that, the API server warns and drops.
    let odd = merge(
        &Kind::Token.spec(),
        &json!({"openai": {"modle": "m", "session": {"modle": "kept"}}}),
    );
    let request = http::Request::post(format!("{}?dryRun=All", server.url(Kind::Token)))
        .header("content-type", "application/json")
        .body(object(Kind::Token, "voice", &odd).to_string().into_bytes().into())
        .unwrap();
    let answer = server.client.send(request).await.unwrap();
    let warning = answer.headers()["warning"].to_str().unwrap().to_owned();
    assert!(warning.contains("unknown field \\\"spec.openai.modle\\\""), "{warning}");
    let created = server.accepts(Kind::Token, &odd).await;
    assert_eq!(
        created["spec"]["openai"],
        json!({"kind": "Realtime", "model": "m", "session": {"modle": "kept"}})
    );
}

#[tokio::test]
async fn kubectl_get_shows_what_matters() {
    let server = ApiServer::new().await;
    for (kind, narrow, wide) in [
        (
            Kind::Token,
            &["Name", "Ready", "Status", "Provider", "Expires", "Age"][..],
            &[
                "Renewal",
                "Revision",
                "Secret",
                "Fresh",
                "Serving",
                "Single reader",
                "Failures",
                "Message",
            ][..],
        ),
        (
            Kind::Provider,
            &["Name", "Ready", "Credential", "Limited until", "Age"],
            &["Message"],
        ),
    ] {
        let request = http::Request::get(server.url(kind))
            .header("accept", "application/json;as=Table;g=meta.k8s.io;v=v1")
            .body(Vec::new())
            .unwrap();
        let table: Value = server.client.request(request).await.unwrap();
        let columns = |priority: i64| -> Vec<&str> {
            let columns = table["columnDefinitions"].as_array().unwrap().iter();
            let fitting = columns.filter(|column| column["priority"] == priority);
            fitting.map(|column| column["name"].as_str().unwrap()).collect()
        };
        assert_eq!(columns(0), narrow);
        assert_eq!(columns(1), wide);
    }
}

#[tokio::test]
async fn kubectl_knows_the_short_names_and_explains() {
    let server = ApiServer::new().await;
    // The API server publishes the schema of a new CRD some time after it serves its objects.
    let published = async || {
        let path = "/openapi/v3/apis/realtime-token.dev/v1alpha1";
        let request = http::Request::get(path).body(Vec::new())?;
        let schemas = server.client.request_text(request).await?;
        let known = Kind::ALL.map(|kind| schemas.contains(&format!(".v1alpha1.{}\"", kind.name())));
        Ok(known.iter().all(|known| *known).then_some(()))
    };
    wait::until("both kinds in the OpenAPI schema", DEADLINE, published)
        .await
        .unwrap();
    let say = |args: &[&str]| {
        let output = server.kubectl().args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        said
    };
    say(&["get", "rtt,crtp,realtime"]);
    for (field, says) in [
        ("rtt.spec.openai.session", "At most\n"),
        ("rtt.spec.renewal.minRemainingSeconds", "The floor"),
        ("rtt.spec.target.deletionPolicy", "ENUM:\n    Delete\n    Retain\n"),
        ("crtp.spec.namespaceSelector", "Left out: none"),
        ("rtt.spec.requests", "Left out: none are."),
        (
            "rtt.spec.requests.subject",
            "ENUM:\n    Required\n    Optional\n    Ignored\n",
        ),
        ("rtt.spec.requests.overridable", "that a caller may set, such as"),
        ("rtt.spec.requests.minRemainingSeconds", "when it is handed out"),
        ("rtt.spec.requests.ready", "minted ahead, each to be handed out once"),
        ("rtt.spec.requests.rateLimit", "all callers together"),
        ("rtt.spec.requests.rateLimit.requestsPerMinute", "Mints per minute"),
        ("rtt.spec.requests.subjectRateLimit", "for one subject"),
        ("rtt.spec.requests.subjectRateLimit.burst", "follow each other at once"),
        ("rtt.spec.target.content", "ENUM:\n    Token\n    Connection\n"),
        ("rtt.spec.target.content", "Nothing is minted on a schedule"),
        ("rtt.spec.openai.reuse", "ENUM:\n    Single\n    Multiple\n"),
        ("rtt.spec.openai.reuse", "How many sessions"),
        ("crtp.spec.openai.reuse", "How many sessions"),
    ] {
        let said = say(&["explain", field]);
        // kubectl breaks the lines of a description, not those of the values.
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let found = said.contains(says) || !says.contains('\n') && words(&said).contains(says);
        assert!(found, "{field}: {says:?} is not in {said}");
    }
}

/// Key order is the API server's.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(key, _)| key.as_str());
            fields
                .into_iter()
                .map(|(key, value)| (key.clone(), sorted(value)))
                .collect()
        }
        other => other.clone(),
    }
}
