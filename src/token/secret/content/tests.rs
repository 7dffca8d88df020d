//! What the Secret says, said back.

use std::sync::mpsc;
use std::time::Duration;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::api::DeletionPolicy;
use crate::token::MintInputs;
use crate::token::secret::view::view_of;
use crate::token::secret::{Issued, TargetState, desired_metadata};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_795_334_400_000 + millis).unwrap()
}

fn unstored(value: &str, millis: i64, skew: i64, forced: Option<String>) -> UnstoredToken {
    let usable_until = at(millis) + SignedDuration::from_secs(1800);
    let config = json!({"model": "gpt-realtime-2.1", "a": 1});
    UnstoredToken {
        minted: Minted {
            provider: "openai".into(),
            value: value.to_owned().into(),
            issued_at: at(millis),
            usable_until,
            expires_at: usable_until + SignedDuration::from_millis(skew),
            config: config.as_object().cloned().unwrap(),
            outputs: std::collections::BTreeMap::new(),
        },
        inputs: MintInputs {
            fingerprint: "spec".into(),
            credential_revision: "key".into(),
            renew_request: forced,
        },
        revision: None,
        stored: false,
    }
}

fn target(template: serde_json::Value) -> Target {
    serde_json::from_value(json!({"template": template})).unwrap()
}

fn text<'a>(content: &'a Content, key: &str) -> &'a str {
    std::str::from_utf8(&content.data[key].0).unwrap()
}

#[test]
fn the_keys_agree() {
    let token = unstored("ek_<\"1\">&ü", 0, 1500, None);
    let content = content(&token, 1, at(0), &Target::default()).unwrap();
    let keys: Vec<&str> = content.data.keys().map(String::as_str).collect();
    let mut own = OWN_KEYS;
    own.sort_unstable();
    assert_eq!(keys, own);
    assert_eq!(
        text(&content, "token.json"),
        r#"{"provider":"openai","token":"ek_<\"1\">&ü","expiresAt":1795336201500,"config":{"model":"gpt-realtime-2.1","a":1}}"#
    );
    assert_eq!(text(&content, "token"), "ek_<\"1\">&ü");
    assert_eq!(text(&content, "provider"), "openai");
    let expires_at: Timestamp = text(&content, "expires-at").parse().unwrap();
    assert_eq!(expires_at.as_millisecond(), 1_795_336_201_500);
    assert_eq!(content.hash, hash::short(text(&content, "token.json").as_bytes()));
    assert_eq!(content.annotations[annotations::CONTENT_HASH], content.hash);
}

#[test]
fn what_the_provider_adds_is_remembered() {
    let mut token = unstored("ek_1", 0, 0, None);
    let plain = content(&token, 1, at(0), &Target::default()).unwrap();
    assert!(!plain.annotations.contains_key(annotations::FURTHER_KEYS));
    for key in ["url", "room"] {
        token.minted.outputs.insert(key.into(), "wss://lk.example".into());
    }
    let content = content(&token, 1, at(0), &Target::default()).unwrap();
    assert_eq!(text(&content, "url"), "wss://lk.example");
    assert_eq!(content.annotations[annotations::FURTHER_KEYS], "room,url");
}

#[test]
fn templates_are_further_keys() {
    let token = unstored("ek_1", 0, 0, None);
    let target = target(json!({"data": {".env": "TOKEN={{ token }}\n", "model": "{{ config.model }}"}}));
    let content = content(&token, 1, at(0), &target).unwrap();
    assert_eq!(content.data.len(), 6);
    assert_eq!(text(&content, ".env"), "TOKEN=ek_1\n");
    assert_eq!(text(&content, "model"), "gpt-realtime-2.1");
}

#[test]
fn a_template_that_fails_says_nothing_of_the_token() {
    let token = unstored("ek_canary", 0, 0, None);
    let target = target(json!({"data": {"k": "{{ token.x.y }}"}}));
    let Err(error) = content(&token, 1, at(0), &target) else {
        panic!("rendered")
    };
    assert!(!format!("{error:?} {error}").contains("canary"));
}

#[test]
fn no_annotation_holds_the_token() {
    let token = unstored("ek_canary", 0, 0, Some("now".into()));
    let content = content(&token, 1, at(0), &Target::default()).unwrap();
    for (key, value) in &content.annotations {
        assert!(key.starts_with("realtime-token.dev/"), "{key}");
        assert!(!value.contains("canary"), "{key}: {value}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(
        millis in 0i64..10_000_000, skew in -300_000i64..300_000, revision in 1i64..,
        forced in prop::option::of(".{0,40}"), value in "[!-~]{1,60}",
    ) {
        let token = unstored(&value, millis, skew, forced);
        let renewal_time = at(millis + 7);
        let target = Target::default();
        let content = content(&token, revision, renewal_time, &target).unwrap();
        let desired = desired_metadata("voice", &target, BTreeMap::new());
        let mut annotations = content.annotations;
        annotations.insert(annotations::METADATA_HASH.into(), desired.hash.clone());
        let meta = ObjectMeta {
            labels: Some(desired.labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        };
        let seen = view_of(&meta).seen_by("voice", "uid", &Target {
            deletion_policy: DeletionPolicy::Retain,
            ..target
        }, &BTreeMap::new());
        let TargetState::Ours(stored) = seen else { panic!("{seen:?}") };
        prop_assert_eq!(stored.issued, Some(Issued {
            issued_at: token.minted.issued_at,
            usable_until: token.minted.usable_until,
            expires_at: token.minted.expires_at,
            revision,
            inputs: token.inputs,
            content_hash: content.hash,
        }));
        prop_assert_eq!(stored.renewal_time, Some(renewal_time));
        prop_assert_eq!(stored.metadata_hash, Some(desired.hash));
        prop_assert!(stored.intact);
    }
}

/// Compared with each part of the message instead, each byte of the data would take minutes here.
#[test]
fn each_byte_of_the_data_is_looked_at_once_however_long_the_message_is() {
    let mut content = Content::none();
    content
        .data
        .insert("template".to_owned(), ByteString(vec![b'x'; 200 * 1024]));
    let message: String = (0..10_000).map(|number| format!("{number:05}")).collect();
    let (answer, answered) = mpsc::channel();
    std::thread::spawn(move || answer.send(content.quoted_in(&message)));
    assert_eq!(answered.recv_timeout(Duration::from_secs(20)), Ok(false));
}

#[test]
fn a_quotation_of_the_token_is_noticed_plain_and_encoded() {
    let token = unstored("ek_0123456789abcdefghij", 0, 0, None);
    let content = content(&token, 1, at(0), &Target::default()).unwrap();
    for quoting in [
        "denied: ek_0123456789abcdefghij",
        "denied: 0123456789abcdef…",
        "denied: ZWtfMDEyMzQ1Njc4OWFiY2RlZmdoaWo=",
        "denied: {\"token\":\"ek_0123456789a",
    ] {
        assert!(content.quoted_in(quoting), "{quoting}");
    }
    for harmless in [
        "",
        "denied",
        "secrets \"voice\" is forbidden: no tokens of openai today",
    ] {
        assert!(!content.quoted_in(harmless), "{harmless}");
    }
}
