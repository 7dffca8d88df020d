//! An admission policy that changes what the operator writes must not have it write for ever.

use kube::Api;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};
use testkit::wait;

use crate::world::{Case, DEADLINE, World, annotation};

/// Takes the operator's hash of labels and owner out of every Secret of the case's namespace.
async fn strip_the_hash(case: &Case<'_>) {
    let create = async |kind: &str, plural: &str, spec: Value| {
        let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
        let kind = ApiResource::from_gvk_with_plural(&kind, plural);
        let policy = json!({"metadata": {"name": "strip"}, "spec": spec});
        let policy: DynamicObject = serde_json::from_value(policy).unwrap();
        let api = Api::<DynamicObject>::all_with(case.namespace.client(), &kind);
        api.create(&PostParams::default(), &policy).await.unwrap();
    };
    let policy = json!({
        "matchConstraints": {"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"], "operations": ["CREATE", "UPDATE"],
        }]},
        "matchConditions": [{
            "name": "hashed",
            "expression": "has(object.metadata.annotations) && 'realtime-token.dev/metadata-hash' in object.metadata.annotations",
        }],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'remove', path: '/metadata/annotations/' + jsonpatch.escapeKey('realtime-token.dev/metadata-hash')}]",
        }}],
    });
    create("MutatingAdmissionPolicy", "mutatingadmissionpolicies", policy).await;
    let namespace = json!({"kubernetes.io/metadata.name": case.namespace.name()});
    let binding = json!({
        "policyName": "strip",
        "matchResources": {"namespaceSelector": {"matchLabels": namespace}},
    });
    create(
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        binding,
    )
    .await;
    // The API server takes a moment to notice policies.
    let probe = json!({"metadata": {"name": "probe", "annotations": {"realtime-token.dev/metadata-hash": "x"}}});
    let probe = serde_json::from_value(probe).unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    wait::until("the policy", DEADLINE, async || {
        let seen = case.secrets().create(&dry_run, &probe).await?;
        Ok(annotation(&seen, "metadata-hash").is_none().then_some(()))
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_policy_that_takes_an_annotation_away_costs_one_write_more() {
    let world = World::with_own_operator("meddled", &[]).await;
    let case = world.case("meddled").await;
    strip_the_hash(&case).await;
    case.create("voice", case.openai()).await;
    case.condition("voice", "Ready", "True", "Issued").await;
    // A write that leads to the next one would go on meanwhile.
    for _ in 0..3 {
        case.settle().await;
    }
    let mut requests = world.requests();
    requests.retain(|it| it.name == "voice" && it.resource == "secrets" && it.verb != "get");
    let requests: Vec<_> = requests.iter().map(|request| &*request.verb).collect();
    assert_eq!(requests, ["create", "patch"]);
    assert_eq!(case.calls().len(), 1);
}
