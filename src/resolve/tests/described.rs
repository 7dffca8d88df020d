//! Accounts that describe the whole request or token: a RealtimeToken fills in params and nothing else.

use super::*;

fn described() -> Value {
    json!({
        "http": {
            "name": "fal", "endpoint": "https://gateway.example.com",
            "request": {"path": "/tokens/{{ params.app }}", "json": {"ttl": "{{ ttlSeconds }}", "id": "{{ keyId }}"}},
            "ttl": {"minSeconds": 3000, "maxSeconds": 3600},
            "response": {"token": "/token", "expiry": [{"from": "Ttl"}]},
            "reuse": "Single",
        },
        "credentials": {"secretRef": {"name": "platform-key"}},
        "namespaceSelector": {},
    })
}

#[test]
fn a_token_brings_params_and_nothing_else() {
    let found = borrowed(&json!({"http": {"params": {"app": "a"}}}), &described()).unwrap();
    let provider = found.ask.block.provider();
    assert_eq!(provider.published(), "fal");
    assert!(provider.single_use().is_some());
    let keys: Vec<_> = provider.secret_fields().iter().map(|field| field.key).collect();
    assert_eq!(keys, ["api-key", "key-id"]);
    assert_eq!(key_of(&found).key, "api-key");
    // No shorter than the provider grants.
    assert_eq!(found.ask.expiration.as_secs(), 3000);

    for (block, text) in [
        (
            json!({"http": {}}),
            "http.params.app: used by a placeholder and not set",
        ),
        (
            json!({"http": {"params": {"app": "a", "b": "c"}}}),
            "http.params.b: nothing uses it",
        ),
        (json!({"http": {"params": {"app": ".."}}}), "would leave the path"),
        (
            json!({"http": {"params": {"app": "a"}, "reuse": "Multi"}}),
            "remove them here",
        ),
    ] {
        let reason = refused(borrowed(&block, &described()), text);
        assert_eq!(reason, Reason::InvalidSpec, "{block}");
    }
}

/// Whether a client secret of OpenAI starts several sessions is known to whoever has the account or the gateway.
#[test]
fn the_account_says_how_often_a_token_may_be_used() {
    let account = |openai: Value| {
        json!({
            "openai": openai,
            "credentials": {"secretRef": {"name": "platform-key"}},
            "namespaceSelector": {},
        })
    };
    let single_use = |openai: Value| {
        let found = borrowed(&json!({"openai": {"model": "m"}}), &account(openai)).unwrap();
        found.ask.block.provider().single_use().is_some()
    };
    assert!(single_use(json!({})));
    assert!(!single_use(json!({"reuse": "Multiple"})));
}

#[test]
fn lives_are_held_against_the_description() {
    let jwt = |seconds: i64| {
        let jwt = json!({"algorithm": "HS256", "claims": {}, "maxSeconds": 600});
        with_own_key(&json!({"jwt": jwt, "expirationSeconds": seconds}))
    };
    assert!(resolved(&jwt(600), None).is_ok());
    assert_eq!(refused(resolved(&jwt(601), None), "1 to 600"), Reason::InvalidSpec);
}
