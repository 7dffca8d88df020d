//! OpenAI: client secrets of realtime, transcription and translation sessions.

mod session;

use serde_json::{Map, Value, json};

use super::Provider;
use super::asked::Asked;
use super::face::{Body, Face, Refusal, Route};
use super::mint::{Minted, Minting};

/// The life of a secret whose request says nothing about it.
const DEFAULT_SECONDS: i64 = 600;

pub(super) static FACE: Face = Face {
    provider: Provider::OpenAi,
    prefixes: &["/v1/realtime/"],
    headers: &[
        "authorization",
        "openai-organization",
        "openai-project",
        "openai-safety-identifier",
    ],
    key_form: "authorization: Bearer <API key>",
    default_key: "sk-test-fake",
    api_key: |asked| asked.header("authorization")?.strip_prefix("Bearer "),
    identity: |asked| asked.header("openai-safety-identifier").map(str::to_owned),
    envelope,
    routes: &[
        Route {
            method: "POST",
            path: "/v1/realtime/client_secrets",
            query: &[],
            body: Body::Json,
            mint: client_secret,
        },
        Route {
            method: "POST",
            path: "/v1/realtime/translations/client_secrets",
            query: &[],
            body: Body::Json,
            mint: translation_client_secret,
        },
    ],
};

fn envelope(refusal: &Refusal, _request_id: &str) -> Value {
    let (kind, code) = match refusal.status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        404 => ("invalid_request_error", Some("unknown_url")),
        429 => ("requests", Some("rate_limit_exceeded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    };
    json!({"error": {
        "message": refusal.message,
        "type": kind,
        "param": refusal.param,
        "code": code,
    }})
}

fn client_secret(asked: &Asked, minting: &Minting) -> Result<Minted, Refusal> {
    let (seconds, session) = read(asked)?;
    let echo = match &session {
        // Legal by the spec; which defaults the service then picks is not documented.
        None => json!({"type": "realtime", "object": "realtime.session"}),
        Some(session) => match session::check_typed(session)? {
            "transcription" => json!({"object": "realtime.transcription_session"}),
            _ => json!({"object": "realtime.session", "output_modalities": ["audio"]}),
        },
    };
    Ok(minted(seconds, echo, session, minting))
}

fn translation_client_secret(asked: &Asked, minting: &Minting) -> Result<Minted, Refusal> {
    let (seconds, session) = read(asked)?;
    let Some(session) = session else {
        return Err(Refusal::bad("session", "missing field session"));
    };
    session::check_translation(&session)?;
    let echo = json!({"type": "translation", "object": "realtime.translation_session"});
    Ok(minted(seconds, echo, Some(session), minting))
}

/// Checks the frame of a body; returns the seconds asked for and the session.
fn read(asked: &Asked) -> Result<(i64, Option<Value>), Refusal> {
    let mut body: Value = serde_json::from_slice(&asked.body)
        .map_err(|error| Refusal::bad("body", format!("the body is not JSON: {error}")))?;
    session::only(&body, "", &["expires_after", "session"])?;
    let seconds = match body.get("expires_after") {
        None => DEFAULT_SECONDS,
        Some(after) => expires_after(after)?,
    };
    Ok((seconds, body.get_mut("session").map(Value::take)))
}

fn expires_after(after: &Value) -> Result<i64, Refusal> {
    session::only(after, "expires_after", &["anchor", "seconds"])?;
    let anchor = after.get("anchor").unwrap_or(&Value::Null);
    if !anchor.is_null() && anchor != "created_at" {
        let message = format!("expires_after.anchor must be created_at, not {anchor}");
        return Err(Refusal::bad("expires_after.anchor", message));
    }
    let Some(seconds) = after.get("seconds") else {
        return Ok(DEFAULT_SECONDS);
    };
    let whole = seconds.as_i64().filter(|seconds| (10..=7200).contains(seconds));
    whole.ok_or_else(|| {
        let message = format!("expires_after.seconds must be an integer from 10 to 7200, not {seconds}");
        Refusal::bad("expires_after.seconds", message)
    })
}

/// The reply echoes the session over some fields of its own.
fn minted(seconds: i64, echo: Value, session: Option<Value>, minting: &Minting) -> Minted {
    let number = minting.number;
    let token = format!("ek_standin_{number}_{}", minting.random("client secret"));
    let expires_at = minting.expires_at(seconds);

    let mut echoed = Map::from_iter([("id".to_owned(), json!(format!("sess_standin_{number}")))]);
    for fields in [Some(echo), session].into_iter().flatten() {
        echoed.extend(fields.as_object().cloned().unwrap_or_default());
    }
    // The session's own expiry, which must not be taken for the secret's.
    echoed.insert("expires_at".to_owned(), json!(0));

    let mut reply = Map::from_iter([("value".to_owned(), json!(token))]);
    let stated = minting.stated(expires_at);
    reply.extend(stated.map(|stated| ("expires_at".to_owned(), stated)));
    reply.insert("session".to_owned(), Value::Object(echoed));
    Minted {
        token,
        token_field: "value",
        expires_at,
        // As a gateway may allow it, and OpenAI's reference still says: `openai.reuse: Multiple`.
        single_use: false,
        reply,
        whole: None,
    }
}
