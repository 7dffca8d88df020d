//! What tokens of a ClusterRealtimeProvider may ask for.

use futures::FutureExt;
use serde_json::json;

use crate::expect::{all, message};
use crate::world::world;

#[tokio::test]
async fn models_by_pattern() {
    let case = world().await.case("models").await;
    let mut account = case.account();
    account["policy"] = json!({"allowedModels": ["gpt-realtime-2*", "exact", "what?", "[ab]c", "*-mini"]});
    case.put_platform_key(&case.key).await;
    case.create_provider(account).await;
    let allowed = [
        "gpt-realtime-2",
        "gpt-realtime-2.1",
        "exact",
        "what?",
        "[ab]c",
        "gpt-realtime-mini",
    ];
    let denied = [
        "gpt-realtime-1",
        "exactly",
        "inexact",
        "Exact",
        "whats",
        "what",
        "ac",
        "bc",
        "mini",
        "gpt-mini-x",
    ];
    let create = async |name: &str, model: &str| {
        let mut spec = case.tenant(name);
        spec["openai"]["model"] = json!(model);
        case.create(name, spec).await;
    };
    for (n, model) in allowed.iter().enumerate() {
        create(&format!("allowed-{n}"), model).await;
    }
    for (n, model) in denied.iter().enumerate() {
        create(&format!("denied-{n}"), model).await;
    }
    for (n, model) in denied.iter().enumerate() {
        let status = case.not_issued(&format!("denied-{n}"), "ModelNotAllowed").await;
        let text = message(&status, "Ready");
        assert!(
            text.starts_with(&format!("openai.model: {model} is not among")),
            "{text}"
        );
        assert!(text.contains("gpt-realtime-2*, exact, what?, [ab]c, *-mini"), "{text}");
    }
    for n in 0..allowed.len() {
        case.recovered(&format!("allowed-{n}"), 1).await;
    }
    assert_eq!(case.calls().len(), allowed.len());

    // A policy that changes is noticed, and takes no token away.
    let old = case.revision("allowed-0", 1).await;
    case.patch_provider(json!({"policy": {"allowedModels": ["gpt-realtime-1"]}}))
        .await;
    case.recovered("denied-0", 1).await;
    case.not_renewed("allowed-0", "ModelNotAllowed", &old).await;
    case.patch_provider(json!({"policy": {"allowedModels": ["none-such"]}}))
        .await;
    case.held_up("denied-0", "ModelNotAllowed").await;
    case.patch_provider(json!({"policy": null})).await;
    case.recovered("denied-1", 1).await;
    case.assert_strict();
}

async fn lives_of_openai() {
    let case = world().await.case("lives").await;
    let mut account = case.account();
    account["policy"] = json!({"maxExpirationSeconds": 900});
    case.put_platform_key(&case.key).await;
    case.create_provider(account).await;
    for (name, asked) in [
        ("default", None),
        ("less", Some(600)),
        ("equal", Some(900)),
        ("more", Some(901)),
    ] {
        let mut spec = case.tenant(name);
        if let Some(asked) = asked {
            spec["expirationSeconds"] = json!(asked);
        }
        case.create(name, spec).await;
    }
    let status = case.not_issued("more", "ExpirationNotAllowed").await;
    let text = message(&status, "Ready");
    assert!(
        text.contains("901") && text.contains("maxExpirationSeconds 900") && text.contains("ask for less"),
        "{text}"
    );
    for (name, granted) in [("default", 900), ("less", 600), ("equal", 900)] {
        case.recovered(name, 1).await;
        let calls = case.calls_of(name);
        assert_eq!(calls[0].json()["expires_after"]["seconds"], granted, "{name}");
    }
    assert!(case.calls_of("more").is_empty());

    case.patch_provider(json!({"policy": {"maxExpirationSeconds": 3600}}))
        .await;
    case.recovered("more", 1).await;
    // The default follows the maximum, up to half an hour: that is another token.
    case.recovered("default", 2).await;
    assert_eq!(case.calls_of("default")[1].json()["expires_after"]["seconds"], 1800);
    assert_eq!(case.calls_of("less").len(), 1);
    case.assert_strict();
}

/// ElevenLabs fixes the life of signed URLs, and does not tell that of conversation tokens before.
async fn lives_of_elevenlabs() {
    let case = world().await.case("fixed").await;
    put_elevenlabs_account(&case, 899).await;
    for kind in ["SignedUrl", "ConversationToken"] {
        let name = kind.to_lowercase();
        let spec = json!({
            "elevenlabs": {"kind": kind, "agentId": "agent_1"},
            "credentials": {"providerRef": {"name": case.provider()}},
        });
        case.create(&name, spec).await;
        let status = case.not_issued(&name, "ExpirationNotAllowed").await;
        assert!(
            message(&status, "Ready").contains("maxExpirationSeconds 899"),
            "{status:?}"
        );
    }
    assert!(case.calls().is_empty());
    case.patch_provider(json!({"policy": {"maxExpirationSeconds": 900}}))
        .await;
    case.revision("signedurl", 1).await;
    case.held_up("conversationtoken", "ExpirationNotAllowed").await;
    case.patch_provider(json!({"policy": {"maxExpirationSeconds": null}}))
        .await;
    case.revision("conversationtoken", 1).await;
    assert_eq!(case.calls().len(), 2);
    case.assert_strict();
}

async fn put_elevenlabs_account(case: &crate::world::Case<'_>, longest: i64) {
    case.put_platform_key(&case.xi_key).await;
    let account = json!({
        "elevenlabs": {"endpoint": case.world.standin.url()},
        "credentials": {"secretRef": {"name": case.provider()}},
        "namespaceSelector": {},
        "policy": {"maxExpirationSeconds": longest},
    });
    case.create_provider(account).await;
}

#[tokio::test]
async fn lives() {
    all(vec![
        ("openai", lives_of_openai().boxed_local()),
        ("elevenlabs", lives_of_elevenlabs().boxed_local()),
    ])
    .await;
}

#[tokio::test]
async fn endpoints_that_the_operator_was_not_told_of() {
    let case = world().await.case("endpoints").await;
    let mut account = case.account();
    // Listed is http with this port, and nothing else of the host.
    let listed = case.world.standin.url();
    let unlisted = [
        listed.replace("http:", "https:"),
        "http://127.0.0.1:9".to_owned(),
        "https://example.com".to_owned(),
    ];
    account["openai"]["endpoint"] = json!(unlisted[0]);
    case.put_platform_key(&case.key).await;
    case.create_provider(account).await;
    case.create("voice", case.tenant("voice")).await;
    for endpoint in &unlisted {
        case.patch_provider(json!({"openai": {"endpoint": endpoint}})).await;
        let names_it = |s: &realtime_token_operator::api::RealtimeTokenStatus| {
            !s.conditions.is_empty() && message(s, "Ready").contains(&format!("the endpoint {endpoint} is not allowed"))
        };
        let status = case.patiently("voice", names_it).await;
        assert!(message(&status, "Ready").contains("--allow-endpoint"), "{status:?}");
    }
    case.not_issued("voice", "EndpointNotAllowed").await;
    // The same of a namespace's own.
    let mut own = case.spec("own");
    own["openai"]["endpoint"] = json!("http://127.0.0.1:9");
    case.create("own", own).await;
    case.not_issued("own", "EndpointNotAllowed").await;
    assert!(case.calls().is_empty());
    case.patch_provider(json!({"openai": {"endpoint": listed}})).await;
    case.recovered("voice", 1).await;
    case.assert_strict();
}
