//! What a caller may say: the fields that the RealtimeToken lists, on the wire as they were asked for, and no others.

use serde_json::json;

use super::{Site, said, token_of};

#[tokio::test]
async fn listed_fields_arrive_at_the_provider_and_others_are_refused_by_name() {
    let site = Site::new().await;
    let replica = site.replica(&[]).await;
    site.token(
        "voice",
        json!({
            "subject": "Required",
            "overridable": ["expirationSeconds", "openai.session.instructions"],
            "subjectRateLimit": {"requestsPerMinute": 600, "burst": 50},
        }),
    );
    let app = site.caller(&replica, "app", "voice").await;
    let ask = async |overrides: serde_json::Value| {
        let body = json!({"subject": "u_5f3a", "overrides": overrides});
        app.ask(body.to_string()).await.unwrap()
    };
    let answer = ask(json!({"expirationSeconds": 60, "openai": {"session": {"instructions": "Speak German."}}})).await;
    token_of(&answer);
    let call = site.standin.calls().pop().unwrap();
    assert_eq!(call.identity.as_deref(), Some("u_5f3a"));
    let body = call.json();
    assert_eq!(body["session"]["instructions"], "Speak German.");
    assert_eq!(body["session"]["audio"]["output"]["voice"], "marin", "the rest stays");
    assert_eq!(body["expires_after"]["seconds"], 60);
    // The next one is as the spec says.
    token_of(&ask(json!({})).await);
    let body = site.standin.calls().pop().unwrap().json();
    assert_eq!(body["session"]["instructions"], "Be brief.");
    assert_eq!(body["expires_after"]["seconds"], 600);

    let minted = site.standin.count();
    for (overrides, field) in [
        (json!({"openai": {"model": "gpt-realtime-mini"}}), "openai.model"),
        (
            json!({"openai": {"session": {"instructionsX": "x"}}}),
            "openai.session.instructionsX",
        ),
        (
            json!({"openai": {"endpoint": "https://evil.example"}}),
            "openai.endpoint",
        ),
        (json!({"credentials": {"secretRef": {"name": "other"}}}), "credentials"),
        (json!({"target": {"name": "other"}}), "target"),
        (json!({"requests": {"subject": "Ignored"}}), "requests"),
        (json!({"__proto__": {"x": 1}}), "__proto__"),
    ] {
        let answer = ask(overrides.clone()).await;
        assert_eq!(answer.status, 403, "{overrides}: {}", answer.body);
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains(field), "{overrides}: {detail}");
    }
    for overrides in [
        json!({"expirationSeconds": 5}),
        json!({"expirationSeconds": "60"}),
        json!({"expirationSeconds": 60.5}),
    ] {
        let answer = ask(overrides.clone()).await;
        assert_eq!(answer.status, 422, "{overrides}: {}", answer.body);
    }
    assert_eq!(site.standin.count(), minted, "the provider was asked for none of them");
    assert_eq!(said(&app.ask("").await.unwrap()).0, 422, "a subject is required");
    assert_eq!(site.standin.complaints(), [""; 0]);
    assert!(
        !replica.operator.logs().contains("u_5f3a"),
        "a subject is logged as its hash only"
    );
}
