//! An admission policy that changes what the operator writes must not have it write for ever.

use k8s_openapi::api::core::v1::Secret;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testkit::wait;

use crate::expect::message;
use crate::world::{Case, DEADLINE, World, data, holds};

const MANAGED_BY: &str = "app.kubernetes.io/managed-by";

/// Changes every Secret of the case's namespace with a label or annotation of the operator, on its way.
async fn mutate(case: &Case<'_>, condition: &str, patch: &str) {
    let name = case.namespace.name();
    let create = async |kind: &str, plural: &str, spec: Value| {
        let kind = GroupVersionKind::gvk("admissionregistration.k8s.io", "v1", kind);
        let kind = ApiResource::from_gvk_with_plural(&kind, plural);
        let policy = json!({"metadata": {"name": name}, "spec": spec});
        let policy: DynamicObject = serde_json::from_value(policy).unwrap();
        let api = Api::<DynamicObject>::all_with(case.namespace.client(), &kind);
        api.create(&PostParams::default(), &policy).await.unwrap();
    };
    let policy = json!({
        "matchConstraints": {"resourceRules": [{
            "apiGroups": [""], "apiVersions": ["v1"], "resources": ["secrets"], "operations": ["CREATE", "UPDATE"],
        }]},
        "matchConditions": [{"name": "operators", "expression": condition}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
    });
    create("MutatingAdmissionPolicy", "mutatingadmissionpolicies", policy).await;
    let namespace = json!({"kubernetes.io/metadata.name": name});
    let binding = json!({"policyName": name, "matchResources": {"namespaceSelector": {"matchLabels": namespace}}});
    create(
        "MutatingAdmissionPolicyBinding",
        "mutatingadmissionpolicybindings",
        binding,
    )
    .await;
    // The API server takes a moment to notice policies.
    let probe = json!({"metadata": {
        "name": "probe",
        "labels": {MANAGED_BY: "realtime-token-operator"},
        "annotations": {"realtime-token.dev/metadata-hash": "x"},
    }});
    let probe: Secret = serde_json::from_value(probe).unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    wait::until("the policy", DEADLINE, async || {
        let seen = case.secrets().create(&dry_run, &probe).await?;
        let changed = seen.labels() != probe.labels() || seen.annotations() != probe.annotations();
        Ok(changed.then_some(()))
    })
    .await
    .unwrap();
}

const STRIP_THE_HASH: [&str; 2] = [
    "has(object.metadata.annotations) && 'realtime-token.dev/metadata-hash' in object.metadata.annotations",
    "[JSONPatch{op: 'remove', path: '/metadata/annotations/' + jsonpatch.escapeKey('realtime-token.dev/metadata-hash')}]",
];
const REWRITE_THE_LABEL: [&str; 2] = [
    "has(object.metadata.labels) && 'app.kubernetes.io/managed-by' in object.metadata.labels",
    "[JSONPatch{op: 'replace', value: 'platform-team', \
     path: '/metadata/labels/' + jsonpatch.escapeKey('app.kubernetes.io/managed-by')}]",
];

#[tokio::test]
async fn a_policy_that_takes_an_annotation_away_costs_one_write_more() {
    let world = World::with_own_operator("meddled", &[]).await;
    let case = world.case("meddled").await;
    let [condition, patch] = STRIP_THE_HASH;
    mutate(&case, condition, patch).await;
    case.create("voice", case.openai()).await;
    case.condition("voice", "Ready", "True", "Issued").await;
    let text = case.condition("voice", "Renewing", "True", "SecretRewritten").await;
    assert!(text.contains("realtime-token.dev/metadata-hash"), "{text}");
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

/// The operator's watch selects by that label: the Secret is not in it. Renewals come in time all the same.
#[tokio::test]
async fn a_policy_that_rewrites_our_label_is_named_and_delays_nothing() {
    let world = World::with_own_operator("relabelled", &[]).await;
    let case = world.case("relabelled").await;
    let [condition, patch] = REWRITE_THE_LABEL;
    mutate(&case, condition, patch).await;
    let mut spec = case.openai();
    spec["expirationSeconds"] = json!(40);
    spec["renewal"] = json!({"minRemainingSeconds": 5, "propagationSeconds": 0});
    case.create("voice", spec).await;
    let status = case
        .status_when("voice", |it| holds(it, "Renewing", "True", "SecretRewritten"))
        .await;
    let text = message(&status, "Renewing");
    let named = r#"label app.kubernetes.io/managed-by is "platform-team" and should be "realtime-token-operator""#;
    assert!(text.contains(named), "{text}");
    for revision in 1..=3 {
        let secret = case.revision("voice", revision).await;
        assert_eq!(secret.labels()[MANAGED_BY], "platform-team");
        assert_eq!(Some(data(&secret, "token")), case.calls().last().unwrap().token);
    }
    let calls = case.calls();
    let life = calls[2].time.duration_since(calls[1].time).as_secs();
    assert!(
        (15..30).contains(&life),
        "renewed at half the life of 40 s, not after {life} s"
    );
    let events = case.event("voice", "SecretRewritten").await;
    assert!(events.series.is_none(), "said once: {events:?}");
}
