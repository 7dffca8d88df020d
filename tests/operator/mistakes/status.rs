//! Mistakes that only the operator can see: what the condition Ready says.

use std::collections::BTreeMap;

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use realtime_token_operator::api::RealtimeTokenStatus;
use serde_json::{Value, json};
use testkit::standin::Fault;

use super::{Made, hold, made};
use crate::admission::merge;
use crate::expect::message;
use crate::world::{Case, put_secret, world};

pub const SECTION: &str = "In the status of a RealtimeToken";

/// A RealtimeToken that says what is wrong with the way of its next token.
async fn says(case: &Case<'_>, name: &str, changes: Value) -> String {
    case.create(name, merge(&case.openai(), &changes)).await;
    let has_failed = |status: &RealtimeTokenStatus| {
        let renewing = status.conditions.iter().find(|condition| condition.type_ == "Renewing");
        renewing.is_some_and(|renewing| renewing.status == "True" && renewing.reason != "Pending")
    };
    let status = case.status_when(name, has_failed).await;
    case.event(name, reason(&status)).await;
    message(&status, "Renewing").to_owned()
}

fn reason(status: &RealtimeTokenStatus) -> &str {
    let renewing = status.conditions.iter().find(|condition| condition.type_ == "Renewing");
    &renewing.unwrap().reason
}

fn key(name: &str) -> Value {
    json!({"credentials": {"secretRef": {"name": name}}})
}

fn template(text: &str) -> Value {
    json!({"target": {"template": {"data": {".env": text}}}})
}

async fn in_the_spec() -> Vec<Made> {
    let case = world().await.case("mistakes").await;
    let secrets = case.secrets();
    put_secret(&secrets, "misnamed", "apikey", "sk-test").await;
    put_secret(&secrets, "empty", "api-key", "").await;
    put_secret(&secrets, "broken", "api-key", "two\nlines").await;
    put_secret(&secrets, "taken", "password", "hunter2").await;
    let label = json!({"target": {"template": {"metadata": {"labels": {"argocd.example/instance": "x"}}}}});
    let elsewhere = json!({"openai": {"endpoint": "https://gateway.example.com"}});
    let platform = json!({
        "openai": {"endpoint": null}, "credentials": {"secretRef": null, "providerRef": {"name": "nowhere"}},
    });
    let on_request = json!({"requests": {"subject": "Ignored"}, "target": {"content": "Connection"}});
    let all = vec![
        made(
            "the key Secret is missing",
            "kubectl create secret",
            says(&case, "missing", key("nobody")).await,
        ),
        made(
            "another key in the key Secret",
            "Add it, or name another",
            says(&case, "misnamed-key", key("misnamed")).await,
        ),
        made(
            "an empty key",
            "must have the key",
            says(&case, "empty-key", key("empty")).await,
        ),
        made(
            "a key with a line break inside",
            "put the bare key",
            says(&case, "broken-key", key("broken")).await,
        ),
        made(
            "a Secret of that name exists",
            "target.name",
            says(&case, "taken", json!({})).await,
        ),
        made(
            "an endpoint that isn't allowed",
            "--allow-endpoint",
            says(&case, "elsewhere", elsewhere).await,
        ),
        made(
            "a label that isn't allowed",
            "--allow-secret-metadata",
            says(&case, "label", label).await,
        ),
        made(
            "a ClusterRealtimeProvider that doesn't exist",
            "ask the platform team",
            says(&case, "platform", platform).await,
        ),
        made(
            "a template that doesn't parse",
            "line 2",
            says(&case, "syntax", template("A=1\nB={{ token ")).await,
        ),
        made(
            "a variable that a template doesn't have",
            "there are token,",
            says(&case, "tokn", template("{{ tokn }}")).await,
        ),
        made(
            "tokens on request where none are handed out",
            "requests.enabled=true",
            says(&case, "requested", on_request).await,
        ),
    ];
    are_logged_once(&case).await;
    all
}

/// Each of them has one warning in the log, which names it, and its deletion has none.
async fn are_logged_once(case: &Case<'_>) {
    let warnings = async || {
        let logs = case.world.operator.lock().await.logs();
        let of_case = format!("token={}/", case.namespace.name());
        let others = ["/settle-", "SingleUseToken"]; // a warning of its own, beside that of the failure
        let lines = logs
            .lines()
            .filter(|line| line.contains(" WARN ") && line.contains(&of_case));
        let lines = lines.filter(|line| others.iter().all(|other| !line.contains(other)));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let tokens = case.tokens().list(&ListParams::default()).await.unwrap();
    let said = warnings().await;
    for token in &tokens.items {
        let name = format!("token={}/{} ", case.namespace.name(), token.name_any());
        let of_token: Vec<_> = said.iter().filter(|line| line.contains(&name)).collect();
        assert_eq!(of_token.len(), 1, "{name}: {of_token:#?}");
    }
    let all = (DeleteParams::default(), ListParams::default());
    case.tokens().delete_collection(&all.0, &all.1).await.unwrap();
    case.settle().await;
    assert_eq!(warnings().await.len(), said.len(), "{:#?}", warnings().await);
}

/// What the provider says comes first, and what to do last.
async fn at_the_provider() -> Vec<Made> {
    let error = |code: u16, body: Value| Fault::Status {
        code,
        headers: Vec::new(),
        body: Some(body.to_string()),
    };
    let no_model = json!({"error": {
        "message": "The model `gpt-realtime-9` does not exist or you do not have access to it.",
        "type": "invalid_request_error", "code": "model_not_found", "param": "session.model",
    }});
    let no_money = json!({"error": {
        "message": "You exceeded your current quota, please check your plan and billing details.",
        "type": "insufficient_quota", "code": "insufficient_quota",
    }});
    let revoked = json!({"error": {
        "message": "Incorrect API key provided.", "type": "invalid_request_error", "code": "invalid_api_key",
    }});
    let faults: BTreeMap<&str, (&str, Fault)> = BTreeMap::from([
        ("a model that doesn't exist", ("Check the model", error(404, no_model))),
        ("an account without credit", ("add credit", error(429, no_money))),
        ("a revoked key", ("Check the API key", error(401, revoked))),
        ("too many requests", ("raise the limit", Fault::throttled(3600))),
        ("the provider is out of order", ("tried again", Fault::status(503))),
    ]);
    let mut all = Vec::new();
    for (typed, (remedy, fault)) in faults {
        let case = world().await.case("mistakes").await;
        case.fail(fault);
        all.push(made(typed, remedy, says(&case, "voice", json!({})).await));
    }
    all
}

#[tokio::test]
async fn what_a_status_says_of_mistakes() {
    let mut all = in_the_spec().await;
    all.extend(at_the_provider().await);
    hold(SECTION, &all);
}
