//! `spec.requests` and `target.content`. `bounds` and `rules` leave the rules to this table.

use realtime_token_operator::api::request_rules;
use serde_json::{Value, json};
use testkit::conformance;

use super::rules::messages::DATA_RESERVED;
use super::{ApiServer, Kind, merge};

const FIELD: &str = "requests.overridable: a field below spec, such as expirationSeconds or \
     openai.session.instructions: names joined by '.', without list positions";
const TWICE: &str = "requests.overridable: a field is named twice";
const READY: &str = "requests.ready: tokens minted ahead go to requests without a subject, and with subject Required there are none; set requests.subject to Optional or Ignored, or ready to 0";
const CONNECTION: &str =
    "target.content: with Connection tokens are handed out on request only; set spec.requests, or content to Token";
const NO_TEMPLATE: &str = "target.template.data is rendered with a token, and with content Connection the Secret holds none; remove it, or set content to Token";
const LIFE: &str = "requests.minRemainingSeconds must be less than the life of a token, expirationSeconds: no token could \
     be handed out otherwise";

/// The messages that are tested here and not in `rules`.
pub(super) fn messages() -> Vec<String> {
    let here = [FIELD, TWICE, READY, CONNECTION, NO_TEMPLATE, LIFE].map(str::to_owned);
    let of_blocks = request_rules().into_iter().flat_map(|block| block.rules);
    here.into_iter().chain(of_blocks.map(|(_, message)| message)).collect()
}

fn overridable(fields: &[&str]) -> Value {
    json!({"requests": {"overridable": fields}})
}

#[tokio::test]
async fn what_passes() {
    let server = ApiServer::new().await;
    let longest = format!("openai.{}", "a".repeat(121));
    let most: Vec<String> = (0..16).map(|n| format!("openai.session.a{n}")).collect();
    let most: Vec<&str> = most.iter().map(String::as_str).collect();
    for change in [
        json!({"requests": {}}),
        json!({"requests": {}, "target": {"content": "Connection"}}),
        json!({"requests": {}, "target": {"content": "Connection", "template": {"metadata": {"labels": {"a": "b"}}}}}),
        json!({"requests": {}, "target": {"template": {"data": {"k": "{{ token }}"}}}}),
        json!({"target": {"content": "Token"}}),
        json!({"requests": {"subject": "Optional", "ready": 50}}),
        json!({"requests": {"subject": "Ignored", "ready": 1}}),
        json!({"requests": {"subject": "Required", "ready": 0}}),
        json!({"requests": {"rateLimit": {"requestsPerMinute": 60000, "burst": 1000}}}),
        json!({"requests": {"minRemainingSeconds": 1799}}),
        json!({"requests": {"minRemainingSeconds": 59}, "expirationSeconds": 60}),
        json!({"requests": {"minRemainingSeconds": 7199}, "expirationSeconds": 7200}),
        overridable(&["expirationSeconds"]),
        overridable(&[
            "openai.session",
            "openai.session.instructions",
            "openai.safetyIdentifier",
            "openai.model",
        ]),
        overridable(&["openai.session.audio.input.turn_detection.eager-ness_"]),
        overridable(&["openai.regionOfTheSession", "openai.session.region"]), // no account side
        overridable(&[&longest]),
        overridable(&most),
    ] {
        server.accepts(Kind::Token, &merge(&Kind::Token.spec(), &change)).await;
    }
}

#[tokio::test]
async fn what_is_refused() {
    let server = ApiServer::new().await;
    let at = "spec.requests.overridable";
    let item = "spec.requests.overridable[0]";
    for (change, field, text) in [
        (json!({"target": {"content": "Connection"}}), "spec", CONNECTION),
        (
            json!({"requests": {}, "target": {"content": "Connection", "template": {"data": {"k": "v"}}}}),
            "spec.target",
            NO_TEMPLATE,
        ),
        (json!({"requests": {"ready": 1}}), "spec.requests", READY),
        (
            json!({"requests": {"subject": "Required", "ready": 50}}),
            "spec.requests",
            READY,
        ),
        (overridable(&["expirationSeconds", "expirationSeconds"]), at, TWICE),
        (json!({"requests": {"minRemainingSeconds": 1800}}), "spec", LIFE),
        (
            json!({"requests": {"minRemainingSeconds": 60}, "expirationSeconds": 60}),
            "spec",
            LIFE,
        ),
        (json!({"requests": {}, "expirationSeconds": 30}), "spec", LIFE),
        (
            json!({"target": {"template": {"data": {"request-url": ""}}}}),
            "spec.target.template.data",
            DATA_RESERVED,
        ),
        (
            json!({"target": {"template": {"data": {"request-ca.crt": ""}}}}),
            "spec.target.template.data",
            DATA_RESERVED,
        ),
        (
            json!({"target": {"template": {"data": {"request-fallback": ""}}}}),
            "spec.target.template.data",
            DATA_RESERVED,
        ),
    ] {
        server
            .refuses(Kind::Token, &merge(&Kind::Token.spec(), &change), field, text)
            .await;
    }
    for odd in [
        "openai.",
        ".openai",
        "openai..session",
        "openai.session[0]",
        "openai.tools.0",
        "openai.ünicode",
        "9openai.a",
        "openai session",
        "openai.session.a/b",
        "openai.session\n",
        "openai.$ref",
        "a.b.c.d.e.f.g.h.i",
    ] {
        let spec = merge(&Kind::Token.spec(), &overridable(&[odd]));
        let complaints = server.admit(Kind::Token, &spec).await.unwrap_err();
        let said = complaints.iter().any(|it| it.field == item && it.text.ends_with(FIELD));
        assert!(said, "{odd:?}: {complaints:?}");
    }
    let too_many: Vec<String> = (0..17).map(|n| format!("openai.a{n}")).collect();
    let too_many: Vec<&str> = too_many.iter().map(String::as_str).collect();
    let too_long = format!("openai.{}", "a".repeat(122));
    for (fields, says) in [
        (too_many, "must have at most 16 items"),
        (vec![too_long.as_str()], "may not be more than 128 bytes"),
        (vec![""], "should be at least 1 chars long"),
    ] {
        let spec = merge(&Kind::Token.spec(), &overridable(&fields));
        let complaints = server.admit(Kind::Token, &spec).await.unwrap_err();
        assert!(
            complaints.iter().any(|it| it.text.contains(says)),
            "{says}: {complaints:?}"
        );
    }
}

/// For every provider: fields of its block may be listed, its account side and all else may not. What is its account
/// side, the CRD of ClusterRealtimeProviders says.
#[tokio::test]
async fn a_caller_never_decides_where_the_key_goes() {
    let server = ApiServer::new().await;
    let accounts = Kind::Provider.schema()["properties"]["spec"]["properties"].clone();
    let mut tried = 0;
    for file in conformance::all().unwrap() {
        let block = request_rules()
            .into_iter()
            .find(|block| file.example.get(block.field).is_some());
        let block = block.unwrap();
        let field = block.field;
        let mut example = file.example.clone();
        if example.get("credentials").is_none() {
            example["credentials"] = json!({"secretRef": {"name": "key"}});
        }
        let with = |fields: &[&str]| merge(&example, &overridable(fields));
        let says = |word: &str| {
            let mut rules = block.rules.iter();
            rules
                .find(|(_, message)| message.contains(word))
                .map(|(_, message)| message.as_str())
        };
        let inner = format!("{field}.any.field");
        server.accepts(Kind::Token, &with(&[&inner])).await;
        match says("fixes the lifetime") {
            Some(text) => {
                server
                    .refuses(Kind::Token, &with(&["expirationSeconds"]), "spec", text)
                    .await
            }
            None => drop(server.accepts(Kind::Token, &with(&["expirationSeconds"])).await),
        }
        let refusal = says("the provider block that is set").unwrap();
        let other = if field == "openai" { "xai.model" } else { "openai.model" };
        let mut refused: Vec<String> = [
            "suspend",
            "target.name",
            "credentials.secretRef.name",
            "requests.ready",
            other,
            field,
        ]
        .map(str::to_owned)
        .into();
        let account = accounts[field]["properties"].as_object();
        for account in account.into_iter().flat_map(|fields| fields.keys()) {
            refused.extend([format!("{field}.{account}"), format!("{field}.{account}.deeper")]);
            assert!(refusal.contains(account), "{refusal}");
        }
        for path in refused {
            server
                .refuses(Kind::Token, &with(&[&inner, &path]), "spec", refusal)
                .await;
            tried += 1;
        }
    }
    assert!(tried > 200, "only {tried}");
}
