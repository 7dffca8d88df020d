//! Ours are the requests that the official SDKs sent to a recorder, but for stated differences.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use realtime_token_operator::mint::{Ask, Endpoint};
use realtime_token_operator::providers::Block;
use serde_json::{Map, Value, json};
use testkit::standin::{Call, StandIn};

use crate::{elevenlabs, mint, openai, start};

/// What the recordings leave out too.
const DROPPED: [&str; 6] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-length",
    "host",
    "user-agent",
];

fn recorded(file: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    file["requests"].as_array().unwrap().clone()
}

/// Mints against the stand-in and returns the call as it came in.
async fn call(standin: &StandIn, ask: &Ask) -> Call {
    standin.clear();
    mint(standin, ask).await.unwrap();
    assert_eq!(standin.complaints(), [""; 0]);
    let mut calls = standin.calls();
    assert_eq!(calls.len(), 1);
    calls.remove(0)
}

/// Method, path with query, and headers are as recorded, and the origin of the region is.
fn assert_same(call: &Call, ask: &Ask, recorded: &Value) {
    assert_eq!(call.method, recorded["method"], "{recorded}");
    assert_eq!(call.path, recorded["path"], "{recorded}");
    let headers: BTreeMap<_, _> = call
        .headers
        .iter()
        .filter(|(name, _)| !DROPPED.contains(&name.as_str()))
        .cloned()
        .collect();
    let expected: BTreeMap<String, String> = serde_json::from_value(recorded["headers"].clone()).unwrap();
    assert_eq!(headers, expected, "{recorded}");
    assert_eq!(built_in_origin(ask), recorded["origin"], "{recorded}");
}

/// The origin without the stand-in's endpoint.
fn built_in_origin(ask: &Ask) -> &'static str {
    let mut block = ask.block.clone();
    match &mut block {
        Block::OpenAi(block) => block.account.endpoint = None,
        Block::ElevenLabs(block) => block.account.endpoint = None,
        _ => panic!("not of these two"),
    }
    match block.provider().endpoint() {
        Endpoint::BuiltIn(origin) => origin,
        Endpoint::Tenant(_) | Endpoint::Custom(_) | Endpoint::Local => {
            panic!("the endpoint was taken out")
        }
    }
}

#[tokio::test]
async fn openai_sdk() {
    let standin = start();
    let mut seen = 0;
    for recorded in recorded(include_str!("../recordings/openai.json")) {
        let fields = match recorded["case"].as_str().unwrap() {
            "realtime session with expires_after" => {
                json!({"session": {"instructions": "hi", "audio": {"output": {"voice": "marin"}}}})
            }
            "transcription session" => {
                json!({"kind": "Transcription", "model": "gpt-live-transcribe"})
            }
            "translation session" => json!({
                "kind": "Translation",
                "model": "gpt-realtime-translate",
                "session": {"audio": {"output": {"language": "es"}}},
            }),
            "organization, project and safety identifier headers" => json!({
                "organization": "org-abc",
                "project": "proj_abc",
                "safetyIdentifier": "hashed-user-id",
            }),
            // We always name the session, and never ask in the retired shape.
            "empty object body (legal per spec)" | "RETIRED beta shape, do not send" => continue,
            other => panic!("a new recording: {other}"),
        };
        let mut ask = openai(&standin, fields);
        ask.expiration = SignedDuration::from_secs(600);
        let call = call(&standin, &ask).await;
        assert_same(&call, &ask, &recorded);

        // Ours always says how long, in front of what the recording holds.
        let mut body = Map::from_iter([(
            "expires_after".to_owned(),
            json!({"anchor": "created_at", "seconds": 600}),
        )]);
        body.extend(recorded["body"].as_object().unwrap().clone());
        assert_eq!(String::from_utf8_lossy(&call.body), Value::Object(body).to_string());
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[tokio::test]
async fn elevenlabs_sdk() {
    let standin = start();
    let mut seen = 0;
    for mut recorded in recorded(include_str!("../recordings/elevenlabs.json")) {
        let place = json!({"branchId": "agtbrch_1", "versionId": "agtvrsn_1", "environment": "staging"});
        let fields = match recorded["case"].as_str().unwrap() {
            "getSignedUrl minimal" => json!({}),
            "getSignedUrl all params" => place,
            "getWebrtcToken minimal" => json!({"kind": "ConversationToken"}),
            "getWebrtcToken all params" => {
                crate::with(place, json!({"kind": "ConversationToken", "participantName": "Bob B"}))
            }
            // A kind that we don't offer.
            case if case.starts_with("single-use") => continue,
            other => panic!("a new recording: {other}"),
        };
        // The first makes a signed URL good for one conversation only, the second is for editors of the agent.
        let mut path = recorded["path"].as_str().unwrap().to_owned();
        for never in [
            "&include_conversation_id=true",
            "&debug_events_request=true",
            "&debug_events_request=false",
        ] {
            path = path.replace(never, "");
        }
        recorded["path"] = path.into();

        let ask = elevenlabs(&standin, fields);
        let call = call(&standin, &ask).await;
        assert_same(&call, &ask, &recorded);
        assert!(call.body.is_empty());
        assert_eq!(call.header("content-type"), None);
        seen += 1;
    }
    assert_eq!(seen, 4);
}

#[tokio::test]
async fn regions_are_the_sdks() {
    let standin = start();
    let origin = |ask: Ask| format!("{}/v1/realtime/client_secrets", built_in_origin(&ask));
    let file: Value = serde_json::from_str(include_str!("../recordings/openai.json")).unwrap();
    for (region, name) in [("Global", "global"), ("US", "us"), ("EU", "eu")] {
        assert_eq!(
            origin(openai(&standin, json!({"region": region}))),
            file["data_residency_urls"][name]
        );
    }
    let file: Value = serde_json::from_str(include_str!("../recordings/elevenlabs.json")).unwrap();
    for (region, name) in [
        ("Global", "Production"),
        ("US", "ProductionUs"),
        ("EU", "ProductionEu"),
        ("India", "ProductionIndia"),
        ("Singapore", "ProductionSingapore"),
    ] {
        assert_eq!(
            built_in_origin(&elevenlabs(&standin, json!({"region": region}))),
            file["hosts"][name]
        );
    }
}

#[tokio::test]
async fn we_say_who_we_are() {
    let standin = start();
    let call = call(&standin, &openai(&standin, json!({}))).await;
    let agent = concat!("realtime-token-operator/", env!("CARGO_PKG_VERSION"));
    assert_eq!(call.header("user-agent"), Some(agent));
    assert_eq!(call.header("accept"), Some("application/json"));
}
