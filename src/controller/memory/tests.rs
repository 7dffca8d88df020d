use serde_json::{Value, json};

use super::*;
use crate::token::Minted;
use crate::token::{Issued, Stored};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The RealtimeToken shop/voice with this in its metadata, and this status.
fn token(more: Value, status: Value) -> RealtimeToken {
    let mut metadata = json!({"name": "voice", "namespace": "shop", "uid": "u"});
    metadata
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().cloned().unwrap());
    let token = json!({"metadata": metadata, "spec": {"credentials": {}}, "status": status});
    serde_json::from_value(token).unwrap()
}

fn held() -> Held {
    Held {
        minted: Minted {
            provider: "openai".into(),
            value: "token".into(),
            issued_at: at(100),
            usable_until: at(1900),
            expires_at: at(1900),
            config: serde_json::Map::new(),
            outputs: std::collections::BTreeMap::new(),
        },
        fingerprint: "f".into(),
        credential_revision: "c".into(),
        renew_request: None,
        revision: None,
    }
}

fn stored(issued_at: Timestamp) -> TargetState {
    TargetState::Ours(Box::new(Stored {
        uid: "uid".into(),
        resource_version: "7".into(),
        issued: Some(Issued {
            issued_at,
            usable_until: at(1900),
            expires_at: at(1900),
            revision: 3,
            fingerprint: "f".into(),
            credential_revision: "c".into(),
            renew_request: None,
        }),
        intact: true,
        metadata_hash: None,
        renewal_time: None,
    }))
}

#[test]
fn the_echo_of_our_own_status_is_known_once() {
    let memories = Memories::default();
    let seen = |version: &str, change: Value| {
        let mut metadata = json!({"resourceVersion": version, "generation": 1});
        metadata
            .as_object_mut()
            .unwrap()
            .extend(change.as_object().cloned().unwrap());
        token(metadata, Value::Null)
    };
    let echo = |version: &str| seen(version, json!({}));
    assert!(!memories.wrote(&echo("7")), "nothing was written");
    memories.with(&Name::new("shop", "voice"), &echo("6"), |memory| {
        let status = RealtimeTokenStatus {
            observed_generation: Some(1),
            ..Default::default()
        };
        memory.status = Some(Box::new(WrittenStatus {
            version: "7".into(),
            status,
            renew_request: None,
        }));
    });
    for change in [
        json!({"generation": 2}),
        json!({"annotations": {RENEW_REQUESTED_AT: "now"}}),
        json!({"deletionTimestamp": "2026-11-24T00:00:00Z"}),
        json!({"uid": "another"}),
        json!({"resourceVersion": "6"}),
        json!({"resourceVersion": "8"}),
    ] {
        assert!(!memories.wrote(&seen("7", change.clone())), "{change}");
    }
    assert!(memories.wrote(&echo("7")));
    assert!(!memories.wrote(&echo("7")), "told once");
}

#[test]
fn a_memory_that_says_nothing_is_forgotten() {
    let memories = Memories::default();
    let name = Name::new("shop", "voice");
    let token = token(json!({}), Value::Null);
    let says: [fn(&mut Memory); 4] = [
        |memory| memory.minting = true,
        |memory| memory.held = Some(Box::new(held())),
        |memory| memory.last_mint = Some(at(100)),
        |memory| memory.failures = 1,
    ];
    let known = || memories.0.lock().unwrap().len();
    for say in says {
        memories.with(&name, &token, say);
        memories.tidy(at(100), |_| true);
        assert_eq!(known(), 1);
        memories.tidy(at(100), |_| false);
        assert_eq!(known(), 0, "the object is gone");
    }
    memories.with(&name, &token, |memory| memory.last_mint = Some(at(100)));
    memories.tidy(at(109), |_| true);
    assert_eq!(known(), 1, "holds back a mint");
    memories.tidy(at(110), |_| true);
    assert_eq!(known(), 0);
}

/// A status that could not be written still tells of the failures before.
#[test]
fn a_failed_request_brings_no_backoff_back() {
    let memories = Memories::default();
    let name = Name::new("shop", "voice");
    let failing = json!({
        "failedMintAttempts": 5,
        "lastFailureTime": "2026-11-24T00:00:00Z",
        "nextAttemptTime": "2026-11-24T00:08:00Z",
        "conditions": [{
            "type": "Renewing", "status": "True", "reason": "MintFailed", "message": "",
            "lastTransitionTime": "2026-11-24T00:00:00Z",
        }],
    });
    let token = token(json!({}), failing);
    let attempts = || memories.with(&name, &token, |memory| memory.attempts.is_some());
    assert_eq!((memories.failed(&name, "u"), attempts()), (1, false));
    assert_eq!(memories.failed(&name, "u"), 2);
    assert_eq!(memories.failed(&name, "another"), 1);
    memories.forget(&name);
    assert!(attempts(), "as after a restart");
}

#[test]
fn a_turn_keeps_the_memory_until_it_ends() {
    let memories = Memories::default();
    let name = Name::new("shop", "voice");
    let token = token(json!({}), Value::Null);
    let known = || memories.0.lock().unwrap().len();
    let turn = memories.turn(&name, &token).unwrap();
    memories.tidy(at(1000), |_| false);
    assert_eq!(known(), 1);
    drop(turn);
    assert_eq!(known(), 0);

    let turn = memories.turn(&name, &token).unwrap();
    memories.with(&name, &token, |memory| memory.minting = true);
    drop(turn);
    assert!(memories.turn(&name, &token).is_none(), "a mint is under way");
    assert_eq!(known(), 1);
}

#[test]
fn a_write_that_landed_without_an_answer_is_recognised() {
    let mut memory = Memory {
        held: Some(Box::new(held())),
        ..Memory::default()
    };
    for other in [TargetState::Absent, stored(at(99))] {
        memory.recognise(&other);
        memory.let_go(at(1000));
        assert_eq!(memory.held.as_ref().unwrap().revision, None, "not stored yet, so kept");
    }
    memory.recognise(&stored(at(100)));
    assert_eq!(memory.held.as_ref().unwrap().revision, Some(3));
    memory.let_go(at(1000));
    assert!(memory.held.is_none(), "stored, so let go");
}
