//! The account side: where the key comes from, which headers go with it, and which of its changes change the tokens.

use futures::FutureExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::expect::{all, message};
use crate::world::{put_secret, world};

/// A Secret of the same name in the tenant's namespace is a trap, and the platform's key is what counts.
async fn the_key_is_the_platforms() {
    let case = world().await.case("platform-key").await;
    put_secret(&case.secrets(), case.provider(), "api-key", &case.spare_key).await;
    let old = case.lent(case.account()).await;
    case.platform_secrets()
        .delete(case.provider(), &DeleteParams::default())
        .await
        .unwrap();
    let status = case.not_renewed("voice", "CredentialNotFound", &old).await;
    let text = message(&status, "Renewing");
    let names_the_provider = format!("the key of ClusterRealtimeProvider {}", case.provider());
    assert!(text.contains(&names_the_provider), "{text}");
    let platform = case.world.platform.name();
    assert!(
        !text.contains(platform),
        "the platform's namespace is not the tenant's business: {text}"
    );
    case.create("new", case.tenant("new")).await;
    case.not_issued("new", "CredentialNotFound").await;
    case.settle().await;
    assert!(case.calls_of("new").is_empty(), "the tenant's Secret is not used");

    case.put_platform_key(&case.key).await;
    case.recovered("new", 1).await;
    case.recovered("voice", 1).await;
    case.assert_untouched(&old).await;
    for call in [case.calls_of("voice"), case.calls_of("new")].concat() {
        assert_eq!(call.api_key.as_ref(), Some(&case.key));
    }
    assert_eq!(case.calls().len(), 2);
    case.assert_strict();
}

/// Every token of the account, once each; a Secret written anew without a new key is nothing.
async fn a_rotated_key() {
    let case = world().await.case("rotated").await;
    let old = case.lent(case.account()).await;
    let names = ["voice", "two", "three"];
    for name in &names[1..] {
        case.create(name, case.tenant(name)).await;
        case.recovered(name, 1).await;
    }
    let labels = Patch::Merge(json!({"metadata": {"labels": {"team": "platform"}}}));
    case.platform_secrets()
        .patch(case.provider(), &PatchParams::default(), &labels)
        .await
        .unwrap();
    case.settle().await;
    case.recovered("voice", 1).await;
    case.assert_untouched(&old).await;
    assert_eq!(case.calls().len(), names.len(), "a label is no key");

    case.put_platform_key(&case.spare_key).await;
    for name in names {
        case.recovered(name, 2).await;
        let event = case.event(name, "CredentialRotated").await;
        assert_eq!(event.type_.as_deref(), Some("Normal"));
    }
    case.settle().await;
    for name in names {
        let keys: Vec<_> = case
            .calls_of(name)
            .into_iter()
            .map(|call| call.api_key.unwrap())
            .collect();
        assert_eq!(keys, [case.key.clone(), case.spare_key.clone()], "{name}");
    }
    case.assert_strict();
}

/// Organization and project travel as headers, so another one is another token, once.
async fn other_headers() {
    let case = world().await.case("headers").await;
    let mut account = case.account();
    account["openai"]["project"] = json!("proj-1");
    case.lent(account).await;
    assert_eq!(case.calls_of("voice")[0].header("openai-project"), Some("proj-1"));
    assert_eq!(case.calls_of("voice")[0].header("openai-organization"), None);
    case.patch_provider(json!({"openai": {"organization": "org-2"}})).await;
    case.recovered("voice", 2).await;
    // What the token isn't made of.
    case.patch_provider(json!({"rateLimit": {"requestsPerMinute": 600}, "policy": {"maxExpirationSeconds": 7200}}))
        .await;
    case.settle().await;
    case.recovered("voice", 2).await;
    let calls = case.calls_of("voice");
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[1].header("openai-organization"), Some("org-2"));
    assert_eq!(calls[1].header("openai-project"), Some("proj-1"));
    case.assert_strict();
}

#[tokio::test]
async fn keys_and_headers() {
    all(vec![
        ("platform's key", the_key_is_the_platforms().boxed_local()),
        ("rotated key", a_rotated_key().boxed_local()),
        ("headers", other_headers().boxed_local()),
    ])
    .await;
}

#[tokio::test]
async fn an_account_of_another_provider() {
    let case = world().await.case("mismatch").await;
    case.put_platform_key(&case.key).await;
    case.create_provider(case.account()).await;
    let spec = json!({
        "elevenlabs": {"kind": "SignedUrl", "agentId": "agent_1"},
        "credentials": {"providerRef": {"name": case.provider()}},
    });
    case.create("voice", spec).await;
    let status = case.not_issued("voice", "InvalidSpec").await;
    let text = message(&status, "Ready");
    assert!(
        text.contains(case.provider()) && text.contains("is not an account of elevenlabs"),
        "{text}"
    );
    // In a Secret of its own: of a changed key and a changed account the operator may see either first.
    let other_key = format!("{}-elevenlabs", case.provider());
    put_secret(&case.platform_secrets(), &other_key, "api-key", &case.xi_key).await;
    let elevenlabs = json!({
        "openai": null,
        "elevenlabs": {"endpoint": case.world.standin.url()},
        "credentials": {"secretRef": {"name": other_key}},
    });
    case.patch_provider(elevenlabs).await;
    case.revision("voice", 1).await;
    assert_eq!(case.calls().len(), 1);
    assert_eq!(case.calls()[0].api_key.as_ref(), Some(&case.xi_key));
    case.assert_strict();
}
