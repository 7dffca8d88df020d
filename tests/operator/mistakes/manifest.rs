//! Mistakes in a manifest: `kubectl apply` and `mint` say the same.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{Made, hold, made};
use crate::admission::merge;
use crate::world::{Case, world};

pub const SECTION: &str = "In the manifest";

fn openai() -> Value {
    json!({"openai": {"model": "gpt-realtime-2.1"}, "credentials": {"secretRef": {"name": "openai"}}})
}

/// The smallest spec with these changes.
fn with(changes: &Value) -> Value {
    manifest("realtime-token.dev/v1alpha1", merge(&openai(), changes))
}

fn manifest(version: &str, spec: Value) -> Value {
    json!({"apiVersion": version, "kind": "RealtimeToken", "metadata": {"name": "voice"}, "spec": spec})
}

fn run(command: &mut Command, stdin: &Value) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(stdin.to_string().as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(!output.status.success(), "{stdin} is taken");
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}

fn apply(case: &Case<'_>, manifest: &Value) -> String {
    let mut kubectl = case.world.cluster.kubectl().unwrap();
    kubectl.args(["--namespace", case.namespace.name(), "apply", "-f", "-"]);
    run(&mut kubectl, manifest)
}

fn mint(manifest: &Value) -> String {
    let mut mint = Command::new(env!("CARGO_BIN_EXE_realtime-token-operator"));
    run(mint.args(["mint", "--explain", "-f", "-"]), manifest)
}

#[tokio::test]
async fn what_kubectl_and_mint_say_of_a_manifest() {
    let case = world().await.case("mistakes").await;
    let rows: Vec<(&str, &str, Value)> = vec![
        (
            "two provider blocks",
            "set exactly one",
            with(&json!({"elevenlabs": {"agentId": "a"}})),
        ),
        ("no provider block", "set exactly one", with(&json!({"openai": null}))),
        (
            "no credentials",
            "set exactly one",
            with(&json!({"credentials": {"secretRef": null}})),
        ),
        (
            "`expirationSeconds: 9`",
            "live 10 to 7200 seconds",
            with(&json!({"expirationSeconds": 9})),
        ),
        (
            "`expirationSeconds` for ElevenLabs",
            "remove the field",
            with(&json!({"openai": null, "elevenlabs": {"agentId": "a"}, "expirationSeconds": 900})),
        ),
        (
            "both `renewBeforeSeconds` and `renewBeforePercentage`",
            "set at most one",
            with(&json!({"renewal": {"renewBeforeSeconds": 60, "renewBeforePercentage": 20}})),
        ),
        (
            "the key itself in `secretRef.key`",
            "this is the key's name",
            with(&json!({"credentials": {"secretRef": {"key": "sk proj"}}})),
        ),
        (
            "the RealtimeToken is named like its key Secret",
            "set target.name",
            with(&json!({"credentials": {"secretRef": {"name": "voice"}}})),
        ),
        (
            "an `endpoint` with a path",
            "no path",
            with(&json!({"openai": {"endpoint": "https://gateway.example.com/v1"}})),
        ),
        (
            "a reserved label",
            "are reserved",
            with(&json!({"target": {"template": {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}}})),
        ),
    ];
    let mut all: Vec<Made> = Vec::new();
    for (typed, remedy, manifest) in &rows {
        for seen in [apply(&case, manifest), mint(manifest)] {
            all.push(made(typed, remedy, seen));
        }
    }
    let misspelt = with(&json!({"openai": {"modle": "gpt-realtime-2.1"}}));
    assert!(apply(&case, &misspelt).contains("unknown field \"spec.openai.modle\""));
    all.push(made("a misspelt field", "known here are", mint(&misspelt)));
    let old = manifest("realtime-token.dev/v1alpha0", openai());
    all.push(made(
        "an `apiVersion` that isn't served",
        "ensure CRDs are installed first",
        apply(&case, &old),
    ));
    all.push(made(
        "an `apiVersion` that `mint` doesn't know",
        "give a RealtimeToken",
        mint(&old),
    ));
    case.create("renamed", case.openai()).await;
    let mut renamed = with(&json!({"target": {"name": "other"}}));
    renamed["metadata"]["name"] = json!("renamed");
    all.push(made(
        "another `target.name`",
        "delete the RealtimeToken",
        apply(&case, &renamed),
    ));
    hold(SECTION, &all);
}
