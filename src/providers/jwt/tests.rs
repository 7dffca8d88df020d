use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::*;
use crate::api::RealtimeTokenSpec;
use crate::mint::Credential;
use crate::resolve::{block_of, expiration};

fn block(changes: Value) -> Jwt {
    let mut block = json!({"algorithm": "HS256", "claims": {"sub": "john"}});
    for (key, value) in changes.as_object().unwrap() {
        block[key] = value.clone();
    }
    serde_json::from_value(block).unwrap()
}

fn signed(provider: &dyn Provider, key: &str, now: i64, life: i64) -> Result<String, MintError> {
    provider.validate()?;
    let credential = Credential::new([("signing-key", key.into()), ("key-id", "kid1".into())]);
    let mint = Mint {
        expiration: SignedDuration::from_secs(life),
        credential: &credential,
        namespace: "apps",
        subject: None,
        ask: None,
        now: Timestamp::from_second(now).unwrap(),
        nonce: [7; 16],
    };
    match provider.start(&mint)? {
        Step::Done(answer) => Ok(answer.value.expose_secret().to_owned()),
        Step::Send(request) => panic!("{request:?}"),
    }
}

fn parts(token: &str) -> (Value, Value) {
    let mut parts = token.split('.').map(|part| {
        let json = URL_SAFE_NO_PAD.decode(part).unwrap();
        serde_json::from_slice(&json).unwrap_or_default()
    });
    (parts.next().unwrap(), parts.next().unwrap())
}

/// The vectors that were signed with a key that was not kept, from the manifests in `examples/providers`.
#[test]
fn private_keys_sign_what_the_sdks_sign() {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let recording = testkit::conformance::recording("jwt").unwrap();
    for (name, case) in [("vonage", "vonage: "), ("google-self-signed", "google: ")] {
        let text = std::fs::read_to_string(testkit::conformance::example(name)).unwrap();
        let manifest: Value = serde_saphyr::from_str(&text).unwrap();
        let spec: RealtimeTokenSpec = serde_json::from_value(manifest["spec"].clone()).unwrap();
        let block = block_of(&spec).unwrap();
        let life = expiration(&spec, &block, None).unwrap();
        let mut vectors = recording["vectors"].as_array().unwrap().iter();
        let vector = vectors
            .find(|it| it["case"].as_str().unwrap().starts_with(case))
            .unwrap();
        let now = vector["now"].as_i64().unwrap();
        let token = signed(block.provider(), &key.serialize_pem(), now, life.as_secs()).unwrap();
        let (header, claims) = parts(&token);
        assert_eq!(header, vector["header"], "{name}");
        let mut expected = vector["claims"].as_object().unwrap().clone();
        // Vonage's library leaks an option's name into the claims, and the id is a random one.
        expected.remove("subject");
        if let Some(id) = expected.get_mut("jti") {
            *id = "07070707-0707-4707-8707-070707070707".into();
        }
        assert_eq!(claims, Value::from(expected), "{name}");

        let (message, signature) = token.rsplit_once('.').unwrap();
        let public = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256,
            rcgen::PublicKeyData::der_bytes(&key),
        );
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        public.verify(message.as_bytes(), &signature).unwrap();
    }
}

#[test]
fn every_token_ends() {
    for changes in [
        json!({}),
        json!({"claims": {}}),
        json!({"iat": false, "typ": false}),
        json!({"claims": {"nested": {"exp": "never"}}}),
    ] {
        let (_, claims) = parts(&signed(&block(changes), "key", 1000, 600).unwrap());
        assert_eq!(claims["exp"], 1600);
    }
}

#[test]
fn what_is_ours_cannot_be_set() {
    for (changes, place) in [
        (json!({"claims": {"exp": 9_999_999_999_i64}}), "jwt.claims.exp"),
        (json!({"claims": {"exp": "{{ expires }}"}}), "jwt.claims.exp"),
        (json!({"claims": {"exp": null}}), "jwt.claims.exp"),
        (json!({"claims": {"iat": 1}}), "jwt.claims.iat"),
        (json!({"claims": {"nbf": 1}}), "jwt.claims.nbf"),
        (
            json!({"claims": {"{{ params.a }}": 1}, "params": {"a": "exp"}}),
            "jwt.claims/{{ params.a }}",
        ),
        (json!({"header": {"alg": "none"}}), "jwt.header.alg"),
        (json!({"header": {"typ": "x"}}), "jwt.header.typ"),
        (json!({"header": {"crit": ["b64"]}}), "jwt.header.crit"),
        (json!({"claims": {"x": "{{ credential }}"}}), "{{ credential }}"),
        (json!({"header": {"x": "{{ base64(credential) }}"}}), "{{ credential }}"),
        (json!({"claims": {"x": "y".repeat(20_000)}}), "jwt.claims"),
        (
            json!({"params": {"a": ["b"]}, "claims": {"x": "{{ params.a }}"}}),
            "jwt.params.a",
        ),
        (
            json!({"algorithm": "RS256", "keyEncoding": "Base64"}),
            "jwt.keyEncoding",
        ),
    ] {
        let message = block(changes.clone()).validate().unwrap_err().to_string();
        assert!(message.contains(place), "{changes}: {message}");
    }
    assert!(serde_json::from_value::<Jwt>(json!({"algorithm": "none", "claims": {}})).is_err());
    assert!(block(json!({"algorithm": null})).validate().is_err());
}

#[test]
fn no_life_beyond_the_limit() {
    let limited = block(json!({"maxSeconds": 600}));
    assert_eq!(limited.lifetime().admit(SignedDuration::from_secs(600)), Ok(()));
    assert!(limited.lifetime().admit(SignedDuration::from_secs(601)).is_err());
    assert!(
        block(json!({}))
            .lifetime()
            .admit(SignedDuration::from_hours(25))
            .is_err()
    );
}

#[test]
fn the_key_fits_the_algorithm() {
    let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
    for (changes, key, reason) in [
        (json!({}), pem.as_str(), "choose RS256 or ES256"),
        (json!({"keyEncoding": "Base64"}), "not base64!", "is no base64"),
        (json!({"algorithm": "ES256"}), "text", "no private key in PEM"),
        (json!({"algorithm": "RS256"}), pem.as_str(), "can't sign RS256"),
        (json!({}), "", "missing or empty"),
    ] {
        let error = signed(&block(changes.clone()), key, 0, 600).unwrap_err();
        assert!(error.to_string().contains(reason), "{changes}: {error}");
        assert!(
            matches!(error, MintError::Rejected { credential: true, .. }),
            "{error:?}"
        );
        assert!(key.is_empty() || !error.to_string().contains(key), "{error}");
    }
    let plain = signed(&block(json!({})), "key", 0, 600).unwrap();
    let decoded = signed(&block(json!({"keyEncoding": "Base64"})), "a2V5", 0, 600).unwrap();
    assert_eq!(plain, decoded);
    assert!(signed(&block(json!({"algorithm": "ES256"})), &pem, 0, 600).is_ok());
}

#[test]
fn clocks_header_and_ids() {
    let block = block(json!({
        "nbf": true, "skewSeconds": 10, "header": {"kid": "{{ keyId }}"},
        "claims": {"jti": "{{ keyId }}-{{ now }}", "version": 2, "ttl": "{{ ttlSeconds }}"},
    }));
    assert_eq!(block.secret_fields().len(), 2);
    let (header, claims) = parts(&signed(&block, "key", 1000, 600).unwrap());
    assert_eq!(header, json!({"alg": "HS256", "typ": "JWT", "kid": "kid1"}));
    assert_eq!(
        claims,
        json!({"jti": "kid1-1000", "version": 2, "ttl": 600, "iat": 990, "nbf": 990, "exp": 1600})
    );
}
