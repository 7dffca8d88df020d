//! The session of a client secret: which fields each type knows, and the values worth checking.

use serde_json::{Value, json};

use super::super::face::Refusal;

/// The objects of a session by JSON pointer, with the fields each may have.
type Shape = &'static [(&'static str, &'static [&'static str])];

const REALTIME: Shape = &[
    (
        "",
        &[
            "type",
            "model",
            "output_modalities",
            "instructions",
            "audio",
            "include",
            "tracing",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning",
            "max_output_tokens",
            "truncation",
            "prompt",
        ],
    ),
    ("/audio", &["input", "output"]),
    ("/audio/input", INPUT),
    ("/audio/input/format", FORMAT),
    ("/audio/input/transcription", TRANSCRIBER),
    ("/audio/input/noise_reduction", NOISE_REDUCTION),
    ("/audio/input/turn_detection", TURN_DETECTION),
    ("/audio/output", &["format", "voice", "speed"]),
    ("/audio/output/format", FORMAT),
    ("/reasoning", &["effort"]),
    ("/prompt", &["id", "version", "variables"]),
];

const TRANSCRIPTION: Shape = &[
    ("", &["type", "audio", "include"]),
    ("/audio", &["input"]),
    ("/audio/input", INPUT),
    ("/audio/input/format", FORMAT),
    ("/audio/input/transcription", TRANSCRIBER),
    ("/audio/input/noise_reduction", NOISE_REDUCTION),
    ("/audio/input/turn_detection", TURN_DETECTION),
];

const TRANSLATION: Shape = &[
    ("", &["model", "audio"]),
    ("/audio", &["input", "output"]),
    ("/audio/input", &["transcription", "noise_reduction"]),
    ("/audio/input/transcription", &["model"]),
    ("/audio/input/noise_reduction", NOISE_REDUCTION),
    ("/audio/output", &["language"]),
];

const INPUT: &[&str] = &["format", "transcription", "noise_reduction", "turn_detection"];
const FORMAT: &[&str] = &["type", "rate"];
const TRANSCRIBER: &[&str] = &["model", "language", "languages", "keywords", "prompt", "delay"];
const NOISE_REDUCTION: &[&str] = &["type", "strength"];
const TURN_DETECTION: &[&str] = &[
    "type",
    "threshold",
    "prefix_padding_ms",
    "silence_duration_ms",
    "create_response",
    "interrupt_response",
    "idle_timeout_ms",
    "eagerness",
];

/// The objects that a null may stand for.
const NULLABLE: &[&str] = &[
    "/audio/input/transcription",
    "/audio/input/noise_reduction",
    "/audio/input/turn_detection",
    "/prompt",
];

/// Checks a session that names its type, and returns the type.
pub(super) fn check_typed(session: &Value) -> Result<&str, Refusal> {
    if !session.is_object() {
        return Err(wrong(session, "", "an object"));
    }
    match session.get("type").and_then(Value::as_str) {
        Some(kind @ "transcription") => check_shape(session, TRANSCRIPTION).map(|()| kind),
        Some(kind @ "realtime") => {
            check_shape(session, REALTIME)?;
            check_values(session)?;
            check_tools(session)?;
            Ok(kind)
        }
        _ => Err(wrong(session, "/type", "realtime or transcription")),
    }
}

/// Checks a translation session, whose type is in the path instead.
pub(super) fn check_translation(session: &Value) -> Result<(), Refusal> {
    check_shape(session, TRANSLATION)?;
    let named = session.get("model").is_some_and(filled);
    require(named, session, "/model", "a model's name")?;
    let language = session.pointer("/audio/output/language");
    let is_text = language.is_none_or(filled);
    require(is_text, session, "/audio/output/language", "a language")
}

/// Refuses what is no object and any field not listed, by its full name.
pub(super) fn only(value: &Value, name: &str, known: &[&str]) -> Result<(), Refusal> {
    let Some(object) = value.as_object() else {
        let name = if name.is_empty() { "body" } else { name };
        let message = format!("{name} must be a JSON object, not {value}");
        return Err(Refusal::bad(name, message));
    };
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some(unknown) => {
            let name = format!("{name}.{unknown}");
            let name = name.trim_start_matches('.');
            Err(Refusal::bad(name, format!("unknown field {name}")))
        }
    }
}

fn check_shape(session: &Value, shape: Shape) -> Result<(), Refusal> {
    for (place, fields) in shape {
        match session.pointer(place) {
            None => {}
            Some(Value::Null) if NULLABLE.contains(place) => {}
            Some(object) => only(object, &full_name(place), fields)?,
        }
    }
    Ok(())
}

fn check_values(session: &Value) -> Result<(), Refusal> {
    type Rule = (&'static str, fn(&Value) -> bool, &'static str);
    const RULES: [Rule; 7] = [
        ("/model", filled, "a model's name"),
        ("/instructions", Value::is_string, "a string"),
        (
            "/output_modalities",
            |value| value == &json!(["text"]) || value == &json!(["audio"]),
            r#"["text"] or ["audio"], not both"#,
        ),
        ("/parallel_tool_calls", Value::is_boolean, "a boolean"),
        (
            "/max_output_tokens",
            |value| value == "inf" || value.as_i64().is_some_and(|n| (1..=4096).contains(&n)),
            r#"an integer from 1 to 4096 or "inf""#,
        ),
        (
            "/audio/output/voice",
            |value| filled(value) || value.get("id").is_some_and(filled),
            "a voice's name or {id}",
        ),
        (
            "/audio/output/speed",
            |value| value.as_f64().is_some_and(|n| (0.25..=1.5).contains(&n)),
            "a number from 0.25 to 1.5",
        ),
    ];
    for (place, holds, expected) in RULES {
        let fine = session.pointer(place).is_none_or(holds);
        require(fine, session, place, expected)?;
    }
    Ok(())
}

/// A light look: each tool is of a known type and says which one it is.
fn check_tools(session: &Value) -> Result<(), Refusal> {
    let Some(tools) = session.get("tools") else {
        return Ok(());
    };
    let listed = tools.as_array();
    require(listed.is_some(), session, "/tools", "an array")?;
    for (at, tool) in listed.into_iter().flatten().enumerate() {
        let place = |field: &str| format!("/tools/{at}{field}");
        let has = |field: &str| tool.get(field).is_some_and(filled);
        match tool.get("type").and_then(Value::as_str) {
            Some("function") => {
                let known = ["type", "name", "description", "parameters"];
                only(tool, &full_name(&place("")), &known)?;
                require(has("name"), session, &place("/name"), "the function's name")?;
            }
            Some("mcp") => {
                let place_of_label = place("/server_label");
                require(has("server_label"), session, &place_of_label, "a label")?;
                let reachable = ["server_url", "connector_id", "tunnel_id"].into_iter().any(has);
                let expected = "set, or else connector_id or tunnel_id";
                require(reachable, session, &place("/server_url"), expected)?;
            }
            _ => return Err(wrong(session, &place("/type"), "function or mcp")),
        }
    }
    Ok(())
}

fn require(holds: bool, session: &Value, place: &str, expected: &str) -> Result<(), Refusal> {
    if holds {
        Ok(())
    } else {
        Err(wrong(session, place, expected))
    }
}

fn wrong(session: &Value, place: &str, expected: &str) -> Refusal {
    let name = full_name(place);
    let found = session.pointer(place);
    let found = found.map_or_else(|| "missing".to_owned(), Value::to_string);
    Refusal::bad(&name, format!("{name} must be {expected}, not {found}"))
}

fn filled(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

fn full_name(place: &str) -> String {
    format!("session{}", place.replace('/', "."))
}
