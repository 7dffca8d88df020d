//! Providers played from their recordings: what is missing or beside the point is named.

use serde_json::{Value, json};

use super::{Ask, start};
use crate::conformance::recording;

/// A recorded request, without and with something, sent to where its provider is played.
async fn refused(field: &str, case: &str, change: impl FnOnce(&mut Ask)) -> (u16, Value) {
    let standin = start();
    let recording = recording(field).unwrap();
    let mut requests = recording["requests"].as_array().unwrap().iter();
    let request = requests.find(|request| request["case"] == case).unwrap();
    let mut ask = Ask::recorded(request);
    let whole = ask.send_to(&standin.origin(field)).await;
    assert!((200..300).contains(&whole.status), "{field}: {}", whole.text);
    change(&mut ask);
    let reply = ask.send_to(&standin.origin(field)).await;
    let error = reply.json()["error"].clone();
    (reply.status, error)
}

fn bad(what: &str) -> (u16, Value) {
    (400, json!(what))
}

#[tokio::test]
async fn a_missing_header_is_named() {
    let answer = refused("cartesia", "npm: all grants, 60 s", |ask| {
        ask.headers.remove("cartesia-version");
    });
    assert_eq!(answer.await, bad("missing header cartesia-version"));
}

#[tokio::test]
async fn a_missing_query_key_is_named() {
    let answer = refused("assemblyai", "PyPI", |ask| ask.path = "/v3/token".into());
    assert_eq!(answer.await, bad("missing query key expires_in_seconds"));
    let answer = refused("speechmatics", "PyPI: rt, ttl 60", |ask| {
        ask.path = "/v1/api_keys".into();
    });
    assert_eq!(answer.await, bad("missing query key type"));
}

#[tokio::test]
async fn a_life_that_is_not_asked_for_is_named() {
    let answer = refused("speechmatics", "PyPI: rt, ttl 60", |ask| {
        ask.body = json!({"region": "eu"});
    });
    assert_eq!(answer.await, bad("missing /ttl"));
}

#[tokio::test]
async fn paths_that_sdks_take_by_mistake_are_not_there() {
    let answer = refused("gemini", "uses+expireTime+newSessionExpireTime", |ask| {
        ask.path = "/v1beta/auth_tokens".into();
    });
    assert_eq!(answer.await.0, 404);
    let answer = refused("speechmatics", "PyPI: rt, ttl 60", |ask| {
        ask.path = "/v1/api-keys?type=rt".into();
    });
    assert_eq!(answer.await.0, 404);
}

#[tokio::test]
async fn an_access_token_stands_alone() {
    let case = "OpenAI class on the v1 base URL with Entra token function";
    let answer = refused("azureOpenAI", case, |ask| {
        ask.headers.insert("api-key".into(), "az-key".into());
    });
    let (status, error) = answer.await;
    assert_eq!(status, 400);
    assert!(error.as_str().unwrap().contains("beside an access token"));
}
