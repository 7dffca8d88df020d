use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::*;
use crate::mint::Credential;

fn coturn(block: Value, ttl: i64) -> Answer {
    coturn_at(Timestamp::from_second(1_795_334_400).unwrap(), block, ttl)
}

fn coturn_at(now: Timestamp, block: Value, ttl: i64) -> Answer {
    let mut block: IceServers = serde_json::from_value(block).unwrap();
    block.account.kind = Some(IceServersKind::Coturn);
    block.validate().unwrap();
    let credential = Credential::new([("static-auth-secret", "coturn-secret".into())]);
    let mint = Mint {
        expiration: SignedDuration::from_secs(ttl),
        credential: &credential,
        namespace: "apps",
        subject: None,
        ask: None,
        now,
        nonce: [0; 16],
    };
    match block.start(&mint).unwrap() {
        Step::Done(answer) => answer,
        Step::Send(_) => panic!("signed here, nothing is sent"),
    }
}

fn output<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.outputs[name].expose_secret()
}

#[test]
fn the_password_signs_the_username() {
    let file = include_str!("../../../tests/recordings/iceServers.json");
    let file: Value = serde_json::from_str(file).unwrap();
    let vectors = file["turn_rest_vectors"]["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let block = json!({"urls": ["turn:t"], "user": vector["inputs"]["user"]});
        let answer = coturn(block, vector["inputs"]["ttl_seconds"].as_i64().unwrap());
        assert_eq!(output(&answer, "username"), vector["username"]);
        assert_eq!(output(&answer, "credential"), vector["password"]);
    }
}

#[test]
fn only_turn_servers_get_the_credential() {
    let urls = json!(["stun:s:3478", "turn:t:3478?transport=udp", "turns:t:5349"]);
    let answer = coturn(json!({"urls": urls}), 600);
    let list: Value = serde_json::from_str(answer.value.expose_secret()).unwrap();
    assert_eq!(list[0], json!({"urls": ["stun:s:3478"]}));
    let turn = json!(["turn:t:3478?transport=udp", "turns:t:5349"]);
    assert_eq!(list[1]["urls"], turn);
    assert_eq!(list[1]["username"], output(&answer, "username"));
    assert_eq!(list[1]["credential"], output(&answer, "credential"));
    assert_eq!(list.as_array().unwrap().len(), 2);
}

#[test]
fn urls_are_a_list_and_the_legacy_url_is_dropped() {
    let block: IceServers = serde_json::from_value(json!({"kind": "Twilio"})).unwrap();
    let reply = json!({"ttl": "3600", "username": "u", "password": "p", "ice_servers": [
        {"url": "stun:s", "urls": "stun:s"},
        {"url": "turn:t", "urls": "turn:t", "username": "u", "credential": "p"},
    ]});
    let answer = super::super::fixture::answer(&block, 600, reply.to_string().as_bytes()).unwrap();
    let list: Value = serde_json::from_str(answer.value.expose_secret()).unwrap();
    let expected = json!([{"urls": ["stun:s"]}, {"urls": ["turn:t"], "username": "u", "credential": "p"}]);
    assert_eq!(list, expected);
    assert_eq!(answer.expiry, Expiry::After(SignedDuration::from_secs(3600)));
    assert_eq!(output(&answer, "username"), "u");
    assert_eq!(output(&answer, "credential"), "p");
}

#[test]
fn urls_are_those_that_a_browser_takes() {
    for url in [
        "turn:t",
        "turns:turn.example.com:5349?transport=tcp",
        "stun:192.0.2.1:3478",
        "stuns:[2001:db8::1]:5349",
        "turn:[2001:db8::1]?transport=udp",
        "turn:my_turn.svc:3478",
    ] {
        assert!(is_ice_url(url), "{url}");
    }
    for url in [
        "",
        "turn",
        "turn:",
        "turn://t",
        "turn: t",
        "turn:t:",
        "turn:t:port",
        "turn:t:347800",
        "turn:t/path",
        "turn:t?",
        "turn:t?transport=",
        "turn:t?ttl=1",
        "turn:u@t",
        "turn:[]:3478",
        "turn:[::1",
        "https://t",
        "TURN:t",
        "javascript:t",
        "turn:t\n",
    ] {
        assert!(!is_ice_url(url), "{url}");
    }
}

#[test]
fn a_coturn_needs_a_turn_server() {
    let refused = |urls: Value| {
        let block: IceServers = serde_json::from_value(json!({"kind": "Coturn", "urls": urls})).unwrap();
        block.validate().unwrap_err().0
    };
    assert!(refused(json!(["stun:s.example"])).contains("at least one turn: or turns: URL"));
    assert!(refused(json!(["turn:t", "turn://t"])).contains("without //"));
    assert!(refused(json!([])).contains("at least one turn: or turns: URL"));
}

#[test]
fn the_published_end_is_the_usernames() {
    let now = Timestamp::from_millisecond(1_795_334_400_999).unwrap();
    let answer = coturn_at(now, json!({"urls": ["turn:t"]}), 600);
    assert!(output(&answer, "username").starts_with("1795335000:"));
    let ends = Timestamp::from_second(1_795_335_000).unwrap();
    assert_eq!(answer.expiry, Expiry::At(ends));
}
