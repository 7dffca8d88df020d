//! Replies of the built-in hosts. Over the wire there are only custom endpoints to test with, of whom the status is all
//! that a message says (`tests/providers`).

use std::time::Duration;

use http::{HeaderName, HeaderValue};
use jiff::SignedDuration;
use proptest::prelude::*;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::*;
use crate::api::Reason;
use crate::mint::refusal::responder;
use crate::mint::{Ask, Credential, To};
use crate::providers::Block;

mod callers;
mod cases;
mod echoes;

const SENT: &str = "2026-11-22T08:00:00Z";

fn openai(fields: Value) -> Ask {
    let mut block = json!({"model": "gpt-realtime-2.1"});
    block
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    Ask {
        block: Block::OpenAi(serde_json::from_value(block).unwrap()),
        expiration: SignedDuration::from_secs(1800),
        namespace: "apps".to_owned(),
        subject: None,
        of_caller: false,
    }
}

fn elevenlabs() -> Ask {
    Ask {
        block: Block::ElevenLabs(serde_json::from_value(json!({"agentId": "agent_1"})).unwrap()),
        expiration: SignedDuration::from_secs(900),
        namespace: "apps".to_owned(),
        subject: None,
        of_caller: false,
    }
}

fn answer(ask: &Ask, status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Result<Minted, MintError> {
    let sent: Timestamp = SENT.parse().unwrap();
    let headers = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
    let headers: HeaderMap = headers.collect();
    let clocks = Clocks::new(
        sent,
        Duration::from_millis(300),
        crate::mint::retry_after::date(&headers),
    );
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: body.into(),
        clocks,
        responder: responder(ask.block.provider(), &To::Endpoint),
    };
    let credential = Credential::new([("api-key", "sk-canary".into())]);
    let mint = Mint {
        expiration: ask.expiration,
        credential: &credential,
        namespace: "apps",
        subject: None,
        ask: Some(ask),
        now: sent,
        nonce: [0; 16],
    };
    let provider = ask.block.provider();
    match reply.read(provider, &mint, 0)? {
        Step::Done(answer) => reply.minted(provider, &mint, answer, sent),
        Step::Send(_) => panic!("another request"),
    }
}

fn refused(ask: &Ask, status: u16, headers: &[(&'static str, &'static str)], body: &str) -> String {
    answer(ask, status, headers, body).unwrap_err().to_string()
}

const WRONG_KEY: &str = r#"{"error":{"message":"Incorrect API key provided: sk-canary. You can find yours at https://platform.openai.com/account/api-keys.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}"#;

#[test]
fn the_whole_sentence() {
    assert_eq!(
        refused(&openai(json!({})), 401, &[("x-request-id", "req_1")], WRONG_KEY),
        "OpenAI answered 401 (invalid_api_key). Check the API key in the Secret. Request id req_1."
    );
    assert_eq!(
        refused(
            &elevenlabs(),
            422,
            &[],
            r#"{"detail":[{"loc":["query","agent_id"],"msg":"Field required","type":"missing"}]}"#
        ),
        "ElevenLabs answered 422 (missing): query.agent_id: Field required. Check the provider block of the spec."
    );
    assert_eq!(
        refused(
            &elevenlabs(),
            404,
            &[],
            r#"{"detail":{"code":"not_found","message":"no agent\n","status":"x","request_id":"0f3a"}}"#
        ),
        "ElevenLabs answered 404 (not_found): no agent. Check the model or agent id in the spec, and whether the API \
         key belongs to its account. Request id 0f3a."
    );
    assert_eq!(
        refused(&openai(json!({})), 503, &[], "<html>upstream</html>"),
        "OpenAI answered 503. The provider is having trouble: the mint will be tried again."
    );
}

#[test]
fn a_custom_endpoint_is_quoted_by_status_alone() {
    let ask = openai(json!({"endpoint": "https://gw.example"}));
    assert_eq!(
        refused(&ask, 401, &[("x-request-id", "req_1")], WRONG_KEY),
        "The endpoint https://gw.example answered 401. Check the API key in the Secret."
    );
}

#[test]
fn codes_and_ids_that_are_none_are_left_out() {
    let body = r#"{"error":{"message":"m","code":"sk-canary"}}"#;
    let text = refused(&openai(json!({})), 400, &[("x-request-id", "sk-canary")], body);
    assert_eq!(text, "OpenAI answered 400: m. Check the provider block of the spec.");
    let body = json!({"error": {"message": "m", "code": "two words"}}).to_string();
    let text = refused(&openai(json!({})), 400, &[("x-request-id", "a b")], &body);
    assert_eq!(text, "OpenAI answered 400: m. Check the provider block of the spec.");
}

#[test]
fn classes_and_reasons() {
    for status in (300..600).filter(|status| !(200..300).contains(status)) {
        let error = answer(&openai(json!({})), status, &[], "").unwrap_err();
        let (class, reason) = match status {
            402 => ("quota", Reason::QuotaExhausted),
            429 => ("throttled", Reason::RateLimited),
            408 | 409 | 500.. => ("unavailable", Reason::ProviderUnavailable),
            401 | 403 => ("rejected", Reason::CredentialRejected),
            _ => ("rejected", Reason::MintFailed),
        };
        let got = match &error {
            MintError::Rejected { .. } => "rejected",
            MintError::NoCredential { .. } => "no credential",
            MintError::Throttled { .. } => "throttled",
            MintError::QuotaExhausted { .. } => "quota",
            MintError::Unavailable { .. } => "unavailable",
            MintError::Internal { .. } => "internal",
        };
        assert_eq!((got, error.reason()), (class, reason), "{status}");
        assert!(
            error.to_string().starts_with(&format!("OpenAI answered {status}. ")),
            "{error}"
        );
    }
}

#[test]
fn a_throttled_reply_says_how_long() {
    let wait = |headers: &[(&'static str, &'static str)]| match answer(&openai(json!({})), 429, headers, "") {
        Err(MintError::Throttled { retry_after, .. }) => retry_after,
        other => panic!("{other:?}"),
    };
    assert_eq!(wait(&[("retry-after", "7")]), Some(SignedDuration::from_secs(7)));
    assert_eq!(wait(&[]), None);
    // Without a Date of its own, from the arrival by our clock, 0.3 s after the sending.
    let date = wait(&[("retry-after", "Sun, 22 Nov 2026 08:00:30 GMT")]);
    assert_eq!(date, Some(SignedDuration::from_millis(29_700)));
}

#[test]
fn a_success_becomes_a_token() {
    let body = r#"{"value":"ek_1","expires_at":1795336200,"session":{"model":"gpt-realtime-2.1","expires_at":0}}"#;
    for status in [200, 201, 202] {
        let minted = answer(&openai(json!({})), status, &[], body).unwrap();
        assert_eq!(minted.provider, "openai");
        assert_eq!(minted.value.expose_secret(), "ek_1");
        assert_eq!(minted.issued_at.to_string(), SENT);
        assert_eq!(minted.usable_until.to_string(), "2026-11-22T08:30:00Z");
        assert_eq!(minted.expires_at, minted.usable_until);
        assert!(!format!("{minted:?}").contains("ek_1"));
    }
}

#[test]
fn skew_is_read_from_the_date() {
    let body = r#"{"value":"ek_1","expires_at":1795336800}"#;
    let minted = answer(
        &openai(json!({})),
        200,
        &[("date", "Sun, 22 Nov 2026 08:10:00 GMT")],
        body,
    )
    .unwrap();
    assert_eq!(
        minted.expires_at.to_string(),
        "2026-11-22T08:40:00Z",
        "as the provider says"
    );
    assert_eq!(
        minted.usable_until.to_string(),
        "2026-11-22T08:30:00.3Z",
        "ten minutes less the way"
    );
}

#[test]
fn an_unusable_success_says_what_is_missing() {
    let ask = openai(json!({}));
    for (body, why) in [
        ("", "its body is no JSON object; it is empty"),
        (
            "<!doctype html>sk-canary",
            "its body is no JSON object; it is an HTML page",
        ),
        ("sk-canary", "its body is no JSON object. If"),
        (r#"{"expires_at":1795336200}"#, "it holds no token in `value`"),
        (r#"{"value":"ek_canary"}"#, "it states no `expires_at`"),
        (r#"{"value":"ek_canary","expires_at":1795334399}"#, "already past"),
        (
            r#"{"value":"ek_canary","expires_at":1795336201000}"#,
            "it states no `expires_at`",
        ),
        (
            r#"{"value":"ek_canary","expires_at":1795336801}"#,
            "the 2400 s that make sense",
        ),
    ] {
        let error = answer(&ask, 200, &[], body).unwrap_err();
        assert!(
            matches!(error, MintError::Rejected { credential: false, .. }),
            "{error:?}"
        );
        let text = error.to_string();
        assert!(
            text.starts_with("OpenAI answered 200, but ") && text.contains(why),
            "{body}: {text}"
        );
        assert!(!text.contains("canary"), "{text}");
    }
}

proptest! {
    /// Whatever a provider says around it, the key stays out of the message, which stays a short line.
    #[test]
    fn no_error_repeats_the_key(
        before in ".{0,60}", after in ".{0,300}", code in "[a-z -]{0,8}", status in 300u16..600, shape in 0..4,
    ) {
        let text = format!("{before}sk-canary{after}");
        let body = match shape {
            0 => json!({"error": {"message": text, "type": "t", "param": null, "code": format!("{code}sk-canary")}}),
            1 => json!({"detail": {"message": text, "status": text, "request_id": text}}),
            2 => json!({"detail": [{"loc": ["query", text], "msg": text, "type": text}]}),
            _ => json!(text),
        };
        let error = refused(&elevenlabs(), status, &[], &body.to_string());
        prop_assert!(!error.contains("canary"), "{error}");
        prop_assert!(!error.contains(char::is_control), "{error:?}");
        prop_assert!(error.chars().count() < 600, "{error}");
    }

    #[test]
    fn no_reply_panics(status in 200u16..600, body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let body = String::from_utf8_lossy(&body);
        for ask in [openai(json!({})), openai(json!({"kind": "Translation"})), elevenlabs()] {
            let _ = answer(&ask, status, &[], &body);
        }
    }

    /// No expiry is guessed: a token's end is the stated one or there is no token.
    #[test]
    fn an_expiry_is_the_stated_one_or_none(stated in any::<i64>()) {
        let body = json!({"value": "ek_1", "expires_at": stated}).to_string();
        if let Ok(minted) = answer(&openai(json!({})), 200, &[], &body) {
            prop_assert_eq!(minted.expires_at.as_second(), stated);
            prop_assert!(minted.usable_until > minted.issued_at);
        }
    }
}
