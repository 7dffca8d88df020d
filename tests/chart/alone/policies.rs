//! The ValidatingAdmissionPolicies of the chart: what they let pass, RBAC permitting, and what they don't.

use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::{ApiResource, DynamicObject, Status};
use kube::{Api, Client, ResourceExt};
use realtime_token_operator::api::RealtimeToken;
use serde_json::{Value, json};
use testkit::wait;

use super::setup::{RELEASE, Setup, dry_run};
use super::tenant::{SOON, Tenant};

/// With the rights of the operator's ServiceAccount, which include deleting here. Expects the Secret `openai`, a key, and
/// a RealtimeToken `after`.
pub async fn the_operator_writes_no_secrets_but_its_own(setup: &Setup, tenant: &Tenant, namespace: &str) {
    let operator = setup
        .client_of(&format!("system:serviceaccount:{namespace}:{RELEASE}"))
        .await;
    let secrets: Api<Secret> = Api::namespaced(operator, &tenant.namespace);
    let secret = |name: &str, rest: Value| -> Secret {
        let mut secret = json!({"metadata": {"name": name}});
        for (field, value) in rest.as_object().unwrap() {
            secret[field] = value.clone();
        }
        serde_json::from_value(secret).unwrap()
    };
    let create = async |secret: &Secret| secrets.create(&PostParams::default(), secret).await.map(|_| ());
    let patch = async |name: &str| {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"a": "b"}}}));
        secrets.patch(name, &PatchParams::default(), &patch).await.map(|_| ())
    };
    let refused = |result: kube::Result<()>, words: &str| {
        let refusal = result.expect_err(words).to_string();
        assert!(refusal.contains(words), "{refusal}");
    };

    let release = secret("sh.helm.release.v1.x.v1", json!({}));
    refused(
        create(&release).await,
        "the operator writes Secrets of RealtimeTokens only, and shop/sh.helm.release.v1.x.v1 is not one",
    );
    let ours = json!({"name": "typed", "labels": {"realtime-token.dev/name": "typed"}});
    let typed = secret(
        "typed",
        json!({"metadata": ours, "type": "bootstrap.kubernetes.io/token"}),
    );
    refused(
        create(&typed).await,
        "shop/typed has the type bootstrap.kubernetes.io/token",
    );
    refused(patch("openai").await, "shop/openai is not one");
    let delete = async |name: &str| secrets.delete(name, &DeleteParams::default()).await.map(|_| ());
    refused(delete("openai").await, "shop/openai is not one");

    // Its own are its own, by the label or by the owner.
    patch("after").await.unwrap();
    let unlabelled = Patch::Merge(json!({"metadata": {"labels": null}}));
    let all: Api<Secret> = tenant.secrets();
    all.patch("after", &PatchParams::default(), &unlabelled).await.unwrap();
    patch("after").await.unwrap();
    delete("after").await.unwrap();

    // Nobody else is concerned.
    let everybodys = secret("everybodys", json!({"type": "example.com/any"}));
    all.create(&PostParams::default(), &everybodys).await.unwrap();
    all.delete("everybodys", &DeleteParams::default()).await.unwrap();
}

/// What is passed through is measured as well, by what no CRD can.
pub async fn a_spec_has_a_bounded_length(client: &Client, tenant: &Tenant) {
    let kind = ApiResource::erase::<RealtimeToken>(&());
    let tokens = Api::<DynamicObject>::namespaced_with(client.clone(), &tenant.namespace, &kind);
    let is_refused = async || {
        let Err(kube::Error::Api(refusal)) = tokens.create(&dry_run(), &sized(tenant, "new", 132_000)).await else {
            return Ok(None);
        };
        assert_too_long(&refusal);
        Ok(Some(()))
    };
    wait::until("a refusal", SOON, &is_refused).await.unwrap();
    tokens.create(&dry_run(), &sized(tenant, "new", 60_000)).await.unwrap();

    // One that is older than the policy keeps its spec: its metadata may be edited, and it may be deleted.
    enforce_size(client, "Audit").await;
    let object = sized(tenant, "large", 132_000);
    wait::until("a policy that isn't enforced", SOON, async || {
        Ok(tokens.create(&PostParams::default(), &object).await.ok())
    })
    .await
    .unwrap();
    enforce_size(client, "Deny").await;
    wait::until("a refusal", SOON, &is_refused).await.unwrap();
    let patch = async |patch: Value| {
        let patch = Patch::Merge(patch);
        tokens.patch("large", &PatchParams::default(), &patch).await
    };
    let metadata = json!({"labels": {"team": "voice"}, "finalizers": ["example.com/kept"]});
    let labelled = patch(json!({"metadata": metadata})).await.unwrap();
    assert_eq!(labelled.labels()["team"], "voice");
    let edited = patch(json!({"spec": {"suspend": false}})).await;
    let Err(kube::Error::Api(refusal)) = edited else {
        panic!("{edited:?}");
    };
    assert_too_long(&refusal);
    patch(json!({"metadata": {"finalizers": null}})).await.unwrap();
    tokens.delete("large", &DeleteParams::default()).await.unwrap();
}

/// A RealtimeToken whose spec takes a little more than this.
fn sized(tenant: &Tenant, name: &str, length: usize) -> DynamicObject {
    let mut spec = tenant.own();
    spec["suspend"] = json!(true);
    let tool = json!({"name": "x".repeat(length / 4), "null": null, "number": 1.5, "list": [true, {}]});
    spec["openai"]["session"] = json!({"tools": [tool, tool, tool, tool]});
    serde_json::from_value(Tenant::manifest(name, spec)).unwrap()
}

fn assert_too_long(refusal: &Status) {
    assert_eq!(refusal.code, 422, "{refusal:?}");
    let says = "characters where 131072 are allowed; shorten what is passed through to the provider";
    assert!(refusal.message.contains(says), "{}", refusal.message);
}

/// `Audit` is as if there were no policy yet.
async fn enforce_size(client: &Client, action: &str) {
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client.clone());
    let patch = Patch::Merge(json!({"spec": {"validationActions": [action]}}));
    let name = format!("{RELEASE}-spec-size");
    bindings.patch(&name, &PatchParams::default(), &patch).await.unwrap();
}
