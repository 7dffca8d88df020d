//! Tokens on request with the rights of the chart, confined to a namespace: an application asks, `helm test` asks, and of
//! the rights that `requests.enabled` adds none is left over.

use std::net::SocketAddr;
use std::process::Command;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::caller::Caller;
use testkit::cluster::Options;
use testkit::helm::{Helm, Major};
use testkit::operator::Operator;
use testkit::{ports, wait};

use super::grants::{forbidden, granted, unused};
use super::setup::{BINARY, RELEASE, Setup, run};
use super::tenant::{SOON, Tenant};

const NAMESPACE: &str = "operators";
const CERTIFICATE: &str = "realtime-token-operator-requests-tls";
const ROLE: &str = include_str!("../../../examples/requests/role.yaml");
const TOKEN: &str = include_str!("../../../examples/requests/realtime-token.yaml");

#[tokio::test]
async fn pods_ask_with_a_role_and_the_operator_with_the_charts_rights() {
    let setup = Setup::start(Options {
        audit: true,
        ..Options::default()
    })
    .await;
    setup.namespace(NAMESPACE, json!({})).await;
    let shop = setup.tenant("shop").await;
    let helm = setup.helm(Major::Four);
    let values = json!({
        "requests": {"enabled": true}, "helmTest": {"realtimeToken": "shop/users"},
        "watchNamespaces": ["shop"], "clusterProviders": false,
    });
    setup.install(&helm, NAMESPACE, &values);
    let address = ports::free().unwrap();
    let operator = operator(&setup, address).await;
    apply(&setup, &shop, ROLE);
    let mut token: Value = serde_saphyr::from_str(TOKEN).unwrap();
    token["spec"]["openai"]["endpoint"] = json!(setup.standin.url());
    apply(&setup, &shop, &token.to_string());
    shop.condition("users", "Serving", "True", "RequestsServed").await;

    // What a pod reads from the mounted Secret.
    let connection = shop
        .secret("users", |secret| text(secret, "request-ca.crt").is_some())
        .await;
    assert_eq!(
        text(&connection, "request-url").as_deref(),
        Some("https://realtime-token-operator.operators.svc/v1alpha1/namespaces/shop/realtimetokens/users/token")
    );
    assert_eq!(text(&connection, "token.json"), None);
    let ca = text(&connection, "request-ca.crt").unwrap();
    let caller = |account: &str| {
        let audience = "--audience=realtime-token.dev";
        let bearer = setup.kubectl(&["-n", "shop", "create", "token", account, audience]);
        Caller::new(address, &ca, "shop", "users", bearer.trim()).unwrap()
    };
    let app = caller("voice-app");
    let mut tokens = Vec::new();
    for user in ["ada", "bob"] {
        let answer = app.ask(json!({"subject": user}).to_string()).await.unwrap();
        assert_eq!(answer.status, 201, "{}", answer.body);
        tokens.push(answer.body["token"].as_str().unwrap().to_owned());
    }
    assert_ne!(tokens[0], tokens[1]);
    // Another ServiceAccount of the namespace has no Role.
    setup.kubectl(&["-n", "shop", "create", "serviceaccount", "another"]);
    let refused = caller("another").ask(r#"{"subject":"ada"}"#).await.unwrap();
    assert_eq!((refused.status, &refused.body["reason"]), (403, &json!("Forbidden")));

    // Without a kubelet here `helm test` itself would wait for its pod forever.
    let (_, before) = setup.test_hooks(&helm, NAMESPACE);
    let role = "role/realtime-token-operator-test";
    let get = ["-n", "shop", "get", role, "--ignore-not-found", "-o", "name"];
    assert_eq!(setup.kubectl(&get), "", "the right is there while the test runs only");
    for object in before {
        apply(&setup, &shop, &object.to_string());
    }
    let said = helm_test(&setup, &helm, (&operator, address), &ca).await;
    assert!(
        said.contains("/namespaces/shop/realtimetokens/users/token handed out a token"),
        "{said}"
    );

    every_right_is_used(&setup).await;
}

/// The operator of the release. Its port for requests is free here, unlike that of the pod.
async fn operator(setup: &Setup, address: SocketAddr) -> Operator {
    let workload = setup.workload(NAMESPACE).await;
    let builder = workload.operator(BINARY, "operator-0").await.unwrap();
    let mut operator = builder.arg(format!("--requests-listen={address}")).start().unwrap();
    operator.wait_ready().await.unwrap();
    operator
}

/// The pod of `helm test`, with its projected volume in a folder and the Service's name replaced by one of the
/// certificate that leads here.
async fn helm_test(setup: &Setup, helm: &Helm, (operator, address): (&Operator, SocketAddr), ca: &str) -> String {
    let pod = setup.test_pod(helm, NAMESPACE).spec.unwrap();
    let container = &pod.containers[0];
    let mount = &container.volume_mounts.as_deref().unwrap()[0].mount_path;
    let folder = TempDir::new().unwrap();
    let audience = "--audience=realtime-token.dev";
    let bearer = setup.kubectl(&["-n", NAMESPACE, "create", "token", RELEASE, audience]);
    std::fs::write(folder.path().join("token"), bearer).unwrap();
    // The pod has it from the operator's own Secret, of which it sees this key only.
    let own: Api<Secret> = Api::namespaced(setup.client.clone(), NAMESPACE);
    let own = own.get(CERTIFICATE).await.unwrap();
    assert_eq!(text(&own, "ca.crt").as_deref(), Some(ca));
    std::fs::write(folder.path().join("ca.crt"), ca).unwrap();
    let here = |arg: &String| {
        let arg = arg.replace(mount, &folder.path().to_string_lossy());
        let service = "https://realtime-token-operator.operators.svc";
        arg.replace(service, &format!("https://localhost:{}", address.port()))
    };
    let mut args: Vec<String> = container.args.iter().flatten().map(here).collect();
    assert!(
        args.iter()
            .any(|arg| arg.starts_with("--requests-url=https://localhost:")),
        "{args:?}"
    );
    args.retain(|arg| !arg.starts_with("--operator-url="));
    args.push(format!("--operator-url=http://{}", operator.health_addr()));
    let workload = setup.workload(NAMESPACE).await;
    let mut command = Command::new(BINARY);
    command
        .args(args)
        .env_clear()
        .env("KUBECONFIG", workload.kubeconfig())
        .env("POD_NAMESPACE", NAMESPACE);
    run(&mut command)
}

/// Both reviews, and every verb on the Secret with the certificate: one that was deleted is made anew, one that was
/// edited is put right.
async fn every_right_is_used(setup: &Setup) {
    let secrets: Api<Secret> = Api::namespaced(setup.client.clone(), NAMESPACE);
    let uid = secrets.get(CERTIFICATE).await.unwrap().metadata.uid;
    secrets.delete(CERTIFICATE, &DeleteParams::default()).await.unwrap();
    let anew = |secret: &Secret| secret.metadata.uid != uid && text(secret, "tls.crt").is_some();
    wait::object_when(&secrets, CERTIFICATE, SOON, anew).await.unwrap();
    let edit = Patch::Merge(json!({"stringData": {"tls.crt": "edited"}}));
    secrets
        .patch(CERTIFICATE, &PatchParams::default(), &edit)
        .await
        .unwrap();
    let right = |secret: &Secret| text(secret, "tls.crt").is_some_and(|it| it.contains("BEGIN CERTIFICATE"));
    wait::object_when(&secrets, CERTIFICATE, SOON, right).await.unwrap();

    let requests = setup.asked_by_operator(NAMESPACE);
    assert_eq!(forbidden(&requests), [""; 0]);
    let mut grants = granted(&setup.client, NAMESPACE, RELEASE).await;
    grants.retain(|it| {
        let review = ["tokenreviews", "subjectaccessreviews"].contains(&&*it.resource);
        review || it.namespace.as_deref() == Some(NAMESPACE) && it.resource == "secrets"
    });
    assert_eq!(grants.len(), 6, "{grants:?}");
    assert_eq!(unused(&grants, &requests), [""; 0], "granted and never used");
}

fn apply(setup: &Setup, tenant: &Tenant, manifest: &str) {
    let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    std::fs::write(file.path(), manifest).unwrap();
    let path = file.path().to_str().unwrap();
    setup.kubectl(&["-n", &tenant.namespace, "apply", "--server-side", "-f", path]);
}

fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = secret.data.as_ref()?.get(key)?;
    Some(String::from_utf8(value.0.clone()).unwrap())
}
