//! The health checks that docs/gitops.md gives to Argo CD and Flux, run on what resources look like.

use realtime_token_operator::api::Reason;
use serde_json::{Value, json};
use testkit::pypi::Library;

use crate::chart::{REPOSITORY, file};

const INTERPRETERS: Library = Library {
    name: "lupa-2.8-cel-0.10.0",
    requirements: &["lupa==2.8", "common-expression-language==0.10.0"],
};

/// The blocks of YAML in the document, in order: the Application, the ConfigMap, the Kustomization.
fn block(number: usize) -> Value {
    let text = file("docs/gitops.md");
    let yaml = text.split("```yaml\n").nth(number + 1).unwrap();
    serde_saphyr::from_str(yaml.split("```").next().unwrap()).unwrap()
}

fn run(job: Value) -> Vec<Value> {
    let script = format!("{REPOSITORY}/tests/chart/gitops.py");
    let said = INTERPRETERS
        .run(script.as_ref(), &[], job.to_string().as_bytes())
        .unwrap();
    serde_json::from_str(&said).unwrap()
}

/// Status and message that Argo CD shows for each.
fn health(kind: &str, objects: &[Value]) -> Vec<(String, String)> {
    let key = format!("resource.customizations.health.realtime-token.dev_{kind}");
    let script = block(1)["data"][key].as_str().unwrap().to_owned();
    let answers = run(json!({"lua": script, "objects": objects}));
    let text = |answer: &Value, key: &str| answer[key].as_str().unwrap().to_owned();
    answers
        .iter()
        .map(|answer| (text(answer, "status"), text(answer, "message")))
        .collect()
}

/// A resource in its second generation.
fn object(observed: u8, conditions: &[(&str, &str, Reason)]) -> Value {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(type_, status, reason)| {
            json!({"type": type_, "status": status, "reason": reason.as_str(), "message": format!("{type_} message")})
        })
        .collect();
    json!({
        "metadata": {"name": "voice", "generation": 2},
        "spec": {"openai": {"model": "gpt-realtime-2.1"}},
        "status": {"observedGeneration": observed, "conditions": conditions},
    })
}

fn tokens() -> Vec<Value> {
    let new = json!({"metadata": {"name": "voice", "generation": 1}, "spec": {"openai": {}}});
    let mut suspended = object(2, &[("Ready", "True", Reason::Renewed)]);
    suspended["spec"]["suspend"] = json!(true);
    vec![
        new,
        object(1, &[("Ready", "True", Reason::Issued)]),
        object(
            2,
            &[
                ("Ready", "False", Reason::Pending),
                ("Renewing", "True", Reason::Pending),
            ],
        ),
        object(
            2,
            &[
                ("Ready", "True", Reason::Issued),
                ("Renewing", "False", Reason::AwaitingRenewal),
            ],
        ),
        object(
            2,
            &[
                ("Ready", "True", Reason::Renewed),
                ("Renewing", "True", Reason::CredentialRejected),
            ],
        ),
        object(
            2,
            &[
                ("Ready", "False", Reason::RateLimited),
                ("Renewing", "True", Reason::RateLimited),
            ],
        ),
        object(
            2,
            &[
                ("Ready", "False", Reason::QuotaExhausted),
                ("Renewing", "True", Reason::QuotaExhausted),
            ],
        ),
        object(
            2,
            &[
                ("Renewing", "True", Reason::CredentialNotFound),
                ("Ready", "False", Reason::CredentialNotFound),
            ],
        ),
        suspended,
        object(
            2,
            &[
                ("Ready", "False", Reason::ProviderUnavailable),
                ("Renewing", "True", Reason::ProviderUnavailable),
            ],
        ),
        requested(&[]),
        requested(&[("Serving", "True", Reason::RequestsServed)]),
        requested(&[("Serving", "False", Reason::Pending)]),
        requested(&[("Serving", "False", Reason::CredentialRejected)]),
    ]
}

/// A RealtimeToken that is asked for tokens, whose Secret says where.
fn requested(serving: &[(&str, &str, Reason)]) -> Value {
    let ready = ("Ready", "True", Reason::OnRequestOnly);
    let mut token = object(2, &[&[ready], serving].concat());
    token["spec"]["requests"] = json!({});
    token
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected
        .iter()
        .map(|(status, message)| ((*status).to_owned(), (*message).to_owned()))
        .collect()
}

#[test]
fn argo_cd_sees_the_health_of_a_token() {
    let waiting = ("Progressing", "waiting for the operator");
    let expected = [
        waiting,
        waiting,
        ("Progressing", "Ready message"),
        ("Healthy", "Ready message"),
        ("Healthy", "CredentialRejected: Renewing message"),
        ("Progressing", "Ready message"),
        ("Degraded", "QuotaExhausted: Ready message"),
        ("Degraded", "CredentialNotFound: Ready message"),
        ("Suspended", "spec.suspend is true"),
        ("Degraded", "ProviderUnavailable: Ready message"),
        waiting,
        ("Healthy", "Ready message"),
        ("Progressing", "Serving message"),
        ("Degraded", "CredentialRejected: Serving message"),
    ];
    assert_eq!(health("RealtimeToken", &tokens()), pairs(&expected));
}

#[test]
fn argo_cd_sees_the_health_of_a_provider() {
    let found = ("Ready", "True", Reason::CredentialFound);
    let providers = [
        json!({"metadata": {"generation": 1}, "spec": {}}),
        object(
            2,
            &[
                ("Ready", "False", Reason::CredentialNotFound),
                ("CredentialValid", "Unknown", Reason::CredentialUntested),
            ],
        ),
        object(2, &[found, ("CredentialValid", "Unknown", Reason::CredentialUntested)]),
        object(2, &[found, ("CredentialValid", "True", Reason::CredentialAccepted)]),
        object(2, &[found, ("CredentialValid", "False", Reason::CredentialRejected)]),
    ];
    let expected = [
        ("Progressing", "waiting for the operator"),
        ("Degraded", "CredentialNotFound: Ready message"),
        ("Healthy", "Ready message"),
        ("Healthy", "Ready message"),
        ("Degraded", "CredentialRejected: CredentialValid message"),
    ];
    assert_eq!(health("ClusterRealtimeProvider", &providers), pairs(&expected));
}

#[test]
fn flux_waits_for_a_token_and_knows_when_waiting_is_in_vain() {
    let check = &block(2)["spec"]["healthCheckExprs"][0];
    let ask = |which: &str| run(json!({"cel": check[which], "objects": tokens()}));
    // null: the field isn't there yet, and Flux waits.
    assert_eq!(
        json!(ask("current")),
        json!([
            null, false, false, true, true, false, false, false, true, false, false, true, false, false
        ])
    );
    assert_eq!(
        json!(ask("failed")),
        json!([
            null, false, false, false, false, false, true, true, false, false, false, false, false, true
        ])
    );
}

/// The values that the document gives are values of the chart, and render.
#[test]
fn the_application_is_one_of_this_chart() {
    let application = block(0);
    let source = &application["spec"]["source"];
    assert!(format!("{REPOSITORY}/{}", source["path"].as_str().unwrap()) == crate::chart::CHART);
    let objects = crate::chart::render(source["helm"]["valuesObject"].clone());
    assert!(
        objects.container()["image"]
            .as_str()
            .unwrap()
            .starts_with("registry.example.com/")
    );
}
