//! Whatever the SDKs would not send is refused, and the message says what was wrong.

use serde_json::{Value, json};

use super::super::Provider;
use super::{Ask, ELEVENLABS, start};

/// A case of the recordings, what is done to it, the status, and what the message must name.
pub(super) type Mutation = (&'static str, fn(&mut Ask), u16, &'static str);

const SIGNED_URL: &str = "getSignedUrl minimal";
const TOKEN: &str = "getWebrtcToken minimal";
const SINGLE_USE: &str = "single-use realtime_scribe";

const ELEVENLABS_MUTATIONS: &[Mutation] = &[
    (SIGNED_URL, |ask| remove(ask, "xi-api-key"), 401, "xi-api-key"),
    (SIGNED_URL, |ask| set(ask, "xi-api-key", "xi-wrong"), 401, "xi-wrong"),
    (
        SIGNED_URL,
        |ask| set(ask, "authorization", "Bearer x"),
        400,
        "authorization",
    ),
    (
        SIGNED_URL,
        |ask| set(ask, "content-type", "application/json"),
        400,
        "content-type",
    ),
    (SIGNED_URL, |ask| ask.body = json!({}), 400, "empty"),
    (SIGNED_URL, |ask| ask.method = "POST".to_owned(), 405, "GET"),
    (SIGNED_URL, |ask| ask.path += "&agentId=1", 400, "agentId"),
    (
        SIGNED_URL,
        |ask| ask.path += "&participant_name=Bob",
        400,
        "participant_name",
    ),
    (SIGNED_URL, |ask| ask.path += "&agent_id=agent_2", 400, "agent_id"),
    (
        SIGNED_URL,
        |ask| ask.path += "&include_conversation_id=1",
        400,
        "include_conversation_id",
    ),
    (
        TOKEN,
        |ask| ask.path += "&participant_name=Bob+B",
        400,
        "participant_name",
    ),
    (
        TOKEN,
        |ask| ask.path += "&include_conversation_id=true",
        400,
        "include_conversation_id",
    ),
    (SINGLE_USE, |ask| ask.path += "2", 404, "realtime_scribe2"),
    (SINGLE_USE, |ask| ask.method = "GET".to_owned(), 405, "POST"),
    (
        SINGLE_USE,
        |ask| set(ask, "content-type", "application/json"),
        400,
        "content-type",
    ),
    (SINGLE_USE, |ask| remove(ask, "content-length"), 400, "content-length"),
    (
        SINGLE_USE,
        |ask| {
            remove(ask, "content-length");
            ask.body = json!("{}");
        },
        400,
        "empty",
    ),
];

pub(super) fn remove(ask: &mut Ask, header: &str) {
    ask.headers.remove(header).unwrap();
}

pub(super) fn set(ask: &mut Ask, header: &str, value: &str) {
    ask.headers.insert(header.to_owned(), value.to_owned());
}

pub(super) async fn refuse(recording: &str, mutations: &[Mutation], message_at: &str) {
    let standin = start();
    for (case, mutate, status, culprit) in mutations {
        let mut ask = Ask::case(recording, case);
        mutate(&mut ask);
        let reply = ask.send(&standin).await;
        assert_eq!(reply.status, *status, "{ask:?}: {}", reply.text);
        let json = reply.json();
        let message = json.pointer(message_at).and_then(Value::as_str).unwrap();
        assert!(message.contains(culprit), "no {culprit:?} in {message:?}");
    }
    assert_eq!(standin.complaints().len(), mutations.len());
    assert!(standin.issued().is_empty());
}

#[tokio::test]
async fn elevenlabs_mutations() {
    refuse(ELEVENLABS, ELEVENLABS_MUTATIONS, "/detail/message").await;
}

#[tokio::test]
async fn a_missing_agent_id_is_a_validation_error() {
    let standin = start();
    let mut ask = Ask::signed_url();
    for path in ["get-signed-url", "get-signed-url?agent_id=", "token"] {
        ask.path = format!("/v1/convai/conversation/{path}");
        let reply = ask.send(&standin).await;
        assert_eq!(reply.status, 422);
        let detail = json!([{"loc": ["query", "agent_id"], "msg": "Field required", "type": "missing"}]);
        assert_eq!(reply.json()["detail"], detail);
    }
    assert_eq!(standin.complaints(), ["422 Field required: agent_id"; 3]);
}

#[tokio::test]
async fn a_repeated_header() {
    let ask = Ask::signed_url();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let standin = start();
    let request = client.get(standin.url() + &ask.path);
    let twice = request.header("xi-api-key", "xi-fake").header("xi-api-key", "xi-fake");
    assert_eq!(twice.send().await.unwrap().status(), 400);
    assert_eq!(standin.complaints(), ["400 header xi-api-key sent twice"]);
}

#[tokio::test]
async fn a_path_of_nobody() {
    let standin = start();
    let mut ask = Ask::signed_url();
    ask.path = "/v1/models".to_owned();
    let reply = ask.send(&standin).await;
    assert_eq!(
        (reply.status, reply.json()),
        (404, json!({"error": "no provider has the path /v1/models"}))
    );
    assert_eq!(standin.calls()[0].provider, None);
}

#[tokio::test]
async fn keys_can_be_replaced() {
    let standin = start();
    standin.accept_keys(Provider::OpenAi, ["sk-new"]);
    assert_eq!(Ask::client_secret().send(&standin).await.status, 401);
    let ask = Ask::client_secret().with("authorization", "Bearer sk-new");
    assert_eq!(ask.send(&standin).await.status, 200);
    assert_eq!(Ask::signed_url().send(&standin).await.status, 200);
    assert_eq!(standin.calls_with_key("sk-new").len(), 1);
}
