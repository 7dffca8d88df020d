use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::*;
use crate::mint::Credential;

fn block(inputs: &Value) -> Agora {
    let mut block = json!({});
    for service in inputs["services"].as_array().unwrap() {
        match service["service"].as_str().unwrap() {
            "rtc(1)" => {
                let role = if service["privileges"].get("2").is_some() {
                    "Publisher"
                } else {
                    "Subscriber"
                };
                block["rtc"] = json!({"channel": service["args"][0], "role": role});
                match &service["args"][1] {
                    Value::String(account) => block["rtc"]["account"] = json!(account),
                    uid if *uid == 0 => {}
                    uid => block["rtc"]["uid"] = uid.clone(),
                }
            }
            "rtm(2)" => block["rtm"] = json!({"userId": service["args"][0]}),
            other => panic!("{other}"),
        }
    }
    serde_json::from_value(block).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// zlib's output differs between libraries, so what it holds is compared.
#[test]
fn the_tokens_hold_what_those_of_the_sdk_hold() {
    let file: Value = serde_json::from_str(include_str!("../../../tests/recordings/agora.json")).unwrap();
    let vectors = file["vectors"].as_array().unwrap();
    assert!(vectors.len() >= 6);
    for vector in vectors {
        let inputs = &vector["inputs"];
        let number = |name: &str| u32::try_from(inputs[name].as_u64().unwrap()).unwrap();
        let token = Token {
            app_id: inputs["appId"].as_str().unwrap(),
            issued_at: number("issueTs"),
            expire: number("expire"),
            salt: number("salt"),
            services: block(inputs).services(number("expire")),
        };
        let packed = token.packed(inputs["appCertificate"].as_str().unwrap());
        assert_eq!(hex(&packed), vector["inflated_hex"], "{}", vector["case"]);
    }
}

fn minted(block: Value, id: &str, certificate: &str) -> Result<String, MintError> {
    let block: Agora = serde_json::from_value(block).unwrap();
    let credential = Credential::new([
        ("AGORA_APP_ID", id.into()),
        ("AGORA_APP_CERTIFICATE", certificate.into()),
    ]);
    let mint = Mint {
        expiration: SignedDuration::from_secs(600),
        credential: &credential,
        namespace: "apps",
        subject: None,
        ask: None,
        now: Timestamp::from_second(1_795_334_400).unwrap(),
        nonce: [0; 16],
    };
    match block.start(&mint)? {
        Step::Done(answer) => Ok(answer.value.expose_secret().to_owned()),
        Step::Send(_) => panic!("signed here, nothing is sent"),
    }
}

#[test]
fn a_token_can_be_inflated_again() {
    let id = "0123456789ABcdef0123456789abCDEF";
    let token = minted(json!({"rtc": {"channel": "chan"}}), id, &"fe".repeat(16)).unwrap();
    let deflated = BASE64.decode(token.strip_prefix("007").unwrap()).unwrap();
    let packed = miniz_oxide::inflate::decompress_to_vec_zlib(&deflated).unwrap();
    assert_eq!(packed[..2], [32, 0]);
    assert_eq!(&packed[36..68], id.as_bytes());
}

#[test]
fn ids_that_are_none_are_named_and_not_quoted() {
    let block = json!({"rtc": {"channel": "chan"}});
    let good = "0123456789abcdef0123456789abcdef";
    for (id, certificate, named) in [
        ("canary", good, "AGORA_APP_ID"),
        (good, "canary", "AGORA_APP_CERTIFICATE"),
        (good, &good.replace('0', "x"), "AGORA_APP_CERTIFICATE"),
        ("", good, "AGORA_APP_ID"),
    ] {
        let error = minted(block.clone(), id, certificate).unwrap_err();
        assert_eq!(error.reason(), crate::api::Reason::CredentialRejected);
        assert!(error.to_string().contains(named), "{error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}

/// Its tokens are alike for a number and for a text of the same digits; its clients are not.
#[test]
fn a_channel_of_numbered_users_takes_numbers_only() {
    let named = |subject: &str| {
        let mut block: Agora = serde_json::from_value(json!({"rtc": {"channel": "c", "uid": 7}})).unwrap();
        block.name_subject(subject).map(|()| block.rtc.unwrap().uid)
    };
    assert_eq!(named("4294967295"), Ok(Some(4_294_967_295)));
    for wrong in ["u_5f3a", "0", "007", "+7", "4294967296", "-1", "7 "] {
        let message = named(wrong).unwrap_err();
        assert!(message.starts_with("subject: goes into agora.rtc.uid"), "{message}");
    }
    let mut any: Agora = serde_json::from_value(json!({"rtc": {"channel": "c"}, "rtm": {"userId": "u"}})).unwrap();
    any.name_subject("u_5f3a").unwrap();
    assert_eq!(any.rtc.and_then(|rtc| rtc.account).as_deref(), Some("u_5f3a"));
    assert_eq!(any.rtm.map(|rtm| rtm.user_id).as_deref(), Some("u_5f3a"));
}
