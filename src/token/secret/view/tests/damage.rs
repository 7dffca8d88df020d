//! What other writers have changed, as the status says it.

use super::*;

fn damage(change: impl FnOnce(&mut Value)) -> Option<String> {
    let mut secret = secret();
    change(&mut secret);
    ours(&secret).damage
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(damage(|_| {}), None);
    let sentences = [
        (
            damage(|it| it["labels"][MANAGED_BY] = json!("platform-team")),
            r#"label app.kubernetes.io/managed-by is "platform-team" and should be "realtime-token-operator""#,
        ),
        (
            damage(|it| it["labels"] = json!({MANAGED_BY: MANAGER})),
            r#"label realtime-token.dev/name is gone and should be "voice""#,
        ),
        (
            damage(|it| it["ownerReferences"] = json!([])),
            "its owner reference is gone",
        ),
        (
            damage(|it| it["annotations"][USABLE_UNTIL] = json!("tomorrow")),
            "annotation realtime-token.dev/usable-until is missing or damaged",
        ),
        (
            damage(|it| it["annotations"][REVISION] = json!("0")),
            "annotation realtime-token.dev/revision is missing or damaged",
        ),
        (
            damage(|it| it["managedFields"] = json!([writes(MANAGER, "Update", &["token", "token.json"])])),
            "another writer has changed its data (expires-at, provider)",
        ),
    ];
    for (found, expected) in sentences {
        assert_eq!(found.as_deref(), Some(expected));
    }
}

#[test]
fn all_that_is_wrong_is_named_in_one_sentence() {
    let both = damage(|it| {
        it["labels"][MANAGED_BY] = json!("x");
        it["ownerReferences"] = json!([]);
    });
    let both = both.unwrap();
    assert!(
        both.contains("managed-by") && both.ends_with("; its owner reference is gone"),
        "{both}"
    );
}

/// A patch that leaves a value as it is gives us no key, whether it is another manager's or nobody's.
#[test]
fn keys_that_are_not_ours_are_taken_over() {
    let keys: Vec<String> = OWN_KEYS.iter().map(|key| (*key).to_owned()).collect();
    let lacks = |fields: Value| {
        let mut secret = secret();
        secret["managedFields"] = fields;
        view_of(&meta(&secret)).lacks_ownership(keys.iter())
    };
    let some = &OWN_KEYS[1..];
    assert!(!lacks(json!([writes(MANAGER, "Update", &OWN_KEYS)])));
    assert!(lacks(json!([
        writes(MANAGER, "Update", some),
        writes("kubectl", "Update", &OWN_KEYS[..1])
    ])));
    assert!(lacks(json!([writes(MANAGER, "Update", some)])), "nobody's");
    assert!(!lacks(json!([])), "the API server tracks no fields");
}
