//! Secrets as the API server shows them, with everything that other people do to them.

mod connection;
mod damage;
mod whose;

use serde_json::{Value, json};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::*;
use crate::token::MintInputs;
use crate::token::secret::annotations::*;
use crate::token::secret::{Issued, owned_metadata, owners};

const NAME_OF_TOKEN: &str = "voice";
const UID: &str = "6f0c3a5e-9d51-4f4e-8f57-3b0d6a4f1c11";

/// A Secret as this operator writes it.
fn secret() -> Value {
    json!({
        "name": "voice",
        "uid": "secret-uid",
        "resourceVersion": "17",
        "labels": {MANAGED_BY: MANAGER, NAME: NAME_OF_TOKEN, "team": "voice"},
        "annotations": {
            ISSUED_AT: "2026-11-22T10:00:00.25Z",
            USABLE_UNTIL: "2026-11-22T10:30:00Z",
            EXPIRES_AT: "2026-11-22T10:30:01Z",
            RENEWAL_TIME: "2026-11-22T10:19:00Z",
            REVISION: "3",
            SPEC_HASH: "spec",
            CREDENTIAL_REVISION: "key",
            CONTENT_HASH: "content",
            METADATA_HASH: "desired",
        },
        "ownerReferences": [owner("RealtimeToken", NAME_OF_TOKEN, UID, true)],
        "managedFields": [writes(MANAGER, "Update", &OWN_KEYS)],
    })
}

fn owner(kind: &str, name: &str, uid: &str, controller: bool) -> Value {
    json!({"apiVersion": "realtime-token.dev/v1alpha1", "kind": kind, "name": name, "uid": uid, "controller": controller})
}

fn writes(manager: &str, operation: &str, keys: &[&str]) -> Value {
    let data = keys.iter().map(|key| (format!("f:{key}"), json!({})));
    let mut data: serde_json::Map<String, Value> = data.collect();
    data.insert(".".into(), json!({}));
    json!({
        "manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": data, "f:type": {}},
    })
}

fn meta(secret: &Value) -> ObjectMeta {
    serde_json::from_value(secret.clone()).unwrap()
}

fn seen(secret: &Value, target: &Target) -> TargetState {
    view_of(&meta(secret)).seen_by(NAME_OF_TOKEN, UID, target, &BTreeMap::new())
}

fn ours(secret: &Value) -> Stored {
    match seen(secret, &Target::default()) {
        TargetState::Ours(stored) => *stored,
        other => panic!("{other:?}"),
    }
}

fn templated(keys: &[&str]) -> Target {
    let data = keys.iter().map(|key| ((*key).to_owned(), "x".to_owned()));
    Target {
        template: Some(Box::new(crate::api::Template {
            metadata: None,
            data: data.collect(),
        })),
        ..Target::default()
    }
}

fn retained() -> Target {
    Target {
        deletion_policy: DeletionPolicy::Retain,
        ..Target::default()
    }
}

#[test]
fn reads_what_was_written() {
    let stored = ours(&secret());
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    assert_eq!(
        stored,
        Stored {
            uid: "secret-uid".into(),
            resource_version: "17".into(),
            issued: Some(Issued {
                issued_at: time("2026-11-22T10:00:00.25Z"),
                usable_until: time("2026-11-22T10:30:00Z"),
                expires_at: time("2026-11-22T10:30:01Z"),
                revision: 3,
                inputs: MintInputs {
                    fingerprint: "spec".into(),
                    credential_revision: "key".into(),
                    renew_request: None,
                },
                content_hash: "content".into(),
            }),
            intact: true,
            content: TargetContent::Token,
            metadata_hash: Some("desired".into()),
            renewal_time: Some(time("2026-11-22T10:19:00Z")),
            damage: None,
        }
    );
    let view = view_of(&meta(&secret()));
    assert_eq!(
        (view.uid(), view.resource_version(), view.token_name()),
        ("secret-uid", "17", Some(NAME_OF_TOKEN))
    );
    let nothing = view_of(&ObjectMeta::default());
    assert_eq!(
        (nothing.uid(), nothing.resource_version(), nothing.token_name()),
        ("", "", None)
    );
}

#[test]
fn a_further_key_of_the_provider_is_one_of_ours() {
    let with = |owned: &[&str]| {
        let mut secret = secret();
        secret["annotations"][FURTHER_KEYS] = "url,room".into();
        secret["managedFields"] = json!([writes(MANAGER, "Update", owned)]);
        ours(&secret).intact
    };
    assert!(with(&["token.json", "token", "expires-at", "provider", "url", "room"]));
    assert!(!with(&["token.json", "token", "expires-at", "provider", "room"]));
}

#[test]
fn an_edited_key_is_noticed() {
    let all = OWN_KEYS;
    let rest: Vec<&str> = all[1..].to_vec();
    let more = ["token.json", "token", "expires-at", "provider", ".env"];
    let plain = Target::default();
    let env = templated(&[".env"]);
    let us = |keys: &[&str]| writes(MANAGER, "Update", keys);
    let edit = |keys: &[&str]| writes("kubectl-edit", "Update", keys);
    let cases = [
        ("all ours", json!([us(&all)]), &plain, true),
        (
            "a key moved to an editor",
            json!([us(&rest), edit(&["token.json"])]),
            &plain,
            false,
        ),
        ("a key removed", json!([us(&rest)]), &plain, false),
        ("all keys removed", json!([us(&[])]), &plain, false),
        (
            "a stranger's key beside ours",
            json!([us(&all), edit(&["note"])]),
            &plain,
            true,
        ),
        ("owned together", json!([us(&all), edit(&all)]), &plain, true),
        (
            "in two entries of ours",
            json!([us(&rest), us(&["token.json"])]),
            &plain,
            true,
        ),
        ("another manager wrote it all", json!([edit(&all)]), &plain, false),
        (
            "our name, applied",
            json!([writes(MANAGER, "Apply", &all)]),
            &plain,
            true,
        ),
        (
            "a label was edited",
            json!([us(&all), {"manager": "kubectl", "operation": "Update", "fieldsV1": {"f:metadata": {"f:labels": {"f:a": {}}}}}]),
            &plain,
            true,
        ),
        ("with the template's key", json!([us(&more)]), &env, true),
        ("without the template's key", json!([us(&all)]), &env, false),
        (
            "the template's key edited",
            json!([us(&all), edit(&[".env"])]),
            &env,
            false,
        ),
        ("a key of a former template", json!([us(&more)]), &plain, true),
        (
            "an entry without fields",
            json!([{"manager": MANAGER, "operation": "Update"}]),
            &plain,
            false,
        ),
        ("nothing tracked", json!([]), &plain, true),
        ("nothing tracked, with a template", json!(null), &env, true),
    ];
    for (case, fields, target, expected) in cases {
        let mut secret = secret();
        secret["managedFields"] = fields;
        let TargetState::Ours(stored) = seen(&secret, target) else {
            panic!("{case}: not ours")
        };
        assert_eq!(stored.intact, expected, "{case}");
    }
}

#[test]
fn damaged_annotations_hold_no_token() {
    let needed = [
        (ISSUED_AT, "yesterday"),
        (USABLE_UNTIL, "1795334400"),
        (EXPIRES_AT, ""),
        (REVISION, "three"),
        (REVISION, "0"),
        (REVISION, "-1"),
        (REVISION, "9223372036854775808"),
    ];
    for (key, damaged) in needed {
        let mut secret = secret();
        secret["annotations"][key] = damaged.into();
        assert_eq!(ours(&secret).issued, None, "{key}: {damaged:?}");
    }
    for key in [
        ISSUED_AT,
        USABLE_UNTIL,
        EXPIRES_AT,
        REVISION,
        SPEC_HASH,
        CREDENTIAL_REVISION,
    ] {
        let mut secret = secret();
        secret["annotations"].as_object_mut().unwrap().remove(key);
        assert_eq!(ours(&secret).issued, None, "without {key}");
    }
    for key in [RENEWAL_TIME, METADATA_HASH, CONTENT_HASH] {
        let mut secret = secret();
        secret["annotations"].as_object_mut().unwrap().remove(key);
        let stored = ours(&secret);
        assert!(stored.issued.is_some(), "without {key}");
        assert_eq!(stored.renewal_time.is_none(), key == RENEWAL_TIME);
        assert_eq!(stored.metadata_hash.is_none(), key == METADATA_HASH);
    }
    let mut without = secret();
    without["annotations"] = Value::Null;
    assert_eq!(ours(&without).issued, None);
    let mut forced = secret();
    forced["annotations"][RENEW_REQUEST] = "2026".into();
    let issued = ours(&forced).issued.unwrap();
    assert_eq!(issued.inputs.renew_request.as_deref(), Some("2026"));
}

#[test]
fn lost_labels_and_owners_are_missed() {
    let hash = |change: &dyn Fn(&mut Value), target: &Target| {
        let mut secret = secret();
        change(&mut secret);
        match seen(&secret, target) {
            TargetState::Ours(stored) => stored.metadata_hash,
            other => panic!("{other:?}"),
        }
    };
    let (delete, retain) = (Target::default(), retained());
    let desired = Some("desired".to_owned());
    for target in [&delete, &retain] {
        assert_eq!(hash(&|_| {}, target), desired);
        assert_eq!(hash(&|s| s["labels"][NAME] = "other".into(), target), None);
        assert_eq!(hash(&|s| s["labels"][MANAGED_BY] = "Helm".into(), target), None);
        assert_eq!(hash(&|s| s["labels"] = Value::Null, target), None);
    }
    let orphaned = |s: &mut Value| s["ownerReferences"] = json!([]);
    assert_eq!(hash(&orphaned, &delete), None);
    assert_eq!(hash(&orphaned, &retain), desired);
}

#[test]
fn keys_of_a_former_template_are_stale() {
    let mut secret = secret();
    secret["managedFields"] = json!([
        writes(
            MANAGER,
            "Update",
            &["token.json", "token", "expires-at", "provider", ".env", "old"]
        ),
        writes("kubectl-edit", "Update", &["note"]),
    ]);
    let stale = |secret: &Value, keys: &[&str]| -> Vec<String> {
        let new = keys.iter().map(|key| ((*key).to_owned(), ())).collect();
        view_of(&meta(secret)).stale_keys(&new).collect()
    };
    let new = ["token.json", "token", "expires-at", "provider", ".env"];
    assert_eq!(stale(&secret, &new), ["old"]);
    assert_eq!(stale(&secret, &OWN_KEYS), [".env", "old"]);
    secret["managedFields"] = json!([]);
    assert!(stale(&secret, &OWN_KEYS).is_empty(), "removes what may be a stranger's");
}

#[test]
fn the_labels_that_we_wrote() {
    let fields = |manager: &str, operation: &str, label: &str| {
        let labels = json!({".": {}, (format!("f:{label}")): {}});
        json!({
            "manager": manager, "operation": operation,
            "fieldsV1": {"f:metadata": {"f:labels": labels, "f:annotations": {"f:a.b/c": {}}}},
        })
    };
    let mut secret = secret();
    secret["managedFields"] = json!([
        fields(MANAGER, "Update", "team"),
        fields(MANAGER, "Update", "f:odd"),
        fields(MANAGER, "Apply", "applied"),
        fields(MANAGER, "Other", "other"),
        fields("kubectl-label", "Update", "theirs"),
        {"manager": MANAGER, "operation": "Update"},
    ]);
    let meta = meta(&secret);
    assert_eq!(owned_metadata(&meta, "f:labels"), ["team", "f:odd", "applied"]);
    assert_eq!(owned_metadata(&meta, "f:annotations"), ["a.b/c"; 3]);
    assert!(owned_metadata(&meta, "f:finalizers").is_empty());
    assert!(owned_metadata(&ObjectMeta::default(), "f:labels").is_empty());
}

#[test]
fn the_controller_is_replaced_and_other_owners_stay() {
    let parse = |value: Value| -> OwnerReference { serde_json::from_value(value).unwrap() };
    let app = parse(owner("Deployment", "app", "d", false));
    let before = parse(owner("RealtimeToken", NAME_OF_TOKEN, "earlier", true));
    let mine = parse(owner("RealtimeToken", NAME_OF_TOKEN, UID, true));
    let found = [app.clone(), before];
    assert_eq!(owners(&found, Some(mine.clone())), [app.clone(), mine]);
    assert_eq!(owners(&found, None), [app]);
}
