//! ElevenLabs: signed URLs, conversation tokens and single-use tokens.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::Provider;
use super::asked::Asked;
use super::face::{Body, Face, Refusal, Route};
use super::faults::Fault;
use super::mint::{Minted, Minting};

/// 15 minutes, by documentation; the conversation token's own life is not documented.
const LIFE: i64 = 900;

pub(super) static FACE: Face = Face {
    provider: Provider::ElevenLabs,
    prefixes: &["/v1/convai/", "/v1/single-use-token/"],
    headers: &["xi-api-key"],
    key_form: "xi-api-key: <API key>",
    default_key: "xi-fake",
    api_key: |asked| asked.header("xi-api-key"),
    identity: |asked| asked.query("agent_id"),
    envelope,
    routes: &[
        Route {
            method: "GET",
            path: "/v1/convai/conversation/get-signed-url",
            query: &[
                "agent_id",
                "include_conversation_id",
                "branch_id",
                "version_id",
                "environment",
                "debug_events_request",
            ],
            body: Body::None,
            mint: signed_url,
        },
        Route {
            method: "GET",
            path: "/v1/convai/conversation/token",
            query: &[
                "agent_id",
                "participant_name",
                "branch_id",
                "version_id",
                "environment",
                "debug_events_request",
            ],
            body: Body::None,
            mint: conversation_token,
        },
        single_use("/v1/single-use-token/realtime_scribe"),
        single_use("/v1/single-use-token/batch_scribe"),
        single_use("/v1/single-use-token/tts_websocket"),
    ],
};

const fn single_use(path: &'static str) -> Route {
    Route {
        method: "POST",
        path,
        query: &[],
        body: Body::None,
        mint: single_use_token,
    }
}

fn envelope(refusal: &Refusal, request_id: &str) -> Value {
    let Refusal { status, param, message } = refusal;
    let (kind, code) = match status {
        // Validation answers in the words of FastAPI.
        422 => {
            let place: Vec<_> = ["query"].into_iter().chain(param.as_deref()).collect();
            return json!({"detail": [{"loc": place, "msg": message, "type": "missing"}]});
        }
        401 => ("authentication_error", "invalid_api_key"),
        403 => ("authorization_error", "forbidden"),
        404 => ("not_found", "not_found"),
        429 => ("rate_limit_error", "rate_limit_exceeded"),
        500.. => ("internal_error", "internal_server_error"),
        _ => ("validation_error", "invalid_parameters"),
    };
    json!({"detail": {
        "type": kind,
        "code": code,
        "message": message,
        "status": code,
        "request_id": request_id,
        "param": param,
    }})
}

fn signed_url(asked: &Asked, minting: &Minting) -> Result<Minted, Refusal> {
    // Everything but what RFC 3986 calls unreserved.
    const QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let agent_id = agent_id(asked)?;
    flag(asked, "debug_events_request")?;
    let single_use = flag(asked, "include_conversation_id")?;

    let host = match minting.fault {
        Some(Fault::WrongHost) => "api.elevenlabs.example.net",
        _ => minting.signed_url_host,
    };
    let agent_id = utf8_percent_encode(&agent_id, QUERY);
    let signature = format!("cvtkn_{}", minting.random("signature"));
    let url = format!("wss://{host}/v1/convai/conversation?agent_id={agent_id}&conversation_signature={signature}");
    Ok(minted("signed_url", url, single_use, minting))
}

/// A LiveKit JWT. One conversation id comes with it, so it is good for one conversation.
fn conversation_token(asked: &Asked, minting: &Minting) -> Result<Minted, Refusal> {
    let agent_id = agent_id(asked)?;
    flag(asked, "debug_events_request")?;

    let conversation_id = format!("conv_{}", minting.random("conversation"));
    let mut claims = json!({
        "iss": "APIstandin",
        "sub": format!("user_{}", minting.random("user")),
        "name": asked.query("participant_name").unwrap_or_default(),
        "nbf": minting.now.as_second(),
        "video": {
            "room": format!("room_{agent_id}_{conversation_id}"),
            "roomJoin": true,
            "canPublish": true,
            "canSubscribe": true,
            "canPublishData": true,
        },
    });
    if let Some(stated) = minting.stated(minting.expires_at(LIFE)) {
        claims["exp"] = stated;
    }
    let mut minted = minted("token", minting.jwt(&claims), true, minting);
    let conversation_id = ("conversation_id".to_owned(), json!(conversation_id));
    minted.reply.extend([conversation_id]);
    Ok(minted)
}

fn single_use_token(_: &Asked, minting: &Minting) -> Result<Minted, Refusal> {
    let token = format!("sutkn_{}", minting.random("single-use"));
    Ok(minted("token", token, true, minting))
}

fn minted(field: &'static str, token: String, single_use: bool, minting: &Minting) -> Minted {
    Minted {
        token_field: field,
        expires_at: minting.expires_at(LIFE),
        single_use,
        reply: Map::from_iter([(field.to_owned(), json!(token))]),
        whole: None,
        token,
    }
}

fn agent_id(asked: &Asked) -> Result<String, Refusal> {
    let given = asked.query("agent_id").filter(|id| !id.is_empty());
    given.ok_or_else(|| Refusal {
        param: Some("agent_id".to_owned()),
        ..Refusal::new(422, "Field required")
    })
}

/// A boolean of the query, false if absent.
fn flag(asked: &Asked, key: &str) -> Result<bool, Refusal> {
    match asked.query(key).as_deref() {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => {
            let message = format!("{key} must be true or false, not {other}");
            Err(Refusal::bad(key, message))
        }
    }
}
