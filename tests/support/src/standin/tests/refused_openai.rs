//! The mutations of OpenAI's requests that must be refused.

use serde_json::{Value, json};

use super::refused::{Mutation, refuse, remove, set};
use super::{Ask, OPENAI};

const REALTIME: &str = "realtime session with expires_after";
const TRANSCRIBE: &str = "transcription session";
const TRANSLATE: &str = "translation session";

const MUTATIONS: &[Mutation] = &[
    (
        REALTIME,
        |ask| remove(ask, "authorization"),
        401,
        "authorization: Bearer",
    ),
    (
        REALTIME,
        |ask| set(ask, "authorization", "sk-test-fake"),
        401,
        "authorization: Bearer",
    ),
    (
        REALTIME,
        |ask| set(ask, "authorization", "Bearer sk-wrong"),
        401,
        "sk-wrong",
    ),
    (
        REALTIME,
        |ask| set(ask, "openai-beta", "realtime=v1"),
        400,
        "openai-beta",
    ),
    (REALTIME, |ask| set(ask, "idempotency-key", "1"), 400, "idempotency-key"),
    (REALTIME, |ask| set(ask, "api-key", "1"), 400, "api-key"),
    (REALTIME, |ask| remove(ask, "content-type"), 400, "content-type"),
    (
        REALTIME,
        |ask| set(ask, "content-type", "text/plain"),
        400,
        "text/plain",
    ),
    (REALTIME, |ask| ask.path += "?model=gpt-realtime-2.1", 400, "model"),
    (REALTIME, |ask| ask.path += "/", 404, "/v1/realtime/client_secrets/"),
    (REALTIME, |ask| ask.method = "PUT".to_owned(), 405, "PUT"),
    (REALTIME, |ask| ask.body = json!("{oops"), 400, "not JSON"),
    (REALTIME, |ask| ask.body = json!([]), 400, "body must be a JSON object"),
    (
        REALTIME,
        |ask| ask.body["model"] = json!("x"),
        400,
        "unknown field model",
    ),
    (
        REALTIME,
        |ask| ask.body["expires_after"] = json!(600),
        400,
        "expires_after",
    ),
    (
        REALTIME,
        |ask| after(ask, "anchor", json!("now")),
        400,
        "expires_after.anchor",
    ),
    (
        REALTIME,
        |ask| after(ask, "minutes", json!(10)),
        400,
        "expires_after.minutes",
    ),
    (
        REALTIME,
        |ask| after(ask, "seconds", json!(9)),
        400,
        "expires_after.seconds",
    ),
    (
        REALTIME,
        |ask| after(ask, "seconds", json!(7201)),
        400,
        "expires_after.seconds",
    ),
    (
        REALTIME,
        |ask| after(ask, "seconds", json!(600.0)),
        400,
        "expires_after.seconds",
    ),
    (
        REALTIME,
        |ask| after(ask, "seconds", json!("600")),
        400,
        "expires_after.seconds",
    ),
    (
        REALTIME,
        |ask| ask.body["session"] = json!("realtime"),
        400,
        "session must be",
    ),
    (
        REALTIME,
        |ask| session(ask, "type", json!("translation")),
        400,
        "session.type",
    ),
    (REALTIME, |ask| session(ask, "type", Value::Null), 400, "session.type"),
    (
        REALTIME,
        |ask| session(ask, "voice", json!("marin")),
        400,
        "session.voice",
    ),
    (
        REALTIME,
        |ask| session(ask, "temperature", json!(0.8)),
        400,
        "session.temperature",
    ),
    (REALTIME, |ask| session(ask, "model", json!("")), 400, "session.model"),
    (
        REALTIME,
        |ask| session(ask, "output_modalities", json!(["text", "audio"])),
        400,
        "session.output_modalities",
    ),
    (
        REALTIME,
        |ask| session(ask, "max_output_tokens", json!(4097)),
        400,
        "max_output_tokens",
    ),
    (
        REALTIME,
        |ask| ask.body["session"]["audio"]["voice"] = json!("marin"),
        400,
        "session.audio.voice",
    ),
    (
        REALTIME,
        |ask| ask.body["session"]["audio"]["output"]["speed"] = json!(2),
        400,
        "session.audio.output.speed",
    ),
    (REALTIME, |ask| session(ask, "tools", json!({})), 400, "session.tools"),
    (
        REALTIME,
        |ask| session(ask, "tools", json!([{"type": "x"}])),
        400,
        "session.tools.0.type",
    ),
    (
        REALTIME,
        |ask| session(ask, "tools", json!([{"type": "function"}])),
        400,
        "session.tools.0.name",
    ),
    (
        REALTIME,
        |ask| session(ask, "tools", json!([{"type": "mcp", "server_label": "a"}])),
        400,
        "session.tools.0.server_url",
    ),
    (
        TRANSCRIBE,
        |ask| session(ask, "model", json!("gpt-transcribe")),
        400,
        "session.model",
    ),
    (
        TRANSCRIBE,
        |ask| session(ask, "instructions", json!("hi")),
        400,
        "session.instructions",
    ),
    (
        TRANSLATE,
        |ask| drop(ask.body["session"].take()),
        400,
        "session must be",
    ),
    (TRANSLATE, |ask| ask.body = json!({}), 400, "missing field session"),
    (
        TRANSLATE,
        |ask| session(ask, "type", json!("translation")),
        400,
        "session.type",
    ),
    (TRANSLATE, |ask| session(ask, "model", json!(1)), 400, "session.model"),
];

#[tokio::test]
async fn openai_mutations() {
    refuse(OPENAI, MUTATIONS, "/error/message").await;
}

fn after(ask: &mut Ask, field: &str, value: Value) {
    ask.body["expires_after"][field] = value;
}

fn session(ask: &mut Ask, field: &str, value: Value) {
    ask.body["session"][field] = value;
}
