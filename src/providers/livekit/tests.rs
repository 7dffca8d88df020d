use jiff::{SignedDuration, Timestamp};
use serde_json::Map;

use super::*;
use crate::mint::Credential;

fn signed(block: Value, key: &str, secret: &str, now: i64, ttl: i64) -> Result<String, MintError> {
    let block: LiveKit = serde_json::from_value(block).unwrap();
    let credential = Credential::new([("LIVEKIT_API_KEY", key.into()), ("LIVEKIT_API_SECRET", secret.into())]);
    let mint = Mint {
        expiration: SignedDuration::from_secs(ttl),
        credential: &credential,
        namespace: "apps",
        subject: None,
        ask: None,
        now: Timestamp::from_second(now).unwrap(),
        nonce: [0; 16],
    };
    match block.start(&mint)? {
        Step::Done(answer) => Ok(answer.value.expose_secret().to_owned()),
        Step::Send(_) => panic!("signed here, nothing is sent"),
    }
}

/// The tokens of the official SDKs and a `jti`, byte for byte where we write claims in the same order, else claim for
/// claim.
#[test]
fn the_sdks_tokens() {
    let file: Value = serde_json::from_str(include_str!("../../../tests/recordings/livekit.json")).unwrap();
    let part = |jwt: &str, nth: usize| -> Value {
        use base64::Engine as _;
        let part = jwt.split('.').nth(nth).unwrap();
        let part = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part);
        serde_json::from_slice(&part.unwrap()).unwrap()
    };
    let (mut same, mut bytes) = (0, 0);
    for vector in file["vectors"].as_array().unwrap() {
        let claims = vector["claims"].as_object().unwrap();
        let mut block = Map::new();
        for (claim, field) in [
            ("metadata", "metadata"),
            ("attributes", "attributes"),
            ("name", "name"),
            ("kind", "kind"),
            ("video", "video"),
            ("sip", "sip"),
            ("inference", "inference"),
            ("agent", "agent"),
            ("agentEndpoint", "agentEndpoint"),
            ("agentThread", "agentThread"),
            ("roomPreset", "roomPreset"),
            ("sha256", "sha256"),
            ("roomConfig", "roomConfig"),
            ("sub", "identity"),
        ] {
            // Python writes an empty `sub` where Node leaves it out.
            if let Some(value) = claims.get(claim).filter(|value| **value != "") {
                block.insert(field.to_owned(), value.clone());
            }
        }
        let now = vector["now"].as_i64().unwrap();
        let ttl = claims["exp"].as_i64().unwrap() - now;
        let key = claims["iss"].as_str().unwrap();
        let secret = vector["key"].as_str().unwrap();
        let token = signed(block.into(), key, secret, now, ttl).unwrap();
        let mut expected = vector["claims"].clone();
        if expected["sub"] == "" {
            expected.as_object_mut().unwrap().remove("sub");
        }
        let mut claims = part(&token, 1);
        let jti = claims.as_object_mut().unwrap().shift_remove("jti");
        assert_eq!(jti.unwrap(), "00000000-0000-4000-8000-000000000000");
        assert_eq!(claims, expected, "{}", vector["case"]);
        same += 1;
        let header = part(&token, 0).to_string();
        let raw = vector["claims_raw"].as_str();
        if header == vector["header_raw"] && raw == Some(&claims.to_string()) {
            bytes += 1;
        }
    }
    assert!(same >= 8, "{same} vectors");
    assert!(bytes >= 2, "only {bytes} of {same} are equal to the byte");
}

#[test]
fn an_identity_and_a_room_to_join() {
    let refused = |block: Value| {
        let block: LiveKit = serde_json::from_value(block).unwrap();
        block.validate().unwrap_err().0
    };
    assert!(refused(json!({"video": {"roomJoin": true, "room": "r"}})).contains("identity"));
    assert!(refused(json!({"identity": "i", "video": {"roomJoin": true}})).contains("every room"));
    let typo = refused(json!({"identity": "i", "video": {"roomJoin": true, "room": "r", "canPublishh": true}}));
    assert!(typo.contains("no grant \"canPublishh\""), "{typo}");
    let storage = json!({"egress": {"room": {"fileOutputs": [{"s3": {"accessKey": "AKIA", "bucket": "b"}}]}}});
    let storage = refused(json!({"roomConfig": storage}));
    assert!(storage.contains("accessKey"), "{storage}");
    assert!(!storage.contains("AKIA"), "{storage}");
    let large = refused(json!({"roomConfig": {"metadata": "x".repeat(20_000)}}));
    assert!(large.contains("where 16384 are allowed"), "{large}");
    let worker: LiveKit = serde_json::from_value(json!({"video": {"agent": true}})).unwrap();
    assert_eq!(worker.validate(), Ok(()));
}

#[test]
fn grants_have_their_types() {
    let validated = |block: Value| serde_json::from_value::<LiveKit>(block).unwrap().validate();
    for (place, grant, value) in [
        ("video", "roomJoin", json!("true")),
        ("video", "canPublish", json!("false")),
        ("video", "roomAdmin", json!(1)),
        ("video", "hidden", json!(null)),
        ("sip", "admin", json!("true")),
        ("inference", "perform", json!("true")),
        ("agent", "admin", json!({})),
        ("observability", "write", json!("yes")),
    ] {
        let refused = validated(json!({"identity": "i", place: {grant: value}}))
            .unwrap_err()
            .0;
        let expected = format!("livekit.{place}.{grant}: must be true or false, without quotes");
        assert_eq!(refused, expected, "{value}");
    }
    let room = validated(json!({"identity": "i", "video": {"roomJoin": true, "room": 17}}));
    assert_eq!(room.unwrap_err().0, "livekit.video.room: must be text");
    for sources in [json!("camera"), json!(["camera", "desk"]), json!([1])] {
        let refused = validated(json!({"video": {"canPublishSources": sources}}))
            .unwrap_err()
            .0;
        assert!(
            refused.starts_with("livekit.video.canPublishSources: must be a list of camera"),
            "{refused}"
        );
    }
    let good = json!({
        "identity": "i",
        "video": {"roomJoin": true, "room": "r", "canPublishSources": ["camera", "screen_share_audio"], "hidden": false},
        "sip": {"admin": true, "call": false},
        "inference": {"perform": true},
        "agent": {"admin": true},
        "observability": {"write": true},
    });
    assert_eq!(validated(good), Ok(()));
}

#[test]
fn a_missing_value_is_named() {
    let error = signed(json!({}), "APIkey", "", 0, 600).unwrap_err();
    assert!(error.to_string().contains("LIVEKIT_API_SECRET"), "{error}");
    let error = signed(json!({}), "", "canary", 0, 600).unwrap_err();
    assert!(error.to_string().contains("LIVEKIT_API_KEY"), "{error}");
    assert!(!error.to_string().contains("canary"), "{error}");
}
