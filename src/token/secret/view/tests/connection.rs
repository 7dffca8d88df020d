//! Secrets that say where to ask for tokens, beside a token or instead of one.

use super::*;

const KEYS: [&str; 2] = ["request-url", "request-ca.crt"];

fn connection() -> BTreeMap<String, ByteString> {
    KEYS.map(|key| (key.to_owned(), ByteString(b"x".to_vec()))).into()
}

fn target(content: TargetContent) -> Target {
    Target {
        content,
        ..Target::default()
    }
}

fn seen_as(secret: &Value, content: TargetContent) -> Stored {
    match view_of(&meta(secret)).seen_by(NAME_OF_TOKEN, UID, &target(content), &connection()) {
        TargetState::Ours(stored) => *stored,
        other => panic!("{other:?}"),
    }
}

/// A token's Secret that says where to ask as well.
fn both() -> Value {
    let mut secret = secret();
    secret["managedFields"] = json!([writes(MANAGER, "Update", &[&OWN_KEYS[..], &KEYS].concat())]);
    secret
}

/// A Secret that only says where to ask.
fn only_connection() -> Value {
    let mut secret = secret();
    secret["annotations"] = json!({CONTENT: CONNECTION, METADATA_HASH: "desired"});
    secret["managedFields"] = json!([writes(MANAGER, "Update", &KEYS)]);
    secret
}

#[test]
fn as_they_were_written() {
    let stored = seen_as(&both(), TargetContent::Token);
    assert!(stored.intact && stored.issued.is_some(), "{stored:?}");
    assert_eq!(
        (stored.metadata_hash.as_deref(), stored.damage),
        (Some("desired"), None)
    );
    let stored = seen_as(&only_connection(), TargetContent::Connection);
    assert!(stored.intact && stored.issued.is_none(), "{stored:?}");
    assert_eq!(
        (stored.metadata_hash.as_deref(), stored.damage),
        (Some("desired"), None)
    );
    assert_eq!(stored.content, TargetContent::Connection);
}

/// The token is none that has to be replaced: the connection is written again.
#[test]
fn a_lost_key_of_the_connection_is_no_edit_of_the_token() {
    for lost in 0..2 {
        let kept = &KEYS[1 - lost..2 - lost];
        let mut secret = both();
        secret["managedFields"] = json!([
            writes(MANAGER, "Update", &[&OWN_KEYS[..], kept].concat()),
            writes("kubectl-edit", "Update", &KEYS[lost..=lost]),
        ]);
        let stored = seen_as(&secret, TargetContent::Token);
        assert!(stored.intact && stored.issued.is_some());
        assert_eq!(stored.metadata_hash, None);
        assert!(stored.damage.unwrap().contains(KEYS[lost]));

        let mut secret = only_connection();
        secret["managedFields"] = json!([writes(MANAGER, "Update", kept)]);
        let stored = seen_as(&secret, TargetContent::Connection);
        assert!(!stored.intact && stored.metadata_hash.is_none());
    }
}

#[test]
fn one_that_held_the_other_is_not_as_it_should_be() {
    let stored = seen_as(&both(), TargetContent::Connection);
    assert!(!stored.intact && stored.issued.is_none() && stored.renewal_time.is_none());
    assert_eq!((stored.metadata_hash, stored.content), (None, TargetContent::Token));
    let stored = seen_as(&only_connection(), TargetContent::Token);
    assert!(!stored.intact && stored.issued.is_none());
    assert_eq!(stored.content, TargetContent::Connection);
}

/// A token comes back in two writes, and the process may die between them: the token is there.
#[test]
fn one_between_two_writes_holds_a_token() {
    let mut secret = both();
    secret["annotations"][CONTENT] = json!(CONNECTION);
    let stored = seen_as(&secret, TargetContent::Token);
    assert!(stored.intact && stored.issued.is_some());
    assert_eq!(stored.content, TargetContent::Token);
    assert_eq!(seen_as(&secret, TargetContent::Connection).metadata_hash, None);
}

/// Retained, or restored from a backup that has lost the owner and whose label a policy has rewritten.
#[test]
fn a_connection_without_owner_is_recognized() {
    let mut secret = only_connection();
    secret["ownerReferences"] = json!([]);
    secret["labels"][MANAGED_BY] = json!("Velero");
    let stored = seen_as(&secret, TargetContent::Connection);
    assert_eq!(stored.metadata_hash, None, "owner and label are to be written");
    secret["annotations"] = json!({});
    let foreign =
        view_of(&meta(&secret)).seen_by(NAME_OF_TOKEN, UID, &target(TargetContent::Connection), &connection());
    assert!(matches!(foreign, TargetState::Foreign(_)));
}

#[test]
fn what_goes_and_what_stays() {
    let none = BTreeMap::new();
    let sorted = |mut keys: Vec<String>| {
        keys.sort();
        keys.dedup();
        keys
    };
    let obsolete = |secret: &Value, content, connection: &BTreeMap<_, _>| {
        sorted(view_of(&meta(secret)).obsolete_keys(content, connection))
    };
    assert_eq!(obsolete(&both(), TargetContent::Token, &connection()), [""; 0]);
    assert_eq!(
        obsolete(&both(), TargetContent::Token, &none),
        ["request-ca.crt", "request-url"]
    );
    assert_eq!(obsolete(&secret(), TargetContent::Token, &none), [""; 0]);
    // Also what is not ours any more.
    let mut edited = both();
    edited["annotations"][FURTHER_KEYS] = json!("username,password");
    edited["managedFields"] = json!([
        writes(MANAGER, "Update", &["token.json", ".env", "request-url"]),
        writes("kubectl-edit", "Update", &["token", "note"]),
    ]);
    let gone = [
        ".env",
        "expires-at",
        "password",
        "provider",
        "token",
        "token.json",
        "username",
    ];
    assert_eq!(obsolete(&edited, TargetContent::Connection, &connection()), gone);

    // A new token leaves the connection as it is.
    let token_keys = OWN_KEYS.map(|key| (key.to_owned(), ())).into();
    assert_eq!(view_of(&meta(&both())).stale_keys(&token_keys).count(), 0);
}
