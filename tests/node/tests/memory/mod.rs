//! Keys and tokens don't stay in the operator's memory. What docs/security.md says of it is measured here.

use std::path::Path;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use nodetests::built;
use nodetests::memory::{Needle, found};
use serde_json::json;
use testkit::cluster;
use testkit::front::Front;
use testkit::operator::Operator;
use testkit::standin::{self, Provider, StandIn};
use testkit::wait;

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

    let builder = Operator::builder(built::operator().unwrap(), cluster.kubeconfig());
    let mut operator = builder
        .namespace(platform.name())
        .arg(format!("--watch-namespaces={}", platform.name()))
        .arg("--no-cluster-providers")
        .arg("--leader-elect")
        .arg(format!("--allow-endpoint={origin}"))
        .arg("--ca-bundle")
        .arg(&ca)
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
        },
    });
    let token: DynamicObject = serde_json::from_value(token).unwrap();
    tokens.create(&PostParams::default(), &token).await.unwrap();
    let stored = wait::until("a token", Duration::from_secs(60), async || {
        let secret = secrets.get_opt("voice").await?;
        Ok(secret.and_then(|secret| secret.data?.get("token").cloned()))
    });
    let value = String::from_utf8(stored.await.unwrap().0).unwrap();

    let mut needles = Needle::of_secret("the key", KEY);
    needles.extend(Needle::of_secret("the token", &value));
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
