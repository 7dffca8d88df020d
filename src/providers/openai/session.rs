//! The session config: the user's, with what we fill in and without what must not be in it.

use serde_json::{Map, Value, json};

use super::{InvalidBlock, Mint};
use crate::api::{OpenAi, OpenAiKind, RawObject};
use crate::mint::wire::{SESSION, bounded};

/// What CEL can't see in a session.
pub(in crate::providers) fn check(block: &OpenAi) -> Result<(), InvalidBlock> {
    let Some(session) = &block.session else {
        return Ok(());
    };
    bounded("openai.session", Some(session), SESSION)?;
    let session = session.read();
    let model = Some(block.model.as_str());
    match block.kind {
        OpenAiKind::Realtime => {
            filled_in(session.get("type"), Some("realtime"), TYPE)?;
            filled_in(session.get("model"), model, ".model")?;
        }
        OpenAiKind::Transcription => {
            filled_in(session.get("type"), Some("transcription"), TYPE)?;
            transcription_model(&session, model)?;
        }
        OpenAiKind::Translation => {
            filled_in(session.get("type"), None, TYPE)?;
            filled_in(session.get("model"), model, ".model")?;
        }
    }
    if session.contains_key("voice") {
        return refuse(
            ".voice",
            "the voice is set in openai.session.audio.output.voice; move it there",
        );
    }
    if session.contains_key("temperature") {
        return refuse(".temperature", "OpenAI removed it from Realtime; remove it");
    }
    if let Some(Value::Array(modalities)) = session.get("output_modalities")
        && ["text", "audio"]
            .iter()
            .all(|both| modalities.iter().any(|one| one == both))
    {
        return refuse(
            ".output_modalities",
            "a session puts out text or audio, not both (audio comes with its transcript)",
        );
    }
    tools(session.get("tools"))
}

/// A transcription has its model in `audio.input.transcription`.
fn transcription_model(session: &Map<String, Value>, model: Option<&str>) -> Result<(), InvalidBlock> {
    if session.contains_key("model") {
        return refuse(
            ".model",
            "a transcription has its model in openai.model; remove it here",
        );
    }
    let mut parent = Some(session);
    let mut path = String::new();
    for key in TRANSCRIPTION {
        path = format!("{path}.{key}");
        parent = match parent.and_then(|parent| parent.get(key)) {
            None | Some(Value::Null) => None,
            Some(Value::Object(child)) => Some(child),
            Some(_) => return refuse(&path, "must be an object"),
        };
    }
    filled_in(
        parent.and_then(|parent| parent.get("model")),
        model,
        ".audio.input.transcription.model",
    )
}

/// Where a client secret for this kind of session is asked for.
pub(in crate::providers) const fn path(kind: OpenAiKind) -> &'static str {
    match kind {
        OpenAiKind::Realtime | OpenAiKind::Transcription => "/v1/realtime/client_secrets",
        OpenAiKind::Translation => "/v1/realtime/translations/client_secrets",
    }
}

/// What is sent: always with a life, for the default is the provider's to change.
pub(in crate::providers) fn body(block: &OpenAi, mint: &Mint<'_>) -> Value {
    json!({
        "expires_after": {"anchor": "created_at", "seconds": mint.expiration.as_secs()},
        "session": build(block),
    })
}

/// The session to send: ours first, then the user's.
fn build(block: &OpenAi) -> Value {
    let model = || Value::from(block.model.as_str());
    let mut session = Map::new();
    match block.kind {
        OpenAiKind::Realtime => {
            session.insert("type".into(), "realtime".into());
            session.insert("model".into(), model());
        }
        OpenAiKind::Transcription => {
            session.insert("type".into(), "transcription".into());
        }
        OpenAiKind::Translation => {
            session.insert("model".into(), model());
        }
    }
    for (key, value) in block.session.iter().flat_map(RawObject::read) {
        session.entry(key).or_insert(value);
    }
    let mut session = Value::Object(session);
    if block.kind == OpenAiKind::Transcription {
        let transcription = TRANSCRIPTION
            .iter()
            .fold(&mut session, |parent, key| &mut object(parent)[*key]);
        object(transcription)["model"] = model();
    }
    session
}

const TYPE: &str = ".type";
/// Where a transcription has its model.
const TRANSCRIPTION: [&str; 3] = ["audio", "input", "transcription"];

/// Makes an object of what is none.
fn object(value: &mut Value) -> &mut Value {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    value
}

/// Refuses a value that differs from the one we fill in; `None` if there is nothing to fill in.
fn filled_in(given: Option<&Value>, ours: Option<&str>, path: &str) -> Result<(), InvalidBlock> {
    let from = if path == TYPE { "openai.kind" } else { "openai.model" };
    match (given, ours) {
        (None, _) => Ok(()),
        (Some(given), Some(ours)) if given == ours => Ok(()),
        (Some(_), Some(ours)) => refuse(path, &format!("is filled in as {ours:?}, from {from}; remove it here")),
        (Some(_), None) => refuse(path, "a translation has none; remove it"),
    }
}

/// Refuses keys of MCP servers, wherever in a tool they hide. The parameters of a function are exempt: they are a
/// schema, in which `headers` is but the name of an argument.
fn tools(tools: Option<&Value>) -> Result<(), InvalidBlock> {
    let tools = match tools {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(tools)) => tools,
        Some(_) => return refuse(".tools", "must be a list"),
    };
    for (index, tool) in tools.iter().enumerate() {
        let function = tool.get("type").is_some_and(|kind| kind == "function");
        let found = match tool {
            Value::Object(fields) if function => secret_in(fields.iter().filter(|(key, _)| *key != "parameters")),
            _ => secret(tool),
        };
        if let Some(key) = found {
            return refuse(
                &format!(".tools[{index}]"),
                &format!(
                    "must not hold {key:?}: what a client secret carries can be read by its holder. Connect to the \
                     tool from your own server instead"
                ),
            );
        }
    }
    Ok(())
}

/// The first key that holds a secret.
fn secret(value: &Value) -> Option<&str> {
    match value {
        Value::Object(fields) => secret_in(fields.iter()),
        Value::Array(items) => items.iter().find_map(secret),
        _ => None,
    }
}

fn secret_in<'v>(mut fields: impl Iterator<Item = (&'v String, &'v Value)>) -> Option<&'v str> {
    fields.find_map(|(key, value)| {
        let named = ["authorization", "headers"]
            .iter()
            .any(|name| key.eq_ignore_ascii_case(name));
        if named { Some(key.as_str()) } else { secret(value) }
    })
}

fn refuse(path: &str, what: &str) -> Result<(), InvalidBlock> {
    Err(InvalidBlock(format!("openai.session{path}: {what}")))
}
