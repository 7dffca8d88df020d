//! A cluster that allows little: Pod Security Standard `restricted` on the release's namespace, and the admission
//! plugin OwnerReferencesPermissionEnforcement, as OpenShift has it. What people may do, and what the pod of `helm test`
//! may, is tried here too, so that it needs no other control plane.

use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use realtime_token_operator::api::RealtimeToken;
use serde_json::json;
use testkit::cluster::Options;
use testkit::helm::{Helm, Major};

use super::first_install::helms_test_may_see_what_it_needs;
use super::people::who_may_do_what;
use super::setup::{Setup, dry_run};
use super::tenant::Tenant;

const NAMESPACE: &str = "operators";

#[tokio::test]
async fn a_cluster_that_allows_little() {
    let setup = Setup::start(Options {
        admission_plugins: &["OwnerReferencesPermissionEnforcement"],
        ..Options::default()
    })
    .await;
    let restricted = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    setup.namespace(NAMESPACE, restricted).await;
    let helm = setup.helm(Major::Four);
    setup.install(&helm, NAMESPACE, &json!({}));
    its_pods_are_admitted(&setup, &helm).await;
    who_may_do_what(&setup).await;

    let operator = setup.operator(NAMESPACE).await;
    helms_test_may_see_what_it_needs(&setup, &helm, &operator).await;
    let tenant = setup.tenant("shop").await;
    let role = ["create", "rolebinding", "editor", "-n", "shop"];
    setup.kubectl(&[&role[..], &["--clusterrole=edit", "--user=editor"]].concat());
    let editor = setup.client_of("editor").await;
    let tokens = Api::<RealtimeToken>::namespaced(editor, "shop");
    let voice = serde_json::from_value(Tenant::manifest("voice", tenant.own())).unwrap();
    tokens.create(&PostParams::default(), &voice).await.unwrap();
    tenant.revision("voice", 1).await;
    tenant.secret("voice", owned).await;

    // A write of a Secret that leaves its owners unchanged needs no further right.
    let label = json!({"template": {"metadata": {"labels": {"app": "shop"}}}});
    tenant.patch("voice", json!({"spec": {"target": label}})).await;
    let labelled = |secret: &Secret| secret.labels().contains_key("app");
    tenant.secret("voice", labelled).await;

    owners_change_once_it_may_delete(&setup, &helm, &tenant).await;
}

fn owned(secret: &Secret) -> bool {
    secret.owner_references().len() == 1
}

/// This plugin lets only those change an owner who may delete the object.
async fn owners_change_once_it_may_delete(setup: &Setup, helm: &Helm, tenant: &Tenant) {
    let policy = |policy: &str| json!({"spec": {"target": {"deletionPolicy": policy}}});
    tenant.patch("voice", policy("Retain")).await;
    let message = tenant.condition("voice", "Renewing", "True", "SecretWriteFailed").await;
    for part in ["cannot set an ownerRef", "rbac.deleteSecrets=true"] {
        assert!(message.contains(part), "{message}");
    }
    // The token itself is renewed all the same.
    tenant.condition("voice", "Ready", "True", "Issued").await;
    tenant.force("voice", "now").await;
    tenant.revision("voice", 2).await;
    tenant.secret("voice", owned).await;

    setup.install(helm, NAMESPACE, &json!({"rbac": {"deleteSecrets": true}}));
    tenant.secret("voice", |secret| !owned(secret)).await;
    tenant.patch("voice", policy("Delete")).await;
    tenant.secret("voice", owned).await;
    tenant
        .status("voice", |status| status.failed_mint_attempts.is_none())
        .await;
    assert_eq!(setup.standin.count(), 2, "the first token, and the forced one");
}

async fn its_pods_are_admitted(setup: &Setup, helm: &Helm) {
    setup.deployments_pod_is_admitted(NAMESPACE).await;
    let pods: Api<Pod> = Api::namespaced(setup.client.clone(), NAMESPACE);
    pods.create(&dry_run(), &setup.test_pod(helm, NAMESPACE)).await.unwrap();
}
