use jiff::SignedDuration;
use serde_json::json;

use super::super::fixture;
use super::*;
use crate::api::Lifetime;
use crate::mint::Credential;

const GLOBAL: &str = "wss://api.elevenlabs.io/v1/convai/conversation?agent_id=agent_1&conversation_signature=cvtkn_abc";

fn block(fields: Value) -> ElevenLabs {
    let mut value = json!({"agentId": "agent_1"});
    value
        .as_object_mut()
        .unwrap()
        .extend(fields.as_object().unwrap().clone());
    serde_json::from_value(value).unwrap()
}

fn path(fields: Value) -> String {
    let credential = Credential::new([("api-key", "xi-fake".into())]);
    fixture::request(&block(fields), 0, &credential).unwrap().path
}

fn signed_url(account: Value, url: &str) -> Result<Answer, UnusableReply> {
    fixture::answer(&block(account), 900, json!({"signed_url": url}).to_string().as_bytes())
}

#[test]
fn queries_are_escaped_as_the_sdk_does() {
    assert_eq!(
        path(json!({"agentId": "a&b=c#d e+f/g?ü"})),
        "/v1/convai/conversation/get-signed-url?agent_id=a%26b%3Dc%23d%20e%2Bf%2Fg%3F%C3%BC"
    );
    assert_eq!(
        path(json!({"agentId": "-_.!~*'()"})),
        "/v1/convai/conversation/get-signed-url?agent_id=-_.!~*'()"
    );
}

#[test]
fn what_is_published_is_not_sent() {
    let fields = json!({"voice": "v", "instructions": "i", "firstMessage": "f", "language": "l"});
    assert_eq!(path(fields), "/v1/convai/conversation/get-signed-url?agent_id=agent_1");
}

#[test]
fn a_signed_url_lives_15_minutes_from_sending() {
    let answer = signed_url(json!({}), GLOBAL).unwrap();
    assert_eq!(answer.expiry, Expiry::After(SignedDuration::from_mins(15)));
    assert_eq!(ProviderBlock::lifetime(&block(json!({}))), Lifetime::Fixed(900));
    assert_eq!(block(json!({})).single_use(), None);
}

#[test]
fn a_signed_url_stays_in_its_region() {
    for (region, host) in [
        ("Global", "api.elevenlabs.io"),
        ("US", "api.us.elevenlabs.io"),
        ("EU", "api.eu.residency.elevenlabs.io"),
        ("India", "api.in.residency.elevenlabs.io"),
        ("Singapore", "api.sg.residency.elevenlabs.io"),
    ] {
        let url = format!("wss://{host}/v1/convai/conversation?agent_id=a");
        assert!(signed_url(json!({"region": region}), &url).is_ok(), "{region}");
        if region != "Global" {
            assert!(
                signed_url(json!({"region": region}), GLOBAL).is_err(),
                "{region} with the global host"
            );
            assert!(signed_url(json!({}), &url).is_err(), "global with the host of {region}");
        }
    }
}

#[test]
fn a_signed_url_to_elsewhere_is_refused() {
    for url in [
        "ws://api.elevenlabs.io/x",
        "https://api.elevenlabs.io/x",
        "wss://api.elevenlabs.io.evil.net/x",
        "wss://evil.net/api.elevenlabs.io",
        "wss://evil.net?api.elevenlabs.io",
        "wss://api.elevenlabs.io@evil.net/x",
        "wss://user@api.elevenlabs.io/x",
        "wss://:pass@api.elevenlabs.io/x",
        "wss://api.elevenlabs.io:8443/x",
        "wss://evil.elevenlabs.io/x",
        "wss://",
        "api.elevenlabs.io",
    ] {
        let refused = signed_url(json!({}), url).unwrap_err();
        assert!(
            refused.0.contains("signed_url") && !refused.0.contains("evil"),
            "{url}: {refused}"
        );
        assert!(
            signed_url(json!({"endpoint": "https://gw.example"}), url).is_err(),
            "{url} behind a gateway"
        );
    }
}

#[test]
fn behind_a_gateway_both_hosts_will_do() {
    let gateway = json!({"endpoint": "http://gw.example:8080"});
    for url in [
        GLOBAL,
        "wss://api.eu.residency.elevenlabs.io/x",
        "wss://gw.example/x",
        "wss://gw.example:8443/x",
    ] {
        assert!(signed_url(gateway.clone(), url).is_ok(), "{url}");
    }
}

#[test]
fn a_conversation_token_says_its_own_end() {
    let block = block(json!({"kind": "ConversationToken"}));
    assert!(block.single_use().is_some());
    // {"exp":1795336200}
    let reply = json!({"token": "e30.eyJleHAiOjE3OTUzMzYyMDB9.c2ln", "conversation_id": "conv_1"});
    let answer = fixture::answer(&block, 0, reply.to_string().as_bytes()).unwrap();
    assert_eq!(answer.expiry, Expiry::At("2026-11-22T08:30:00Z".parse().unwrap()));

    for token in ["opaque", "e30.e30.c2ln", "e30.%%.c2ln"] {
        let reply = json!({"token": token, "conversation_id": "conv_1", "exp": 1_795_336_200});
        let refused = fixture::answer(&block, 0, reply.to_string().as_bytes()).unwrap_err();
        assert!(refused.0.contains("never guessed"), "{refused}");
    }
}

#[test]
fn a_reply_of_the_other_kind_is_refused() {
    assert!(fixture::answer(&block(json!({})), 0, br#"{"token":"a.b.c"}"#).is_err());
    let body = json!({"signed_url": GLOBAL}).to_string();
    assert!(fixture::answer(&block(json!({"kind": "ConversationToken"})), 0, body.as_bytes()).is_err());
}

#[test]
fn what_is_for_no_agent_serves_one_use_and_has_nothing_of_an_agent() {
    for kind in ["RealtimeScribe", "BatchScribe", "TtsWebsocket"] {
        let block = |more: Value| -> ElevenLabs {
            let mut value = json!({"kind": kind});
            value.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(value).unwrap()
        };
        let plain = block(json!({}));
        assert_eq!(plain.validate(), Ok(()));
        assert!(plain.single_use().is_some(), "{kind}");
        assert_eq!(plain.bound_model(), None, "{kind}");
        assert_eq!(plain.config(), Map::new(), "{kind}");
        assert_eq!(ProviderBlock::lifetime(&plain), Lifetime::Fixed(900));
        let agent = block(json!({"agentId": "a"})).validate().unwrap_err();
        assert_eq!(agent.0, ElevenLabs::AGENT);
        for field in [
            "branchId",
            "versionId",
            "environment",
            "voice",
            "instructions",
            "firstMessage",
            "language",
        ] {
            let refused = block(json!({field: "x"})).validate().unwrap_err();
            assert_eq!(refused.0, ElevenLabs::OF_AGENTS, "{field}");
        }
    }
    let nobody: ElevenLabs = serde_json::from_value(json!({})).unwrap();
    assert_eq!(nobody.validate().unwrap_err().0, ElevenLabs::AGENT);
}

#[test]
fn a_participant_belongs_to_a_conversation_token() {
    let error = block(json!({"participantName": "Bob"})).validate().unwrap_err();
    assert!(error.0.contains("ConversationToken"), "{error}");
    assert_eq!(
        block(json!({"participantName": "Bob", "kind": "ConversationToken"})).validate(),
        Ok(())
    );
}
