//! Metrics with authentication, on a real API server.

use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testkit::wait;

use crate::world::{DEADLINE, World};

#[tokio::test]
async fn metrics_are_for_those_whom_rbac_lets_read_them() {
    let world = World::with_own_operator("scraped", &["--metrics-auth"]).await;
    let case = world.case("scraped").await;
    let accounts: Api<ServiceAccount> = case.namespace.api();
    let account = json!({"metadata": {"name": "scraper"}});
    let account = serde_json::from_value(account).unwrap();
    accounts.create(&PostParams::default(), &account).await.unwrap();
    let namespace = case.namespace.name();
    let token = world.cluster.token_of(namespace, "scraper", &[]).await.unwrap();
    let for_others = world
        .cluster
        .token_of(namespace, "scraper", &["elsewhere"])
        .await
        .unwrap();

    let address = world.operator.lock().await.metrics_addr();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true);
    let client = client.build().unwrap();
    let scrape = async |bearer: &str| {
        let request = client.get(format!("https://{address}/metrics")).bearer_auth(bearer);
        request.send().await.unwrap()
    };
    assert!(
        client.get(format!("http://{address}/metrics")).send().await.is_err(),
        "in the clear"
    );
    assert_eq!(
        client
            .get(format!("https://{address}/metrics"))
            .send()
            .await
            .unwrap()
            .status(),
        401
    );
    for (bearer, status) in [("made-up", 401), (&*for_others, 401), (&*token, 403)] {
        assert_eq!(scrape(bearer).await.status(), status);
    }

    // What the chart makes, and what its reader's owner adds.
    let name = format!("{namespace}-metrics-reader");
    let role = json!({
        "metadata": {"name": name}, "rules": [{"nonResourceURLs": ["/metrics"], "verbs": ["get"]}],
    });
    let role: ClusterRole = serde_json::from_value(role).unwrap();
    let binding = json!({
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": "scraper", "namespace": namespace}],
    });
    let binding: ClusterRoleBinding = serde_json::from_value(binding).unwrap();
    let client = case.namespace.client();
    Api::all(client.clone())
        .create(&PostParams::default(), &role)
        .await
        .unwrap();
    Api::all(client).create(&PostParams::default(), &binding).await.unwrap();
    let text = wait::until("the right", DEADLINE, async || {
        let answer = scrape(&token).await.error_for_status()?;
        Ok(Some(answer.text().await?))
    });
    assert!(text.await.unwrap().contains("realtime_token_build_info"));
}
