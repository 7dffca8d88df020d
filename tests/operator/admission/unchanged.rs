//! The rule at a RealtimeToken's root leaves early where the spec can't have changed, and lets pass a spec that hasn't.
//! Nothing else gets past it so.

use std::time::Duration;

use realtime_token_operator::api::crds;
use serde_json::{Value, json};
use testkit::wait;

use super::rules::messages::OPENAI_LIFE;
use super::{ApiServer, Kind, merge};

const TOO_SHORT: i64 = 9;

/// Kubernetes keeps the old status in a write of the object, and the old spec in a write of the status.
#[tokio::test]
async fn a_status_beside_a_spec_keeps_no_check_away() {
    let server = ApiServer::new().await;
    let url = server.url(Kind::Token);
    let spec = merge(&Kind::Token.spec(), &json!({"suspend": true}));
    let object = super::object(Kind::Token, "door", &spec);
    // A new object has no old one to compare with.
    let change = json!({"spec": {"expirationSeconds": TOO_SHORT}, "status": {"revision": 7}});
    let complaints = server.send("POST", &url, &merge(&object, &change)).await.unwrap_err();
    assert!(complaints[0].text.ends_with(OPENAI_LIFE), "{complaints:?}");
    let stored = server.send("POST", &url, &object).await.unwrap();
    let replacing = merge(&stored, &change);
    let complaints = server
        .send("PUT", &format!("{url}/door"), &replacing)
        .await
        .unwrap_err();
    assert!(complaints[0].text.ends_with(OPENAI_LIFE), "{complaints:?}");
    for revision in [7, 8] {
        let change = json!({"spec": {"expirationSeconds": TOO_SHORT}, "status": {"revision": revision}});
        let complaints = server.send("PATCH", &format!("{url}/door"), &change).await.unwrap_err();
        assert!(complaints[0].text.ends_with(OPENAI_LIFE), "{complaints:?}");

        let written = server.send("PATCH", &format!("{url}/door/status"), &change).await;
        let written = written.unwrap();
        assert_eq!(written["status"]["revision"], revision);
        assert_eq!(written["spec"]["expirationSeconds"], Value::Null);
    }
}

/// As the API server does by itself for a rule that doesn't look at the old object: a finalizer could never be removed
/// from such an object otherwise.
#[tokio::test]
async fn what_an_older_version_let_pass_can_be_labelled() {
    let server = ApiServer::new().await;
    let crd = crds()
        .unwrap()
        .into_iter()
        .find(|it| it.spec.names.kind == "RealtimeToken");
    let mut crd = serde_json::to_value(crd.unwrap()).unwrap();
    let group = "unchanged.example.com";
    crd["metadata"] = json!({
        "name": format!("realtimetokens.{group}"),
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    });
    crd["spec"]["group"] = json!(group);
    let names = json!({"shortNames": null, "categories": null});
    crd["spec"]["names"] = merge(&crd["spec"]["names"], &names);
    let rules = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations";
    let rules = crd.pointer_mut(rules).unwrap().take();

    let crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    server.send("POST", crds, &crd).await.unwrap();
    let url = server.url(Kind::Token).replace("realtime-token.dev", group);
    let invalid = merge(&Kind::Token.spec(), &json!({"expirationSeconds": TOO_SHORT}));
    let mut object = super::object(Kind::Token, "old", &invalid);
    object["apiVersion"] = json!(format!("{group}/v1alpha1"));
    let deadline = Duration::from_secs(60);
    wait::until("the kind is served", deadline, async || {
        Ok(server.send("POST", &url, &object).await.ok())
    })
    .await
    .unwrap();

    let path = format!("{crds}/realtimetokens.{group}");
    *crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations")
        .unwrap() = rules;
    server
        .send("PATCH", &path, &json!({"spec": crd["spec"]}))
        .await
        .unwrap();
    object["metadata"]["name"] = json!("new");
    wait::until("the rules are in force", deadline, async || {
        let refused = server.send("POST", &format!("{url}?dryRun=All"), &object).await;
        Ok(refused.err())
    })
    .await
    .unwrap();

    let patch = async |change: Value| server.send("PATCH", &format!("{url}/old"), &change).await;
    patch(json!({"metadata": {"labels": {"a": "b"}}})).await.unwrap();
    for change in [json!({"suspend": true}), json!({"target": {"name": "other"}})] {
        let complaints = patch(json!({"spec": change})).await.unwrap_err();
        assert_eq!(complaints[0].field, "spec");
        assert!(complaints[0].text.ends_with(OPENAI_LIFE), "{complaints:?}");
    }
    patch(json!({"spec": {"expirationSeconds": 60}})).await.unwrap();
    server.send("DELETE", &path, &json!({})).await.unwrap();
}
