//! The process: how it ends, and what it never says.

use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use testkit::standin::Fault;

use crate::world::{Case, World};

/// What a pod is given by default.
const GRACE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn sigterm_ends_it_cleanly_and_soon() {
    let world = World::with_own_operator("term", &[]).await;
    let case = world.case("term").await;
    case.create("voice", case.openai()).await;
    case.revision("voice", 1).await;
    let mut operator = world.operator.lock().await;
    operator.sigterm().unwrap();
    let status = operator.wait_exit(GRACE).await.unwrap();
    assert!(status.success(), "{status}\n{}", operator.logs());
    assert!(operator.logs().contains("stopped"));
}

/// A keyless token whose exchange is refused and one whose isn't. Returns the tokens of the ServiceAccount and the access
/// tokens.
async fn exchanges_tokens(case: &Case<'_>) -> Vec<String> {
    let standin = &case.world.standin;
    let (issuer, jwks) = case.world.cluster.issuer().await.unwrap();
    let subject = format!("system:serviceaccount:{}:default", case.namespace.name());
    let accounts: Api<ServiceAccount> = case.namespace.api();
    let account = json!({"metadata": {"name": "default"}});
    let account = serde_json::from_value(account).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let mut spec = case.openai();
    spec["credentials"] = json!({"workloadIdentity": {
        "serviceAccountName": "default",
        "openai": {"identityProviderId": "i", "serviceAccountId": "s", "endpoint": standin.origin("exchange")},
    }});
    case.create("untrusted", spec.clone()).await;
    case.status_when("untrusted", |status| status.failed_mint_attempts.is_some())
        .await;
    standin.trust(&issuer, jwks, [subject]);
    case.create("keyless", spec).await;
    case.revision("keyless", 1).await;
    let exchanged = standin.exchanged();
    assert!(exchanged.len() >= 3, "{}", exchanged.len());
    exchanged
}

/// Keys and tokens are looked for in everything the operator says, at trace level, with a provider that repeats the
/// key in its refusals.
#[tokio::test]
async fn no_key_and_no_token_is_ever_told() {
    let world = World::with_own_operator("canary", &["--log", "trace"]).await;
    let case = world.case("canary").await;
    case.create("good", case.openai()).await;
    case.create("url", case.elevenlabs("SignedUrl")).await;
    case.create("webrtc", case.elevenlabs("ConversationToken")).await;
    for name in ["good", "url", "webrtc"] {
        case.revision(name, 1).await;
    }
    let mut templated = case.openai();
    templated["target"] = json!({"template": {"data": {".env": "TOKEN={{ token }}"}}});
    case.create("templated", templated).await;
    case.revision("templated", 1).await;
    let exchanged = exchanges_tokens(&case).await;
    let faults = [
        Fault::status(401),
        Fault::status(400),
        Fault::throttled(1),
        Fault::Garbage,
        Fault::MissingExpiry,
        Fault::ExpiryAbsurd,
        Fault::Reset,
    ];
    for (n, fault) in faults.into_iter().enumerate() {
        let name = format!("bad-{n}");
        world.standin.heal();
        case.fail(fault);
        case.create(&name, case.openai()).await;
        case.status_when(&name, |s| s.failed_mint_attempts.is_some_and(|failed| failed > 0))
            .await;
    }

    let mut secrets: Vec<String> = world.standin.issued();
    assert!(secrets.len() >= 4);
    // A signed URL is secret by its signature.
    secrets.extend(
        secrets
            .clone()
            .iter()
            .filter_map(|token| token.split_once("conversation_signature=").map(|(_, s)| s.to_owned())),
    );
    secrets.extend([case.key.clone(), case.xi_key.clone()]);
    secrets.extend(exchanged);
    let encoded = |secret: &String| {
        json!(k8s_openapi::ByteString(secret.as_bytes().to_vec()))
            .as_str()
            .unwrap()
            .to_owned()
    };
    secrets.extend(secrets.clone().iter().map(encoded));

    let events: Api<Event> = case.namespace.api();
    let operator = world.operator.lock().await;
    let said = [
        ("logs", operator.logs()),
        ("metrics", operator.metrics().await.unwrap()),
        (
            "events",
            format!("{:?}", events.list(&ListParams::default()).await.unwrap().items),
        ),
        (
            "resources",
            format!("{:?}", case.tokens().list(&ListParams::default()).await.unwrap().items),
        ),
    ];
    for (where_, text) in said {
        assert!(text.len() > 100, "{where_} are there to be looked at");
        let leaked = secrets.iter().position(|secret| text.contains(secret.as_str()));
        assert_eq!(leaked, None, "{where_} hold a secret");
    }
}
