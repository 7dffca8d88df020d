//! Tokens that are signed here, checked by somebody else: PyJWT, and Python's own HMAC and zlib for what is no JWT.

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use testkit::pypi::Library;

use crate::{client, start};
use realtime_token_operator::api::RealtimeTokenSpec;
use realtime_token_operator::mint::{Ask, Credential};
use realtime_token_operator::resolve::{block_of, expiration};

const PYJWT: Library = Library {
    name: "pyjwt-2.15.1-cryptography-50.0.2",
    requirements: &[
        "pyjwt==2.15.1",
        "cryptography==50.0.2",
        "cffi==2.1.1",
        "pycparser==3.12",
    ],
};

/// Mints, and has the token checked with the value `key` of the Secret. Returns what it holds.
async fn verified(check: &str, spec: Value, secret: Value, key: &str) -> Value {
    let key = secret[key].as_str().unwrap().to_owned();
    verified_with(check, spec, secret, &key).await
}

/// Mints, and has the token checked with this key.
async fn verified_with(check: &str, spec: Value, secret: Value, key: &str) -> Value {
    verified_for(None, check, spec, secret, key).await
}

/// Mints for this subject of a request, and has the token checked with this key.
async fn verified_for(subject: Option<&str>, check: &str, spec: Value, secret: Value, key: &str) -> Value {
    let mut spec = spec;
    spec["credentials"] = json!({"secretRef": {"name": "key"}});
    let spec: RealtimeTokenSpec = serde_json::from_value(spec).unwrap();
    let mut block = block_of(&spec).unwrap();
    if let Some(subject) = subject {
        block.name_subject(subject).unwrap();
    }
    block.provider().validate().unwrap();
    let expiration = expiration(&spec, &block, None).unwrap();
    let secret_fields = block.provider().secret_fields().iter();
    let values = secret_fields.map(|role| (role.key, secret[role.key].as_str().unwrap().into()));
    let credential = Credential::new(values);
    let now = Timestamp::now();
    let standin = start();
    let minted = client(&standin)
        .mint(
            &Ask {
                block,
                expiration,
                namespace: "apps".to_owned(),
                subject: subject.map(str::to_owned),
                of_caller: false,
            },
            &credential,
            now,
        )
        .await
        .unwrap();
    assert_eq!(standin.count(), 0, "nothing is sent");
    let token = minted.value.expose_secret();
    let jobs = json!([{"check": check, "token": token, "key": key, "now": now.as_second()}]);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/providers/verified.py");
    let said = tokio::task::spawn_blocking(move || PYJWT.run(script.as_ref(), &[], jobs.to_string().as_bytes()));
    let mut said: Value = serde_json::from_str(&said.await.unwrap().unwrap()).unwrap();
    said[0].take()
}

#[tokio::test]
async fn livekit() {
    let secret = json!({"LIVEKIT_API_KEY": "APIkey", "LIVEKIT_API_SECRET": "secretsecretsecretsecretsecret32"});
    let spec = json!({"livekit": {"identity": "user-1", "video": {"roomJoin": true, "room": "lobby"}}});
    let said = verified("jwt", spec, secret, "LIVEKIT_API_SECRET").await;
    assert_eq!(said["header"]["alg"], "HS256");
    let claims = &said["claims"];
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("APIkey"), &json!("user-1")));
    assert_eq!(claims["video"], json!({"roomJoin": true, "room": "lobby"}));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap(), 1800);
}

#[tokio::test]
async fn twilio() {
    let (account, key) = (format!("AC{}", "a".repeat(32)), format!("SK{}", "b".repeat(32)));
    let secret = json!({
        "TWILIO_ACCOUNT_SID": account, "TWILIO_API_KEY": key,
        "TWILIO_API_SECRET": "a-secret-of-an-api-key-of-32-letters",
    });
    let spec = json!({"twilio": {"identity": "alice", "video": {"room": "lobby"}}});
    let said = verified("jwt", spec, secret, "TWILIO_API_SECRET").await;
    assert_eq!(said["header"]["cty"], "twilio-fpa;v=1");
    let claims = &said["claims"];
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!(key), &json!(account)));
    let random = claims["jti"].as_str().unwrap().strip_prefix(&format!("{key}-"));
    assert!(random.unwrap().parse::<u64>().is_ok(), "{claims}");
    assert_eq!(
        claims["grants"],
        json!({"identity": "alice", "video": {"room": "lobby"}})
    );
}

#[tokio::test]
async fn daily() {
    let domain = "00000000-0000-4000-8000-000000000000";
    let spec = json!({"daily": {"roomName": "lobby", "domainId": domain, "isOwner": true}});
    let secret = json!({"api-key": "an-api-key-of-daily-of-32-letters"});
    let said = verified("jwt", spec, secret, "api-key").await;
    let claims = &said["claims"];
    assert_eq!((&claims["r"], &claims["d"]), (&json!("lobby"), &json!(domain)));
    assert_eq!(claims["o"], true);
}

#[tokio::test]
async fn agora() {
    let secret = json!({"AGORA_APP_ID": "0123456789abcdef".repeat(2), "AGORA_APP_CERTIFICATE": "fe".repeat(16)});
    let spec = json!({"agora": {"rtc": {"channel": "lobby", "uid": 7}, "rtm": {"userId": "alice"}}});
    let said = verified("agora", spec, secret.clone(), "AGORA_APP_CERTIFICATE").await;
    assert_eq!(said["app"], secret["AGORA_APP_ID"]);
    assert_eq!(said["expire"], 1800);
    let all = json!({"1": 1800, "2": 1800, "3": 1800, "4": 1800});
    assert_eq!(
        said["services"]["1"],
        json!({"privileges": all, "texts": ["lobby", "7"]})
    );
    assert_eq!(
        said["services"]["2"],
        json!({"privileges": {"1": 1800}, "texts": ["alice"]})
    );
}

#[tokio::test]
async fn coturn() {
    let spec = json!({"iceServers": {"kind": "Coturn", "urls": ["turn:turn.example.com"], "user": "kiosk"}});
    let secret = json!({"static-auth-secret": "coturn-secret"});
    let said = verified("coturn", spec, secret, "static-auth-secret").await;
    assert!(said["username"].as_str().unwrap().ends_with(":kiosk"));
    assert_eq!(said["urls"], json!(["turn:turn.example.com"]));
}

/// Who a token is for, as Agora reads it: the number or account of the channel's user, and the user of signalling.
#[tokio::test]
async fn a_subject_is_agoras_user() {
    let certificate = "fe".repeat(16);
    let secret = json!({"AGORA_APP_ID": "0123456789abcdef".repeat(2), "AGORA_APP_CERTIFICATE": certificate});
    for (block, subject, rtc, rtm) in [
        (
            json!({"rtc": {"channel": "lobby", "uid": 7}, "rtm": {"userId": "kiosk"}}),
            "4294967295",
            Some("4294967295"),
            Some("4294967295"),
        ),
        (
            json!({"rtc": {"channel": "lobby", "account": "kiosk"}, "rtm": {"userId": "kiosk"}}),
            "u_5f3a",
            Some("u_5f3a"),
            Some("u_5f3a"),
        ),
        (json!({"rtc": {"channel": "lobby"}}), "u_5f3a", Some("u_5f3a"), None),
        (json!({"rtm": {"userId": "kiosk"}}), "u_5f3a", None, Some("u_5f3a")),
    ] {
        let spec = json!({"agora": block});
        let said = verified_for(Some(subject), "agora", spec, secret.clone(), &certificate).await;
        let rtc = rtc.map_or(Value::Null, |user| json!(["lobby", user]));
        let rtm = rtm.map_or(Value::Null, |user| json!([user]));
        assert_eq!(said["services"]["1"]["texts"], rtc, "{block}");
        assert_eq!(said["services"]["2"]["texts"], rtm, "{block}");
    }
}

/// `end:user`, signed: a coturn takes what is after the colon for the user. The password is checked by the script.
#[tokio::test]
async fn a_subject_is_coturns_user() {
    let now = Timestamp::now().as_second();
    let block = json!({"kind": "Coturn", "urls": ["turn:turn.example.com"], "user": "kiosk"});
    let spec = json!({"iceServers": block, "expirationSeconds": 600});
    let secret = json!({"static-auth-secret": "coturn-secret"});
    let said = verified_for(Some("u_5f3a"), "coturn", spec, secret, "coturn-secret").await;
    let (ends, user) = said["username"].as_str().unwrap().split_once(':').unwrap();
    assert_eq!(user, "u_5f3a");
    assert!((600..630).contains(&(ends.parse::<i64>().unwrap() - now)), "{said}");
}

/// Each algorithm of the block `jwt`, the asymmetric ones by the public key alone.
#[tokio::test]
async fn jwt() {
    let shared = "a-shared-secret-that-is-long-enough-for-sha-512-which-takes-64-letters";
    let mut keys = vec![
        ("HS256", shared.to_owned(), shared.to_owned()),
        ("HS384", shared.to_owned(), shared.to_owned()),
        ("HS512", shared.to_owned(), shared.to_owned()),
    ];
    for (name, algorithm) in [
        ("RS256", &rcgen::PKCS_RSA_SHA256),
        ("ES256", &rcgen::PKCS_ECDSA_P256_SHA256),
    ] {
        let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
        keys.push((name, pair.serialize_pem(), pair.public_key_pem()));
    }
    for (algorithm, signing, public) in keys {
        let spec = json!({"jwt": {
            "name": "example", "algorithm": algorithm, "nbf": true,
            "claims": {"sub": "{{ params.user }}"}, "params": {"user": "alice"},
        }});
        let secret = json!({"signing-key": signing, "key-id": "kid"});
        let said = verified_with("jwt", spec, secret, &public).await;
        assert_eq!(said["header"]["alg"], algorithm);
        let claims = &said["claims"];
        assert_eq!(claims["sub"], "alice");
        let lives = claims["exp"].as_i64().unwrap() - claims["nbf"].as_i64().unwrap();
        assert_eq!(lives, 1800, "{algorithm}");
    }
}
