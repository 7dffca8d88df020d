//! Secrets that say where to ask for tokens: what the API server makes of who owns their keys, and a CA that changes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testkit::wait;

use crate::world::{Case, DEADLINE, World, annotation, data, outlive_the_interval};

const SERVING: &[&str] = &["--requests-listen", "127.0.0.1:0"];
const OF_CONNECTION: [&str; 2] = ["request-ca.crt", "request-url"];

fn requested(case: &Case<'_>, content: &str) -> Value {
    let mut spec = case.openai();
    spec["requests"] = json!({});
    spec["target"] = json!({"content": content});
    spec
}

fn keys(secret: &Secret) -> Vec<&str> {
    secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn is_connection(secret: &Secret) -> bool {
    keys(secret) == OF_CONNECTION
}

/// Who owns a key of the data.
fn owners(secret: &Secret, key: &str) -> Vec<String> {
    let entries = secret.metadata.managed_fields.iter().flatten();
    let owns = entries.filter(|entry| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| fields.0["f:data"].get(format!("f:{key}")).is_some())
    });
    owns.map(|entry| entry.manager.clone().unwrap_or_default()).collect()
}

/// Waits until the operator owns these keys, alone or with others that have written the same.
async fn owned(case: &Case<'_>, keys: &[&str]) -> Secret {
    let is_ours = |secret: &Secret, key: &&str| {
        owners(secret, key)
            .iter()
            .any(|owner| owner.starts_with("realtime-token-operator"))
    };
    case.secret_when("voice", |secret| keys.iter().all(|key| is_ours(secret, key)))
        .await
}

async fn edit(case: &Case<'_>, value: &str) {
    let patch = json!({"stringData": {"request-url": value}});
    let params = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    case.secrets()
        .patch("voice", &params, &Patch::Merge(patch))
        .await
        .unwrap();
}

/// Writes of the Secret by the operator.
fn writes(world: &World) -> Vec<String> {
    let mut requests = world.requests();
    requests.retain(|it| it.name == "voice" && it.resource == "secrets" && it.verb != "get");
    requests.into_iter().map(|request| request.verb).collect()
}

#[tokio::test]
async fn a_secret_says_where_to_ask_and_stays_so() {
    let world = World::with_own_operator("connection", SERVING).await;
    let case = world.case("connection").await;
    case.create("voice", requested(&case, "Connection")).await;
    case.condition("voice", "Ready", "True", "OnRequestOnly").await;
    let message = case.condition("voice", "Serving", "True", "RequestsServed").await;
    let secret = owned(&case, &OF_CONNECTION).await;
    assert!(is_connection(&secret), "{secret:?}");
    let (platform, namespace) = (world.platform.name(), case.namespace.name());
    let url = format!(
        "https://realtime-token-operator.{platform}.svc/v1alpha1/namespaces/{namespace}/realtimetokens/voice/token"
    );
    assert_eq!(data(&secret, "request-url"), url);
    assert!(message.contains(&url), "{message}");
    assert!(data(&secret, "request-ca.crt").starts_with("-----BEGIN CERTIFICATE-----"));
    assert_eq!(writes(&world), ["create"]);

    edit(&case, "https://elsewhere").await;
    case.secret_when("voice", |secret| data(secret, "request-url") == url)
        .await;
    // Changed back at once, so that the operator finds its own value in another's hands.
    edit(&case, "https://elsewhere").await;
    edit(&case, &url).await;
    let secret = owned(&case, &OF_CONNECTION).await;
    assert_eq!(data(&secret, "request-url"), url);
    case.settle().await;
    let before = writes(&world).len();
    for _ in 0..3 {
        case.settle().await;
    }
    assert_eq!(writes(&world).len(), before, "writes go on");
    assert_eq!(case.calls().len(), 0);
}

/// There is no token in between that a reader could take for one, and none is left behind.
#[tokio::test]
async fn from_a_token_to_a_connection_and_back() {
    let world = World::with_own_operator("contents", SERVING).await;
    let case = world.case("contents").await;
    case.create("voice", requested(&case, "Token")).await;
    let secret = owned(&case, &OF_CONNECTION).await;
    assert!(keys(&secret).contains(&"token.json"));
    outlive_the_interval(&secret).await;
    case.patch("voice", json!({"spec": {"target": {"content": "Connection"}}}))
        .await;
    let secret = case.secret_when("voice", is_connection).await;
    assert_eq!(annotation(&secret, "issued-at"), None);
    case.condition("voice", "Ready", "True", "OnRequestOnly").await;
    assert_eq!(writes(&world), ["create", "patch"]);
    case.patch("voice", json!({"spec": {"target": {"content": "Token"}}}))
        .await;
    case.revision("voice", 2).await;
    let secret = case
        .secret_when("voice", |secret| annotation(secret, "content").is_none())
        .await;
    assert!(
        OF_CONNECTION.iter().all(|key| keys(&secret).contains(key)),
        "{:?}",
        keys(&secret)
    );
    assert_eq!(data(&secret, "request-fallback"), "none");
    case.condition("voice", "Renewing", "False", "AwaitingRenewal").await;
    case.patch("voice", json!({"spec": {"requests": null}})).await;
    case.secret_when("voice", |secret| {
        // What is said of the token stays with it.
        keys(secret) == ["expires-at", "provider", "request-fallback", "token", "token.json"]
    })
    .await;
    assert_eq!(case.calls().len(), 2);
}

/// Another field manager owns everything in a restored Secret, with the values that it should have.
#[tokio::test]
async fn what_a_backup_brings_back_is_taken_over() {
    let world = World::with_own_operator("restored", SERVING).await;
    let case = world.case("restored").await;
    for (content, calls) in [("Connection", 0), ("Token", 1)] {
        case.create("voice", requested(&case, content)).await;
        let saved = owned(&case, &OF_CONNECTION).await;
        case.tokens().delete("voice", &DeleteParams::default()).await.unwrap();
        wait::until("the Secret's deletion", DEADLINE, async || {
            let gone = case.secrets().get_opt("voice").await?.is_none();
            if !gone {
                case.secrets().delete("voice", &DeleteParams::default()).await.ok();
            }
            Ok(gone.then_some(()))
        })
        .await
        .unwrap();
        let annotations: BTreeMap<_, _> = saved.annotations().clone();
        let restored: Secret = serde_json::from_value(json!({
            "metadata": {"name": "voice", "labels": saved.labels(), "annotations": annotations}, "data": saved.data,
        }))
        .unwrap();
        let velero = PostParams {
            field_manager: Some("velero-server".to_owned()),
            ..PostParams::default()
        };
        case.secrets().create(&velero, &restored).await.unwrap();
        let minted = case.calls().len();
        case.create("voice", requested(&case, content)).await;
        owned(&case, &OF_CONNECTION).await;
        case.secret_when("voice", |secret| secret.owner_references().len() == 1)
            .await;
        case.condition("voice", "Serving", "True", "RequestsServed").await;
        case.condition(
            "voice",
            "Ready",
            "True",
            if calls == 0 { "OnRequestOnly" } else { "Renewed" },
        )
        .await;
        assert_eq!(case.calls().len() - minted, calls, "{content}");
        case.settle().await;
        let before = writes(&world).len();
        for _ in 0..3 {
            case.settle().await;
        }
        assert_eq!(writes(&world).len(), before, "{content}: writes go on");
        case.tokens().delete("voice", &DeleteParams::default()).await.unwrap();
        case.secrets().delete("voice", &DeleteParams::default()).await.ok();
        wait::until("the Secret's deletion", DEADLINE, async || {
            Ok(case.secrets().get_opt("voice").await?.is_none().then_some(()))
        })
        .await
        .unwrap();
    }
}

/// A CA that is lost is made anew, and every Secret with requests says so.
#[tokio::test]
async fn a_new_ca_reaches_the_secrets() {
    let world = World::with_own_operator("new-ca", SERVING).await;
    let case = world.case("new-ca").await;
    case.create("voice", requested(&case, "Connection")).await;
    let first = data(&owned(&case, &OF_CONNECTION).await, "request-ca.crt");
    let secrets: Api<Secret> = world.platform.api();
    secrets
        .delete("realtime-token-operator-requests-tls", &DeleteParams::default())
        .await
        .unwrap();
    case.secret_when("voice", |secret| data(secret, "request-ca.crt") != first)
        .await;
    assert_eq!(case.calls().len(), 0);
}
