//! Each tenant brings a key of its own, and may refer to others without end: neither costs connections.
//!
//! `KEYS=10000` tries it with as many and prints what the operator needs; without it the test takes as many as a run of
//! all tests has time for.

use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::core::PartialObjectMeta;
use kube::{Api, Client};
use realtime_token_operator::api::RealtimeToken;
use serde_json::json;
use testkit::wait;

use crate::world::{Case, DEADLINE, World, annotation, put_secret};

const KEYS: usize = 300;
/// What the operator may have open at rest: it has ten or twenty files, watches and listeners, and the connections that
/// its last requests have left are closed after a minute and a half.
const FILES: usize = 100;
const EDITS: usize = 200;

fn namespace(n: usize) -> String {
    format!("tenant-{n}")
}

/// A namespace with a key Secret `openai` and a RealtimeToken `voice`.
async fn create_tenant(case: &Case<'_>, client: &Client, n: usize) {
    let name = namespace(n);
    let made = json!({"metadata": {"name": name}});
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces
        .create(&PostParams::default(), &serde_json::from_value(made).unwrap())
        .await
        .unwrap();
    put_secret(&Api::namespaced(client.clone(), &name), "openai", "api-key", &case.key).await;
    let token = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "voice"},
        "spec": case.openai(),
    });
    Api::<RealtimeToken>::namespaced(client.clone(), &name)
        .create(&PostParams::default(), &serde_json::from_value(token).unwrap())
        .await
        .unwrap();
}

/// How many target Secrets there are.
async fn stored(client: &Client) -> usize {
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=realtime-token-operator");
    let secrets: Api<PartialObjectMeta<Secret>> = Api::all(client.clone());
    secrets.list(&ours).await.unwrap().items.len()
}

#[tokio::test]
async fn keys_in_many_namespaces_cost_few_files() {
    let keys = std::env::var("KEYS").map_or(KEYS, |keys| keys.parse().unwrap());
    let world = World::with_own_cluster().await;
    let case = world.case("keys").await;
    let client = world.cluster.client().await.unwrap();
    let operator = world.operator.lock().await;
    let before = (operator.open_files().unwrap(), operator.rss_bytes().unwrap() >> 20);
    let patience = DEADLINE + Duration::from_millis(200) * u32::try_from(keys).unwrap();
    let create = futures::stream::iter(0..keys).for_each_concurrent(16, |n| create_tenant(&case, &client, n));
    let mut most = 0;
    tokio::join!(create, async {
        wait::until("a token for each tenant", patience, async || {
            most = most.max(operator.open_files()?);
            let issued = world.standin.issued().len();
            anyhow::ensure!(issued >= keys, "{issued} of {keys}");
            Ok(Some(()))
        })
        .await
        .unwrap();
    });
    wait::until("a Secret for each tenant", patience, async || {
        Ok((stored(&client).await == keys).then_some(()))
    })
    .await
    .unwrap();

    // Whose references change all the time.
    let tokens: Api<RealtimeToken> = Api::namespaced(client.clone(), &namespace(1));
    let refer = async |name: String| {
        let patch = Patch::Merge(json!({"spec": {"credentials": {"secretRef": {"name": name}}}}));
        tokens.patch("voice", &PatchParams::default(), &patch).await.unwrap();
    };
    for edit in 0..EDITS {
        refer(format!("key-{edit}")).await;
    }
    refer("openai".to_owned()).await;
    wait::until("few open files", patience + 2 * DEADLINE, async || {
        let files = operator.open_files()?;
        anyhow::ensure!(files < FILES, "{files} files");
        Ok(Some(()))
    })
    .await
    .unwrap();
    println!(
        "{keys} keys: {} files (before: {}, most: {most}), {} MiB (before: {})",
        operator.open_files().unwrap(),
        before.0,
        operator.rss_bytes().unwrap() >> 20,
        before.1
    );

    // A changed key is noticed all the same.
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &namespace(keys - 1));
    put_secret(&secrets, "openai", "api-key", &case.spare_key).await;
    wait::object_when(&secrets, "voice", DEADLINE, |secret: &Secret| {
        annotation(secret, "revision").map(String::as_str) == Some("2")
    })
    .await
    .unwrap();
}
