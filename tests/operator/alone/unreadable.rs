//! A RealtimeToken that this version can't read, in a cluster whose CRD lets it pass.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, ResourceExt};
use realtime_token_operator::api::RealtimeToken;
use serde_json::json;
use testkit::wait;

use crate::world::{Case, DEADLINE, World};

/// An object that a newer or looser CRD lets pass and this operator can't read delays no other, and its status says so.
#[tokio::test]
async fn an_object_that_cannot_be_read_says_so_and_holds_up_nobody() {
    let world = World::with_own_cluster().await;
    let case = world.case("unreadable").await;
    case.create("before", case.openai()).await;
    case.revision("before", 1).await;
    loosen_the_crd(&case).await;

    let api = Api::<DynamicObject>::namespaced_with(
        case.namespace.client(),
        case.namespace.name(),
        &ApiResource::erase::<RealtimeToken>(&()),
    );
    // The API server takes a moment to serve the looser schema.
    let odd = json!({"openai": {"model": 5}, "credentials": {"secretRef": {"name": "openai"}}});
    wait::until("the looser schema", DEADLINE, async || {
        let object = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "odd"}, "spec": odd,
        });
        let object: DynamicObject = serde_json::from_value(object)?;
        api.create(&kube::api::PostParams::default(), &object).await?;
        Ok(Some(()))
    })
    .await
    .unwrap();

    let condition = |object: &DynamicObject, type_: &str| {
        let conditions = object.data["status"]["conditions"].as_array().cloned();
        let mut conditions = conditions.unwrap_or_default().into_iter();
        conditions.find(|condition| condition["type"] == type_)
    };
    let seen = wait::object_when(&api, "odd", DEADLINE, |object: &DynamicObject| {
        condition(object, "Ready").is_some()
    })
    .await
    .unwrap();
    let ready = condition(&seen, "Ready").unwrap();
    assert_eq!(
        (&ready["status"], &ready["reason"]),
        (&json!("False"), &json!("InvalidSpec"))
    );
    let message = ready["message"].as_str().unwrap();
    assert!(
        message.contains("integer `5`, expected a string") && message.contains("kubectl explain"),
        "{message}"
    );
    case.event("odd", "InvalidSpec").await;

    let bare = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "bare"},
    });
    let bare: DynamicObject = serde_json::from_value(bare).unwrap();
    api.create(&kube::api::PostParams::default(), &bare).await.unwrap();
    case.event("bare", "InvalidSpec").await;

    // Others go on, old ones and new ones, also after a restart with the odd ones in the list.
    case.create("after", case.openai()).await;
    case.revision("after", 1).await;
    let version = api.get("odd").await.unwrap().resource_version();
    world.restart().await;
    case.create("later", case.openai()).await;
    case.revision("later", 1).await;
    assert_eq!(case.calls().len(), 3);
    assert_eq!(
        api.get("odd").await.unwrap().resource_version(),
        version,
        "said once is enough"
    );

    // Mended, it is served like any other.
    let mended = json!({"spec": {"openai": case.openai()["openai"]}});
    api.patch("odd", &PatchParams::default(), &Patch::Merge(&mended))
        .await
        .unwrap();
    case.condition("odd", "Ready", "True", "Issued").await;
}

async fn loosen_the_crd(case: &Case<'_>) {
    let crds: Api<CustomResourceDefinition> = Api::all(case.namespace.client());
    let name = "realtimetokens.realtime-token.dev";
    let mut crd = serde_json::to_value(crds.get(name).await.unwrap()).unwrap();
    let version = &mut crd["spec"]["versions"][0];
    version.as_object_mut().unwrap().remove("selectableFields"); // they must be in the schema
    let schema = &mut version["schema"]["openAPIV3Schema"];
    schema["properties"]["spec"] = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    for strict in ["x-kubernetes-validations", "required"] {
        schema.as_object_mut().unwrap().remove(strict);
    }
    let crd: CustomResourceDefinition = serde_json::from_value(crd).unwrap();
    crds.replace(name, &kube::api::PostParams::default(), &crd)
        .await
        .unwrap();
    let established = is_crd_established();
    wait::object_when(&crds, name, DEADLINE, |crd| {
        kube::runtime::wait::Condition::matches_object(&established, Some(crd))
    })
    .await
    .unwrap();
}
