//! Keys, tokens and the credentials of those who ask don't stay in the operator's memory. What docs/security.md says of it
//! is measured here.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use nodetests::built;
use nodetests::memory::{Needle, found};
use serde_json::json;
use testkit::caller::Caller;
use testkit::cluster::{self, Cluster, Namespace};
use testkit::front::Front;
use testkit::operator::Operator;
use testkit::standin::{self, Provider, StandIn};
use testkit::{ports, wait};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
/// docs/security.md: a key is kept for a minute after its use, a connection that rests for a minute and a half.
const GONE_WITHIN: Duration = Duration::from_secs(120);
const KEY: &str = "sk-test-Hq7Zt2LmW9xKc4Vb8NdR";

#[tokio::test(flavor = "multi_thread")]
async fn neither_key_nor_token_stays_in_memory() {
    let cluster = cluster::shared(None).await.unwrap();
    cluster.apply_crds(Path::new(ROOT).join("crds")).await.unwrap();
    let platform = cluster.namespace("memory").await.unwrap();
    let standin = StandIn::start(standin::Options::default()).unwrap();
    standin.accept_keys(Provider::OpenAi, [KEY]);
    let front = Front::start(standin.addr(), "localhost").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, &front.ca).unwrap();
    let origin = format!("https://localhost:{}", front.addr.port());

    let requests = ports::free().unwrap();
    let builder = Operator::builder(built::operator().unwrap(), cluster.kubeconfig());
    let mut operator = builder
        .namespace(platform.name())
        .arg(format!("--watch-namespaces={}", platform.name()))
        .arg("--no-cluster-providers")
        .arg("--leader-elect")
        .arg(format!("--allow-endpoint={origin}"))
        .arg("--ca-bundle")
        .arg(&ca)
        .arg(format!("--requests-listen={requests}"))
        .env("NO_PROXY", "127.0.0.1,localhost")
        .start()
        .unwrap();
    operator.wait_ready().await.unwrap();

    let secrets: Api<Secret> = platform.api();
    let key = json!({"metadata": {"name": "openai"}, "stringData": {"api-key": KEY}});
    let key: Secret = serde_json::from_value(key).unwrap();
    secrets.create(&PostParams::default(), &key).await.unwrap();
    let kind = GroupVersionKind::gvk("realtime-token.dev", "v1alpha1", "RealtimeToken");
    let tokens: Api<DynamicObject> =
        Api::namespaced_with(platform.client(), platform.name(), &ApiResource::from_gvk(&kind));
    let token = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "voice"},
        "spec": {
            "openai": {"model": "gpt-realtime-2.1", "endpoint": origin},
            "credentials": {"secretRef": {"name": "openai", "key": "api-key"}},
            "target": {"template": {"data": {".env": "TOKEN={{ token }}"}}},
            "requests": {"subject": "Required"},
        },
    });
    let token: DynamicObject = serde_json::from_value(token).unwrap();
    tokens.create(&PostParams::default(), &token).await.unwrap();
    let stored = wait::until("a token", Duration::from_secs(60), async || {
        let secret = secrets.get_opt("voice").await?;
        let data = secret.and_then(|secret| secret.data);
        let text = |key: &str| Some(String::from_utf8(data.as_ref()?.get(key)?.0.clone()).unwrap());
        Ok(text("token").zip(text("request-ca.crt")))
    });
    let (value, request_ca) = stored.await.unwrap();
    let bearer = application(cluster, &platform).await;
    let handed_out = {
        let caller = Caller::new(requests, &request_ca, platform.name(), "voice", &bearer).unwrap();
        let answer = caller.ask(json!({"subject": "user-1"}).to_string()).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.body["token"].as_str().unwrap().to_owned()
    };
    assert_ne!(handed_out, value);

    let mut needles = Needle::of_secret("the key", KEY);
    needles.extend(Needle::of_secret("the token", &value));
    needles.extend(Needle::of_secret("the token on request", &handed_out));
    needles.extend(Needle::of_secret("the caller's credential", &bearer));
    let minted = Instant::now();
    let at_first = found(operator.pid(), &needles).unwrap();
    for kept in ["the key at", "the token at"] {
        assert!(
            at_first.iter().any(|it| it.starts_with(kept)),
            "nothing could be found: {at_first:?}"
        );
    }
    let mut left = at_first;
    while !left.is_empty() {
        let seconds = minted.elapsed().as_secs();
        println!("{seconds:3} s: {} places, {:?}", left.len(), left);
        assert!(
            minted.elapsed() < GONE_WITHIN,
            "after {seconds} s there is still {left:#?}"
        );
        tokio::time::sleep(Duration::from_secs(1)).await; // what is awaited is time itself
        left = found(operator.pid(), &needles).unwrap();
    }
    println!("gone after {} s", minted.elapsed().as_secs());
}

/// A ServiceAccount that may ask for tokens on request; its credential.
async fn application(cluster: &Cluster, namespace: &Namespace) -> String {
    let post = PostParams::default();
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "app"}})).unwrap();
    namespace.api().create(&post, &account).await.unwrap();
    let rule = json!({
        "apiGroups": ["realtime-token.dev"], "resources": ["realtimetokens/token"], "verbs": ["create"],
    });
    let role: Role = serde_json::from_value(json!({"metadata": {"name": "ask"}, "rules": [rule]})).unwrap();
    namespace.api().create(&post, &role).await.unwrap();
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "ask"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ask"},
        "subjects": [{"kind": "ServiceAccount", "name": "app"}],
    }))
    .unwrap();
    namespace.api().create(&post, &binding).await.unwrap();
    let token = cluster.token_of(namespace.name(), "app", &["realtime-token.dev"]);
    token.await.unwrap()
}
