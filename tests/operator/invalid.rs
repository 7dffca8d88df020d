//! Specs that the API server can't see through: a condition says what is wrong, and nothing is asked of the provider.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::world::{Case, holds, world};

fn with(case: &Case<'_>, pointer: &str, value: Value) -> Value {
    let mut spec = case.openai();
    let mut place = &mut spec;
    for name in pointer.split('.') {
        place = &mut place[name];
    }
    *place = value;
    spec
}

/// What `mint --explain` has against a manifest.
fn mint_says(name: &str, spec: &Value) -> String {
    let manifest = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name}, "spec": spec,
    });
    let mut mint = Command::new(env!("CARGO_BIN_EXE_realtime-token-operator"))
        .args(["mint", "--explain", "-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = mint.stdin.take().unwrap();
    stdin.write_all(manifest.to_string().as_bytes()).unwrap();
    drop(stdin);
    let said = String::from_utf8(mint.wait_with_output().unwrap().stderr).unwrap();
    let said = said.strip_prefix("error: standard input: ").map(str::trim_end);
    said.unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_session_or_template_that_cannot_be_asked_for() {
    let case = world().await.case("invalid").await;
    let session = |session: Value| with(&case, "openai.session", session);
    let template = |text: &str| with(&case, "target.template.data", json!({"out": text}));
    let mut transcription = session(json!({"model": "m"}));
    transcription["openai"]["kind"] = json!("Transcription");
    let mut translation = session(json!({"type": "realtime"}));
    translation["openai"]["kind"] = json!("Translation");
    let rows = [
        (
            session(json!({"instructions": "x".repeat(48 * 1024)})),
            "openai.session: takes 49171 bytes as JSON where 49152 are allowed; shorten it",
        ),
        (
            session(json!({"tools": [{"type": "mcp", "server_url": "https://x", "authorization": "Bearer canary"}]})),
            "openai.session.tools[0]: must not hold \"authorization\": what a client secret carries can be read by its holder. Connect to the tool from your own server instead",
        ),
        (
            session(json!({"tools": [{"type": "function", "name": "f"}, {"type": "mcp", "Headers": {"x": "canary"}}]})),
            "openai.session.tools[1]: must not hold \"Headers\": what a client secret carries can be read by its holder. Connect to the tool from your own server instead",
        ),
        (
            session(json!({"tools": {"type": "mcp"}})),
            "openai.session.tools: must be a list",
        ),
        (
            session(json!({"voice": "marin"})),
            "openai.session.voice: the voice is set in openai.session.audio.output.voice; move it there",
        ),
        (
            session(json!({"temperature": 0.8})),
            "openai.session.temperature: OpenAI removed it from Realtime; remove it",
        ),
        (
            session(json!({"type": "transcription"})),
            "openai.session.type: is filled in as \"realtime\", from openai.kind; remove it here",
        ),
        (
            session(json!({"model": "gpt-realtime"})),
            "openai.session.model: is filled in as \"gpt-realtime-2.1\", from openai.model; remove it here",
        ),
        (
            transcription,
            "openai.session.model: a transcription has its model in openai.model; remove it here",
        ),
        (translation, "openai.session.type: a translation has none; remove it"),
        (
            template("TOKEN={{ token }}\nX={{ token "),
            "target.template.data[\"out\"] line 2: syntax error",
        ),
        (
            template("{{ tokn }}"),
            "target.template.data[\"out\"] line 1: unknown variable; there are token, provider, expiresAt, expiresAtRfc3339 and config",
        ),
        (
            template("{{ config.model.name }}"),
            "target.template.data[\"out\"] line 1: unknown variable; there are token, provider, expiresAt, expiresAtRfc3339 and config",
        ),
        (
            template("{% for x in range(100000) %}{{ x }}{% endfor %}"),
            "target.template.data[\"out\"] line 1: ",
        ),
    ];
    for (number, (spec, _)) in rows.iter().enumerate() {
        case.create(&format!("t{number}"), spec.clone()).await;
    }
    for (number, (_, expected)) in rows.iter().enumerate() {
        let name = format!("t{number}");
        let message = case.condition(&name, "Ready", "False", "InvalidSpec").await;
        let fits = message == *expected || expected.ends_with(": ") && message.starts_with(expected);
        assert!(fits, "{name}: {message}\nexpected: {expected}");
        assert!(!message.contains("canary"), "{message}");
        case.condition(&name, "Renewing", "True", "InvalidSpec").await;
        let (spec, _) = &rows[number];
        assert_eq!(mint_says(&name, spec), message, "`mint` says the same");
    }
    case.event("t0", "InvalidSpec").await;
    assert_eq!(case.calls().len(), 0, "an invalid spec costs no call");
    assert_eq!(case.secrets().get_opt("t0").await.unwrap(), None);
}

#[tokio::test]
async fn an_invalid_spec_is_mended_at_once_and_keeps_the_old_token_meanwhile() {
    let case = world().await.case("mended").await;
    let brief = json!({"instructions": "Be brief."});
    case.create("voice", with(&case, "openai.session", brief)).await;
    case.revision("voice", 1).await;
    let voice = |voice: Value| json!({"spec": {"openai": {"session": {"voice": voice}}}});
    case.patch("voice", voice(json!("marin"))).await;
    let status = case
        .status_when("voice", |s| holds(s, "Renewing", "True", "InvalidSpec"))
        .await;
    assert!(
        holds(&status, "Ready", "True", "Issued"),
        "the old token is as good as before"
    );
    case.patch("voice", voice(Value::Null)).await;
    let status = case.status_when("voice", |s| s.observed_generation == Some(3)).await;
    assert!(holds(&status, "Renewing", "False", "AwaitingRenewal"));
    case.settle().await;
    assert_eq!(case.calls().len(), 1, "it asks for the same token as before");
}
