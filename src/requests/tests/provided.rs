//! What becomes of a request by what the provider, the key and the spec give.

use super::answers::optional;
use super::*;
use crate::testing::MintFault;

#[tokio::test(start_paused = true)]
async fn what_the_provider_does_becomes_a_status() {
    for (fault, expected, retry_after) in [
        (MintFault::Unavailable, (502, "ProviderUnavailable"), None),
        (
            MintFault::Throttled(Some(SignedDuration::from_secs(17))),
            (429, "RateLimited"),
            Some(17),
        ),
        (MintFault::QuotaExhausted, (429, "QuotaExhausted"), Some(240)),
        (MintFault::Rejected, (502, "MintFailed"), None),
        (MintFault::KeyRejected, (503, "CredentialRejected"), None),
        (MintFault::Hang, (504, "ProviderUnavailable"), None),
        (MintFault::Panic, (503, "MintFailed"), None),
    ] {
        let world = World::new(optional()).await;
        world.provider.fail_nth(1, fault);
        let began = tokio::time::Instant::now();
        let answer = world.ask(Value::Null).await;
        assert_eq!(answer.problem(), expected, "{fault:?}");
        assert!(began.elapsed() <= Duration::from_secs(25), "{fault:?}");
        assert_eq!(
            answer.headers.contains_key("retry-after"),
            retry_after.is_some(),
            "{fault:?}"
        );
        if let Some(seconds) = retry_after {
            assert_eq!(answer.retry_after(), seconds, "{fault:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_limited_credential_is_told_at_once_and_not_used() {
    let world = World::new(optional()).await;
    world
        .provider
        .fail_nth(1, MintFault::Throttled(Some(SignedDuration::from_secs(90))));
    world.ask(Value::Null).await;
    let began = tokio::time::Instant::now();
    let limited = world.ask(Value::Null).await;
    assert_eq!(limited.problem(), (429, "RateLimited"));
    assert!((88..=90).contains(&limited.retry_after()), "{limited:?}");
    assert!(began.elapsed() < Duration::from_secs(1));
    assert_eq!(world.provider.count(), 1);
    tokio::time::sleep(Duration::from_secs(limited.retry_after())).await;
    assert_eq!(world.ask(Value::Null).await.status, 201);
}

#[tokio::test(start_paused = true)]
async fn a_missing_key_and_a_wrong_spec_are_the_owners() {
    let world = World::new(optional()).await;
    world.api.delete("secrets", "shop", "openai");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (503, "CredentialNotFound"));
    world.edit(json!({"spec": {"credentials": {"secretRef": null, "providerRef": {"name": "none"}}}}));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ask(Value::Null).await.problem(), (503, "ProviderNotFound"));
}

/// What the operator's own namespace holds is not the tenant's to see, with a pool and without.
#[tokio::test(start_paused = true)]
async fn the_platforms_missing_key_is_not_described_to_callers() {
    for ready in [0, 3] {
        let world = World::new(json!({"subject": "Optional", "ready": ready})).await;
        world.api.create(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": "lent"},
            "spec": {"openai": {}, "credentials": {"secretRef": {"name": "canary-secret", "key": "canary-key"}},
                     "namespaceSelector": {}},
        }));
        world.edit(json!({"spec": {"credentials": {"secretRef": null, "providerRef": {"name": "lent"}}}}));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answer = world.ask(Value::Null).await;
        assert_eq!(answer.problem(), (503, "CredentialNotFound"));
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(
            detail.contains("ClusterRealtimeProvider lent") && !detail.contains("canary"),
            "{detail}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_ends_too_soon_is_not_handed_out() {
    let world = World::with(optional(), 29).await;
    let answer = world.ask(Value::Null).await;
    assert_eq!(answer.problem(), (502, "LifetimeTooShort"));
    assert!(
        answer.body["detail"]
            .as_str()
            .unwrap()
            .contains("minRemainingSeconds 30"),
        "{answer:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_token_that_serves_one_caller_is_not_handed_out_twice_even_if_the_provider_repeats_itself() {
    let world = World::new(optional()).await;
    assert_eq!(world.ask(Value::Null).await.token(), "token-1");
    world.provider.repeat(true);
    let again = world.ask(Value::Null).await;
    assert_eq!(again.problem(), (502, "MintFailed"));
    // One that may be shared may be.
    world.edit(json!({"spec": {"openai": {"reuse": "Multiple"}}}));
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.ask(Value::Null).await.token(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn tokens_that_are_signed_here_differ_too() {
    let world = World::new(json!({"subject": "Optional", "ready": 3})).await;
    let keys = json!({"LIVEKIT_API_KEY": "a2V5", "LIVEKIT_API_SECRET": "c2VjcmV0"});
    world.api.edit("secrets", "shop", "openai", &json!({"data": keys}));
    let livekit =
        json!({"url": "wss://example.livekit.cloud", "identity": "bot", "video": {"room": "r", "roomJoin": true}});
    let credentials = json!({"secretRef": {"name": "openai", "key": null}});
    world.edit(json!({"spec": {"openai": null, "livekit": livekit, "credentials": credentials}}));
    world.provider.sign();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let first = world.ask(Value::Null).await;
    let began = tokio::time::Instant::now();
    let second = world.ask(Value::Null).await;
    assert_ne!(first.token(), second.token());
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(world.metric("request_pool_ready{"), 0.0, "a signature takes no time");
}

/// The policy holds for what a caller overrides, and nothing is minted to find out.
#[tokio::test(start_paused = true)]
async fn no_caller_has_a_room_of_another_tenant() {
    let requests = json!({"subject": "Optional", "overridable": ["livekit.video.room"]});
    let api = cluster(requests);
    api.create(json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "livekit", "namespace": "operator"},
        "data": {"LIVEKIT_API_SECRET": "c2VjcmV0", "LIVEKIT_API_KEY": "QVBJa2V5"},
    }));
    api.create(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": "livekit"},
        "spec": {
            "livekit": {}, "credentials": {"secretRef": {"name": "livekit", "key": "LIVEKIT_API_SECRET"}},
            "namespaceSelector": {}, "policy": {"allowedRooms": ["{{ namespace }}_*"]},
        },
    }));
    let lent = json!({
        "openai": null, "livekit": {"identity": "kiosk", "video": {"roomJoin": true, "room": "shop_lobby"}},
        "credentials": {"secretRef": null, "providerRef": {"name": "livekit"}},
    });
    api.edit("realtimetokens", "shop", "voice", &json!({"spec": lent}));
    let world = World::start(api, FakeProvider::new(SignedDuration::from_secs(600)));
    while world.health.unready().is_some() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let in_room = async |room: &str| {
        let overrides = json!({"livekit": {"video": {"room": room}}});
        world.ask(json!({"overrides": overrides})).await
    };
    assert_eq!(world.ask(Value::Null).await.status, 201);
    assert_eq!(in_room("shop_office").await.status, 201);
    for room in ["shop-b_lobby", "other_lobby", "shop", ""] {
        assert_eq!(in_room(room).await.problem(), (422, "FieldNotAllowed"), "{room}");
    }
    assert_eq!(world.provider.count(), 2);
}
