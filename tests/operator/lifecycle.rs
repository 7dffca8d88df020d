//! From the resource to the Secret, and from one token to the next.

use jiff::Timestamp;
use serde_json::json;
use testkit::standin::Provider;

use crate::world::{annotation, data, holds, token_json, world};

#[tokio::test]
async fn a_new_resource_gets_a_secret_whose_keys_agree() {
    let case = world().await.case("first").await;
    let mut spec = case.openai();
    spec["openai"]["reuse"] = json!("Multiple");
    case.create("voice", spec).await;
    let secret = case.revision("voice", 1).await;

    let calls = case.calls();
    assert_eq!(calls.len(), 1, "one mint");
    let issued = calls[0].token.clone().unwrap();
    let json = token_json(&secret);
    assert_eq!(json["token"], issued);
    assert_eq!(json["provider"], "openai");
    assert_eq!(data(&secret, "token"), issued);
    assert_eq!(data(&secret, "provider"), "openai");
    let expires: Timestamp = data(&secret, "expires-at").parse().unwrap();
    assert_eq!(json["expiresAt"], json!(expires.as_millisecond()));
    assert_eq!(annotation(&secret, "expires-at").unwrap(), &data(&secret, "expires-at"));
    let text = data(&secret, "token.json");
    let expected = format!(
        r#"{{"provider":"openai","token":"{issued}","expiresAt":{},"config":{{"model":"gpt-realtime-2.1"}}}}"#,
        expires.as_millisecond()
    );
    assert_eq!(text, expected, "as JSON.stringify of TanStack's RealtimeToken");

    let status = case.status_when("voice", |s| holds(s, "Ready", "True", "Issued")).await;
    assert!(holds(&status, "Renewing", "False", "AwaitingRenewal"));
    assert!(holds(&status, "FreshnessGuaranteed", "True", "LifetimeSufficient"));
    assert_eq!(status.revision, Some(1));
    assert_eq!(status.provider.as_deref(), Some("openai"));
    case.event("voice", "Issued").await;
}

#[tokio::test]
async fn what_openai_hands_out_serves_one_session_unless_the_spec_says_otherwise() {
    let case = world().await.case("reuse").await;
    case.create("voice", case.openai()).await;
    case.revision("voice", 1).await;
    case.condition("voice", "FreshnessGuaranteed", "False", "SingleUseToken")
        .await;
    case.event("voice", "SingleUseToken").await;
    // Said of the token that is there: none is minted for it.
    case.patch("voice", json!({"spec": {"openai": {"reuse": "Multiple"}}}))
        .await;
    case.condition("voice", "FreshnessGuaranteed", "True", "LifetimeSufficient")
        .await;
    assert_eq!(case.calls().len(), 1);
}

#[tokio::test]
async fn elevenlabs_signed_urls_and_conversation_tokens() {
    let case = world().await.case("eleven").await;
    world().await.standin.set_life(Provider::ElevenLabs, Some(900));
    case.create("url", case.elevenlabs("SignedUrl")).await;
    case.create("webrtc", case.elevenlabs("ConversationToken")).await;
    let url = case.revision("url", 1).await;
    assert_eq!(
        token_json(&url)["config"],
        json!({"providerOptions": {"agentId": "agent_1"}})
    );
    assert!(
        data(&url, "token").starts_with("wss://api.elevenlabs.io/"),
        "{}",
        data(&url, "token").len()
    );
    case.condition("url", "FreshnessGuaranteed", "True", "LifetimeSufficient")
        .await;
    case.revision("webrtc", 1).await;
    case.condition("webrtc", "FreshnessGuaranteed", "False", "SingleUseToken")
        .await;
}
