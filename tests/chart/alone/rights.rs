//! The operator with the rights that the chart gives it: all that it needs, and none that it doesn't use.

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, ResourceExt};
use realtime_token_operator::api::{ClusterRealtimeProvider, RealtimeToken};
use serde_json::json;
use testkit::cluster::Options;
use testkit::helm::Major;
use testkit::operator::Operator;
use testkit::wait;

use super::grants::{forbidden, granted, unused};
use super::keyless::{CALLER, exchanges_tokens, says_which_right_is_missing};
use super::policies::{a_spec_has_a_bounded_length, the_operator_writes_no_secrets_but_its_own};
use super::setup::{PLATFORM_KEY, RELEASE, Setup, put_key};
use super::tenant::{SOON, Tenant};

const NAMESPACE: &str = "operators";

#[tokio::test]
async fn the_rights_of_the_chart_are_what_the_operator_uses() {
    let setup = Setup::start(Options {
        audit: true,
        ..Options::default()
    })
    .await;
    setup.namespace(NAMESPACE, json!({})).await;
    let helm = setup.helm(Major::Four);
    let values = json!({
        "workloadIdentity": {"serviceAccountNames": [CALLER]},
        "admissionPolicies": {"enabled": true},
    });
    setup.install(&helm, NAMESPACE, &values);
    let operator = setup.operator(NAMESPACE).await;
    setup.check(&helm, NAMESPACE, &operator).await;
    let tenant = setup.tenant("shop").await;
    lends_a_key(&setup, &tenant, NAMESPACE).await;
    lives(&tenant).await;
    exchanges_tokens(&setup, &tenant, NAMESPACE).await;
    loosen_the_crd(&setup).await;
    says_that_one_is_unreadable(&tenant).await;

    all_is_allowed_and_used(&setup, &operator, NAMESPACE).await;
    says_which_right_is_missing(&setup, &tenant).await;
    the_checks_can_fail(&setup, &tenant, &operator).await;
    a_spec_has_a_bounded_length(&setup.client, &tenant).await;
    drop(operator); // it would heal what this breaks
    the_operator_writes_no_secrets_but_its_own(&setup, &tenant, NAMESPACE).await;
}

/// Nothing was refused, and every verb on every resource was needed.
pub async fn all_is_allowed_and_used(setup: &Setup, operator: &Operator, namespace: &str) {
    let grants = granted(&setup.client, namespace, RELEASE).await;
    assert!(grants.len() > 10, "{grants:?}");
    let requests = setup.asked_by_operator(namespace);
    assert_eq!(forbidden(&requests), [""; 0]);
    let metrics = operator.metrics().await.unwrap();
    let refused = metrics
        .lines()
        .filter(|line| line.starts_with("realtime_token_api_requests_total") && line.contains("code=\"403\""));
    assert_eq!(refused.collect::<Vec<_>>(), [""; 0]);
    assert_eq!(unused(&grants, &requests), [""; 0], "granted and never used");
}

/// A platform team's key, in its own namespace.
pub async fn lends_a_key(setup: &Setup, tenant: &Tenant, namespace: &str) {
    let provider = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": "platform"},
        "spec": {
            "openai": {"endpoint": setup.standin.url()},
            "credentials": {"secretRef": {"name": "platform"}},
            "namespaceSelector": {"matchLabels": {"team": "yes"}},
        },
    });
    let provider: ClusterRealtimeProvider = serde_json::from_value(provider).unwrap();
    let providers: Api<ClusterRealtimeProvider> = Api::all(setup.client.clone());
    providers.create(&PostParams::default(), &provider).await.unwrap();
    // Twice the same, which makes one event with a count.
    let events = Tenant::new(setup.client.clone(), "default", String::new());
    for times in 1..=2 {
        events.event("platform", "CredentialNotFound", times).await;
        put_key(&setup.client, namespace, "platform", PLATFORM_KEY).await;
        ready(&providers).await;
        let secrets = Api::<k8s_openapi::api::core::v1::Secret>::namespaced(setup.client.clone(), namespace);
        if times == 1 {
            secrets.delete("platform", &DeleteParams::default()).await.unwrap();
        }
    }
    tenant.create("lent", tenant.lent("platform")).await;
    tenant.revision("lent", 1).await;
}

async fn ready(providers: &Api<ClusterRealtimeProvider>) {
    let ready = |provider: &ClusterRealtimeProvider| {
        let conditions = provider.status.iter().flat_map(|status| &status.conditions);
        conditions
            .into_iter()
            .any(|it| it.type_ == "Ready" && it.status == "True")
    };
    wait::object_when(providers, "platform", SOON, ready).await.unwrap();
}

/// From the first token to the last: rotated, healed, forced, relabelled, deleted.
pub async fn lives(tenant: &Tenant) {
    let mut spec = tenant.own();
    spec["expirationSeconds"] = json!(24);
    tenant.create("short", spec).await;
    tenant.create("voice", tenant.own()).await;
    tenant.revision("voice", 1).await;
    tenant.event("voice", "Issued", 1).await;
    for times in 1..=2 {
        let uid = tenant.secret("voice", |_| true).await.uid();
        let delete = DeleteParams::default();
        tenant.secrets().delete("voice", &delete).await.unwrap();
        tenant.secret("voice", |secret| secret.uid() != uid).await;
        tenant.event("voice", "SecretRecreated", times).await;
    }
    let label = json!({"template": {"metadata": {"labels": {"app": "shop"}}}});
    tenant.patch("voice", json!({"spec": {"target": label}})).await;
    tenant
        .secret("voice", |secret| secret.labels().contains_key("app"))
        .await;
    tenant.force("voice", "now").await;
    tenant.event("voice", "RenewalForced", 1).await;
    tenant.revision("short", 2).await; // of itself
    tenant.delete("voice").await;
    // Another after it: what the operator does about the deletion, it has done.
    tenant.create("after", tenant.own()).await;
    tenant.revision("after", 1).await;
}

/// So that there can be a RealtimeToken that the operator can't read.
pub async fn loosen_the_crd(setup: &Setup) {
    let crds: Api<CustomResourceDefinition> = Api::all(setup.client.clone());
    let name = "realtimetokens.realtime-token.dev";
    let loose = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!([
        {"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec", "value": loose},
        {"op": "remove", "path": "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations"},
        {"op": "remove", "path": "/spec/versions/0/selectableFields"}, // they must be in the schema
    ]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(schema).unwrap());
    crds.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// The operator says so in its status and by an Event.
pub async fn says_that_one_is_unreadable(tenant: &Tenant) {
    let kind = ApiResource::erase::<RealtimeToken>(&());
    let tokens = Api::<DynamicObject>::namespaced_with(tenant.client.clone(), &tenant.namespace, &kind);
    let odd = json!({"openai": {"model": 5}, "credentials": {"secretRef": {"name": "openai"}}});
    let odd: DynamicObject = serde_json::from_value(Tenant::manifest("odd", odd)).unwrap();
    wait::until("the looser schema", SOON, async || {
        tokens.create(&PostParams::default(), &odd).await?;
        Ok(Some(()))
    })
    .await
    .unwrap();
    tenant.event("odd", "InvalidSpec", 1).await;
}

/// One verb more than is used, and one less than is needed, are both noticed.
async fn the_checks_can_fail(setup: &Setup, tenant: &Tenant, operator: &Operator) {
    setup.kubectl(&[
        "create",
        "role",
        "more",
        "-n",
        "shop",
        "--verb=delete",
        "--resource=secrets",
    ]);
    let account = format!("--serviceaccount={NAMESPACE}:{RELEASE}");
    setup.kubectl(&["create", "rolebinding", "more", "-n", "shop", "--role=more", &account]);
    let grants = granted(&setup.client, NAMESPACE, RELEASE).await;
    let unused = unused(&grants, &setup.asked_by_operator(NAMESPACE));
    assert!(unused.contains(&"delete secrets in shop".to_owned()), "{unused:?}");

    let roles: Api<ClusterRole> = Api::all(setup.client.clone());
    let mut role = roles.get(RELEASE).await.unwrap();
    let rules = role.rules.as_mut().unwrap();
    rules.retain(|rule| rule.resources != Some(vec!["realtimetokens/status".to_owned()]));
    roles.replace(RELEASE, &PostParams::default(), &role).await.unwrap();
    let mut missing = tenant.own();
    missing["credentials"]["secretRef"]["name"] = json!("nowhere");
    tenant.create("late", missing).await;
    wait::until("a refusal", SOON, async || {
        let refused = forbidden(&setup.asked_by_operator(NAMESPACE));
        Ok(refused.iter().any(|request| request.contains("/status")).then_some(()))
    })
    .await
    .unwrap();
    let metrics = operator.metrics().await.unwrap();
    assert!(
        metrics
            .lines()
            .any(|line| line.starts_with("realtime_token_api_requests_total") && line.contains("code=\"403\"")),
        "{metrics}"
    );
}
