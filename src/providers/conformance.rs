//! Every provider against its file in `tests/conformance`: requests as recorded, replies, errors.

use std::collections::BTreeMap;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::json;
use testkit::conformance::{Conformance, all, recording};

use super::*;
use crate::api::{PROVIDER_FIELDS, RealtimeTokenSpec};
use crate::mint::expiry::Clocks;
use crate::mint::refusal::responder;
use crate::mint::reply::{Reply, signed};
use crate::mint::*;
use crate::resolve::{block_of, expiration};
use crate::token::Minted;

const NOW: i64 = 1_795_334_400;

mod leaves;
mod overrides;
mod seconds;
mod subjects;

fn ask(spec: &Value) -> Ask {
    ask_for(spec, None)
}

fn ask_for(spec: &Value, subject: Option<&str>) -> Ask {
    let mut spec = spec.clone();
    if spec.get("credentials").is_none() {
        spec["credentials"] = json!({"secretRef": {"name": "key"}});
    }
    let spec: RealtimeTokenSpec =
        serde_json::from_value(spec.clone()).unwrap_or_else(|problem| panic!("{spec}: {problem}"));
    let mut block = block_of(&spec).unwrap();
    if let Some(subject) = subject {
        block.name_subject(subject).unwrap();
    }
    block.provider().validate().unwrap();
    let expiration = expiration(&spec, &block, None).unwrap();
    let (facts, lifetime) = (block.provider().facts(), block.provider().lifetime());
    lifetime.admit(expiration).unwrap();
    if facts.lifetime != Lifetime::InBlock {
        let refused = |lifetime| matches!(lifetime, Lifetime::Fixed(_) | Lifetime::Stated);
        let same = lifetime == facts.lifetime || refused(lifetime) && refused(facts.lifetime);
        assert!(same, "{}: CEL would say something else about {lifetime:?}", facts.name);
    }
    Ask {
        block,
        expiration,
        namespace: "apps".to_owned(),
        subject: subject.map(str::to_owned),
        of_caller: false,
    }
}

fn credential(ask: &Ask, secret: &Value) -> Credential {
    let secret_fields = ask.block.provider().secret_fields().iter();
    Credential::new(secret_fields.map(|field| {
        let value = secret[field.key]
            .as_str()
            .unwrap_or_else(|| panic!("`secret` of the file lacks {}", field.key));
        (field.key, value.into())
    }))
}

fn mint<'a>(ask: &'a Ask, credential: &'a Credential, now: i64) -> Mint<'a> {
    Mint {
        expiration: ask.expiration,
        credential,
        namespace: &ask.namespace,
        subject: ask.subject.as_deref(),
        ask: None,
        now: Timestamp::from_second(now).unwrap(),
        nonce: [7; 16],
    }
}

fn bytes(body: &Value) -> Vec<u8> {
    match body {
        Value::Null => Vec::new(),
        Value::String(text) => text.clone().into_bytes(),
        json => json.to_string().into_bytes(),
    }
}

fn parsed(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        let part = URL_SAFE_NO_PAD.decode(part).unwrap_or_default();
        serde_json::from_slice(&part).unwrap_or_default()
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

#[test]
fn every_provider_has_a_file() {
    let mut fields: Vec<_> = all().unwrap().into_iter().map(|file| file.field).collect();
    let mut listed: Vec<_> = PROVIDER_FIELDS.iter().map(|field| (*field).to_owned()).collect();
    fields.sort();
    listed.sort();
    assert_eq!(
        fields, listed,
        "tests/conformance/<field>.yaml, one for each line of the list"
    );
}

#[test]
fn requests_are_the_recorded_ones() {
    for file in all().unwrap() {
        for case in &file.requests {
            let about = case.case.as_ref().or(case.recorded.as_ref());
            let name = format!("{}: {about:?}", file.field);
            let recorded = case.recorded.as_ref().map(|name| recorded(&file, name));
            let mut expected = recorded.clone().unwrap_or_else(|| json!({}));
            for (key, value) in case.expect.as_object().into_iter().flatten() {
                expected[key] = value.clone();
            }
            let ask = ask_for(&case.spec, case.subject.as_deref());
            let credential = credential(&ask, case.secret.as_ref().unwrap_or(&file.secret));
            let now = case.now.or(expected["now"].as_i64()).unwrap_or(NOW);
            let (provider, mint) = (ask.block.provider(), mint(&ask, &credential, now));
            let step = match &case.after {
                None => provider.start(&mint).unwrap(),
                Some(reply) => provider.read(&mint, 0, &bytes(reply)).unwrap(),
            };
            match step {
                Step::Send(request) => same_request(&name, &ask, &request, &expected),
                Step::Done(answer) => {
                    let token = answer.value.expose_secret();
                    let (header, mut claims) = parsed(token);
                    if file.random_jti {
                        without_jti(&mut claims).unwrap_or_else(|| panic!("{name}: no jti"));
                        without_jti(&mut expected["claims"]);
                    }
                    if expected["claims"].is_object() {
                        assert_eq!(claims, expected["claims"], "{name}");
                        assert_eq!(header["alg"], expected["header"]["alg"], "{name}");
                    }
                    // The same text where our members have the SDK's order.
                    let same_order = expected["claims_raw"].as_str() == Some(&claims.to_string())
                        && expected["header_raw"].as_str() == Some(&header.to_string());
                    let equal = same_order && !file.random_jti;
                    if equal || expected["claims"].is_null() {
                        assert_eq!(token, expected["jwt"], "{name}");
                    }
                }
            }
        }
    }
}

fn without_jti(claims: &mut Value) -> Option<Value> {
    claims.as_object_mut()?.shift_remove("jti")
}

fn recorded(file: &Conformance, name: &str) -> Value {
    let recording = recording(&file.field).unwrap();
    let mut cases = ["requests", "vectors"]
        .into_iter()
        .flat_map(|kind| recording[kind].as_array().cloned().unwrap_or_default());
    let found = cases.find(|case| case["case"] == name);
    found.unwrap_or_else(|| panic!("{}: no recorded case {name:?}", file.field))
}

fn same_request(name: &str, ask: &Ask, request: &Request, expected: &Value) {
    assert_eq!(request.method.as_str(), expected["method"], "{name}");
    assert_eq!(request.path, expected["path"], "{name}");
    let origin = origin_of(ask, request);
    assert_eq!(origin, expected["origin"], "{name}");
    let headers: BTreeMap<String, String> = request
        .headers
        .iter()
        .filter(|(name, _)| name.as_str() != "accept")
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .collect();
    let recorded: BTreeMap<String, String> = expected["headers"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())))
        .collect();
    assert_eq!(headers, recorded, "{name}");
    match (&expected["body"], &expected["body_raw"]) {
        (_, Value::String(raw)) => {
            assert_eq!(String::from_utf8_lossy(request.bytes()), *raw, "{name}")
        }
        (Value::Null, _) => assert!(request.bytes().is_empty(), "{name}"),
        (json, _) => {
            let body: Value = serde_json::from_slice(request.bytes()).unwrap();
            assert_eq!(body, *json, "{name}");
        }
    }
}

/// Where a request is sent to.
fn origin_of(ask: &Ask, request: &Request) -> String {
    match (&request.to, ask.block.provider().endpoint()) {
        (To::Service { origin, .. }, _) => origin.clone(),
        (To::Endpoint, Endpoint::BuiltIn(origin)) => {
            let guarded = ask.block.provider().facts().origins;
            assert!(guarded.contains(&origin), "{origin} is not in the provider's facts");
            origin.to_owned()
        }
        (To::Endpoint, Endpoint::Tenant(origin)) => origin,
        (To::Endpoint, Endpoint::Custom(origin)) => origin.to_owned(),
        (To::Endpoint, Endpoint::Local) => panic!("{}: sent to nowhere", request.path),
    }
}

#[test]
fn replies_are_read_or_refused() {
    for file in all().unwrap() {
        for case in &file.replies {
            let name = format!("{}: {}", file.field, case.case);
            let ask = ask(case.spec.as_ref().unwrap_or(&file.example));
            let minted = answered(
                &file,
                &ask,
                case.nth,
                case.status.unwrap_or(200),
                &BTreeMap::new(),
                &case.body,
            );
            match (&case.refused, minted) {
                (Some(part), Err(error)) => {
                    assert!(error.to_string().contains(part), "{name}: {error}");
                }
                (None, Ok(minted)) => {
                    if let Some(token) = &case.token {
                        assert_eq!(minted.value.expose_secret(), token, "{name}");
                    }
                    let lives = minted.usable_until.as_second() - NOW;
                    assert_eq!(Some(lives), case.lives, "{name}");
                }
                (expected, minted) => panic!("{name}: expected {expected:?}, got {minted:?}"),
            }
        }
    }
}

#[test]
fn errors_are_of_the_right_class_and_say_what_to_do() {
    for file in all().unwrap() {
        for case in &file.errors {
            let name = format!("{}: {} {}", file.field, case.status, case.body);
            let ask = ask(case.spec.as_ref().unwrap_or(&file.example));
            let error = answered(&file, &ask, case.nth, case.status, &case.headers, &case.body).unwrap_err();
            let class = match &error {
                MintError::Rejected { credential: true, .. } => "key",
                MintError::Rejected { .. } => "rejected",
                MintError::NoCredential { .. } => "no credential",
                MintError::Throttled { .. } => "throttled",
                MintError::QuotaExhausted { .. } => "quota",
                MintError::Unavailable { .. } => "unavailable",
                MintError::Internal { .. } => "internal",
            };
            assert_eq!(class, case.class, "{name}: {error}");
            for part in &case.says {
                assert!(error.to_string().contains(part), "{name}: {error}");
            }
            if let MintError::Throttled { retry_after, .. } | MintError::Unavailable { retry_after, .. } = &error {
                assert_eq!(retry_after.map(|wait| wait.as_secs()), case.retry_after, "{name}");
            }
            for secret in credential(&ask, &file.secret).values() {
                assert!(!error.to_string().contains(secret.expose_secret()), "{name}: {error}");
            }
        }
    }
}

/// Reads a reply to the `nth` request, which is the last unless it refuses.
fn answered(
    file: &Conformance,
    ask: &Ask,
    nth: usize,
    status: u16,
    headers: &BTreeMap<String, String>,
    body: &Value,
) -> Result<Minted, MintError> {
    let provider = ask.block.provider();
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::try_from(name).unwrap(),
                HeaderValue::try_from(value).unwrap(),
            )
        })
        .collect();
    let sent = Timestamp::from_second(NOW).unwrap();
    let credential = credential(ask, &file.secret);
    let mint = mint(ask, &credential, NOW);
    let to = match provider.start(&mint) {
        Ok(Step::Send(first)) if nth == 0 => first.to,
        _ => To::Endpoint,
    };
    let reply = Reply {
        status: StatusCode::from_u16(status).unwrap(),
        headers,
        body: bytes(body),
        clocks: Clocks::new(sent, Duration::from_millis(100), None),
        responder: responder(provider, &to),
    };
    match reply.read(provider, &mint, nth)? {
        Step::Done(answer) => reply.minted(provider, &mint, answer, sent),
        Step::Send(request) => panic!("{}: another request, {request:?}", file.field),
    }
}

/// Our clock has a fraction of a second and a token's `exp` has none.
#[test]
fn no_signed_token_is_published_to_outlive_itself() {
    let mut signers = std::collections::BTreeSet::new();
    for file in all().unwrap() {
        let requests = file.requests.iter();
        let requests = requests.map(|case| {
            let secret = case.secret.as_ref().unwrap_or(&file.secret);
            (&case.spec, case.subject.as_deref(), secret)
        });
        for (spec, subject, secret) in requests.chain([(&file.example, None, &file.secret)]) {
            let ask = ask_for(spec, subject);
            let credential = credential(&ask, secret);
            let provider = ask.block.provider();
            let now = Timestamp::from_millisecond(NOW * 1000 + 999).unwrap();
            let mint = Mint {
                now,
                ..mint(&ask, &credential, NOW)
            };
            let Step::Done(answer) = provider.start(&mint).unwrap() else {
                continue;
            };
            let token = answer.value.expose_secret();
            let claims = token.contains('.').then(|| parsed(token).1);
            let minted = signed(provider, &mint, answer).unwrap();
            let ends = Timestamp::from_second(NOW).unwrap() + ask.expiration;
            assert_eq!((minted.expires_at, minted.usable_until), (ends, ends), "{}", file.field);
            if let Some(claims) = claims {
                assert_eq!(claims["exp"], ends.as_second(), "{}", file.field);
            }
            signers.insert(file.field.clone());
        }
    }
    for field in ["agora", "daily", "jwt", "livekit", "twilio"] {
        assert!(signers.contains(field), "no {field} among {signers:?}");
    }
}

#[test]
fn explanations_say_what_is_sent_and_no_key() {
    for file in all().unwrap() {
        for case in &file.requests {
            let name = format!("{}: {}", file.field, case.spec);
            let ask = ask_for(&case.spec, case.subject.as_deref());
            let credential = credential(&ask, case.secret.as_ref().unwrap_or(&file.secret));
            let (provider, mint) = (ask.block.provider(), mint(&ask, &credential, NOW));
            let first = provider.start(&mint).unwrap();
            let mut listed = Vec::new();
            if let Endpoint::Custom(origin) = provider.endpoint() {
                listed.push(origin.to_owned());
            }
            if let Step::Send(Request {
                to: To::Service { origin, .. },
                ..
            }) = &first
            {
                listed.push(origin.clone());
            }
            let endpoints = EndpointPolicy::parse(listed).unwrap();
            let explanation = explain(&ask, &credential, &endpoints, mint.now).unwrap();
            for field in provider.secret_fields() {
                let value = credential.get(field).unwrap().expose_secret();
                assert!(!explanation.contains(value), "{name}: {explanation}");
            }
            match first {
                Step::Send(request) => {
                    let two = request.to != To::Endpoint;
                    assert_eq!(explanation.contains("# 2 of 2"), two, "{name}: {explanation}");
                    let method = format!("{} http", request.method);
                    assert!(explanation.contains(&method), "{name}: {explanation}");
                }
                Step::Done(_) => assert!(explanation.starts_with("signed here"), "{name}: {explanation}"),
            }
            // The same without the key, unless it must be one to sign with.
            let keyless = explain(&ask, &placeholders(provider), &endpoints, mint.now);
            match keyless {
                Ok(keyless) => assert_eq!(keyless, explanation, "{name}"),
                Err(MintError::Rejected { credential: true, .. }) => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }
}
