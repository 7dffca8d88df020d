//! The Deployment and what its pods look like.

use serde_json::{Value, json};

use crate::chart::{NAME, NAMESPACE, render};

/// The restricted Pod Security Standard, field by field, as far as this pod has them:
/// <https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted>
fn assert_restricted(pod: &Value, case: &str) {
    for field in ["hostPID", "hostIPC"] {
        assert!(pod[field].is_null(), "{field} of {case}");
    }
    let security = &pod["securityContext"];
    assert_eq!(security["runAsNonRoot"], true, "{case}");
    assert_ne!(security["runAsUser"], 0, "{case}");
    assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{case}");
    for container in pod["containers"].as_array().unwrap() {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false, "{case}");
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}), "{case}");
        assert!(security["privileged"].is_null(), "{case}");
        // Stricter than the standard.
        assert_eq!(security["readOnlyRootFilesystem"], true, "{case}");
        assert!(container["resources"]["requests"]["memory"].is_string(), "{case}");
        assert!(container["command"].is_null(), "the image's own entrypoint, in {case}");
    }
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        assert!(volume["hostPath"].is_null(), "{case}");
    }
}

#[test]
fn pods_are_restricted_whatever_the_values() {
    for (case, values) in crate::valid::combinations() {
        let objects = render(values);
        assert_restricted(objects.pod(), case);
        for test in objects.all("Pod") {
            assert_restricted(&test["spec"], case);
            assert_eq!(test["metadata"]["annotations"]["helm.sh/hook"], "test");
            assert_eq!(test["spec"]["restartPolicy"], "Never");
        }
    }
}

#[test]
fn only_its_own_pods_get_the_accounts_token() {
    let objects = render(json!({}));
    assert_eq!(objects.one("ServiceAccount")["automountServiceAccountToken"], false);
    assert_eq!(objects.pod()["automountServiceAccountToken"], true);
    assert_eq!(objects.pod()["enableServiceLinks"], false);
}

#[test]
fn probes_ask_the_operator_itself() {
    let objects = render(json!({"health": {"port": 9998}, "metrics": {"port": 9999}}));
    let container = objects.container();
    assert_eq!(
        container["ports"],
        json!([
            {"name": "health", "containerPort": 9998, "protocol": "TCP"},
            {"name": "metrics", "containerPort": 9999, "protocol": "TCP"},
        ])
    );
    for arg in ["--health-listen=0.0.0.0:9998", "--metrics-listen=0.0.0.0:9999"] {
        assert!(objects.args().contains(&arg), "{arg}");
    }
    for (probe, path) in [("livenessProbe", "/livez"), ("readinessProbe", "/readyz")] {
        assert_eq!(
            container[probe]["httpGet"],
            json!({"path": path, "port": "health"}),
            "{probe}"
        );
    }
    assert_eq!(
        objects.one("Service")["spec"]["ports"],
        json!([
            {"name": "metrics", "port": 8080, "targetPort": "metrics", "protocol": "TCP"},
            {"name": "health", "port": 9998, "targetPort": "health", "protocol": "TCP"},
        ])
    );
}

/// Two pods without an election would both mint.
#[test]
fn several_replicas_elect_a_leader_whatever_the_values_say() {
    let elects = |values: Value| render(values).args().contains(&"--leader-elect");
    assert!(elects(json!({})));
    assert!(elects(json!({"replicas": 3, "leaderElection": {"enabled": false}})));
    assert!(elects(json!({"replicas": 1})));
    assert!(!elects(json!({"replicas": 1, "leaderElection": {"enabled": false}})));
}

#[test]
fn an_update_never_runs_two_that_both_mint_nor_leaves_none() {
    let strategy = |values: Value| render(values).one("Deployment")["spec"]["strategy"].clone();
    let rolling = |surge: i32, unavailable: i32| json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": unavailable}});
    assert_eq!(strategy(json!({})), rolling(1, 0));
    assert_eq!(strategy(json!({"replicas": 1})), rolling(1, 0));
    assert_eq!(
        strategy(json!({"replicas": 1, "leaderElection": {"enabled": false}})),
        json!({"type": "Recreate"})
    );
    // On the node's network the new pod needs the old one's port.
    assert_eq!(strategy(json!({"hostNetwork": true})), rolling(0, 1));
    assert_eq!(
        strategy(json!({"strategy": {"type": "Recreate"}})),
        json!({"type": "Recreate"})
    );
}

/// 10 s for mints, 10 s for reconciles, 5 s for the Lease: see src/controller/mod.rs.
#[test]
fn there_is_time_to_finish() {
    let objects = render(json!({}));
    assert!(objects.pod()["terminationGracePeriodSeconds"].as_i64().unwrap() > 25);
}

#[test]
fn a_disruption_budget_needs_somebody_to_be_left() {
    let budget = |values: Value| {
        render(values)
            .all("PodDisruptionBudget")
            .first()
            .map(|it| it["spec"].clone())
    };
    let spec = budget(json!({})).unwrap();
    assert_eq!(spec["maxUnavailable"], 1);
    assert_eq!(spec["unhealthyPodEvictionPolicy"], "AlwaysAllow");
    assert_eq!(budget(json!({"replicas": 1})), None, "it would hold up every drain");
    assert_eq!(budget(json!({"podDisruptionBudget": {"enabled": false}})), None);
}

#[test]
fn replicas_spread_over_nodes_and_zones() {
    let objects = render(json!({}));
    let selector = &objects.one("Deployment")["spec"]["selector"];
    let constraints = objects.pod()["topologySpreadConstraints"].as_array().unwrap();
    let keys: Vec<_> = constraints
        .iter()
        .map(|it| it["topologyKey"].as_str().unwrap())
        .collect();
    assert_eq!(keys, ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]);
    for constraint in constraints {
        assert_eq!(constraint["labelSelector"], *selector);
        assert_eq!(constraint["whenUnsatisfiable"], "ScheduleAnyway");
    }
    let own = json!({"maxSkew": 1, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"mine": "yes"}}});
    let objects = render(json!({"topologySpreadConstraints": [own]}));
    assert_eq!(objects.pod()["topologySpreadConstraints"], json!([own]));
}

/// What selects pods must find the operator's and not the one of `helm test`.
#[test]
fn selectors_find_the_operators_pods_only() {
    fn found(selector: &Value, labels: &Value) -> bool {
        selector
            .as_object()
            .unwrap()
            .iter()
            .all(|(key, value)| labels[key] == *value)
    }
    let objects = render(json!({
        "commonLabels": {"team": "voice"},
        "podLabels": {"extra": "yes"},
    }));
    let pod = &objects.one("Deployment")["spec"]["template"]["metadata"]["labels"];
    assert_eq!((&pod["team"], &pod["extra"]), (&json!("voice"), &json!("yes")));
    let test = &objects.one("Pod")["metadata"]["labels"];
    let selectors = [
        &objects.one("Deployment")["spec"]["selector"]["matchLabels"],
        &objects.one("Service")["spec"]["selector"],
        &objects.one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        &objects.one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ];
    for selector in selectors {
        assert!(found(selector, pod), "{selector}");
        assert!(!found(selector, test), "{selector}");
    }
}

#[test]
fn a_user_namespace_of_its_own_is_offered() {
    let host_users = |values: Value| render(values).pod()["hostUsers"].clone();
    assert_eq!(host_users(json!({})), Value::Null);
    assert_eq!(host_users(json!({"hostUsers": false})), false);
}

#[test]
fn the_nodes_network_has_its_own_dns_policy() {
    let pod = |values: Value| render(values).pod().clone();
    assert!(pod(json!({}))["dnsPolicy"].is_null());
    assert!(pod(json!({}))["hostNetwork"].is_null());
    assert_eq!(
        pod(json!({"hostNetwork": true}))["dnsPolicy"],
        "ClusterFirstWithHostNet"
    );
    assert_eq!(
        pod(json!({"hostNetwork": true, "dnsPolicy": "Default"}))["dnsPolicy"],
        "Default"
    );
}

/// One key twice would be no YAML; and whatever people call theirs, pods must still be found.
#[test]
fn labels_of_ones_own_may_be_called_like_the_charts() {
    let labels = json!({
        "app.kubernetes.io/component": "mine",
        "app.kubernetes.io/instance": "mine",
        "app.kubernetes.io/part-of": "mine",
        "app.kubernetes.io/managed-by": "mine",
    });
    let annotation = json!({"kubectl.kubernetes.io/default-container": "sidecar"});
    let objects = render(json!({
        "commonLabels": labels, "podLabels": labels, "deploymentLabels": labels, "podAnnotations": annotation,
    }));
    let deployment = objects.one("Deployment");
    let template = &deployment["spec"]["template"]["metadata"];
    assert_eq!(template["annotations"], annotation);
    let selector = deployment["spec"]["selector"]["matchLabels"].as_object().unwrap();
    assert!(
        selector.iter().all(|(key, value)| template["labels"][key] == *value),
        "{template}"
    );
    for object in &objects.0 {
        let labels = &object["metadata"]["labels"];
        assert_eq!(labels["app.kubernetes.io/part-of"], "mine", "{object}");
        assert_eq!(
            labels["app.kubernetes.io/managed-by"], "Helm",
            "or it can't be upgraded: {object}"
        );
        assert_eq!(labels["app.kubernetes.io/instance"], NAME, "{object}");
    }
}

#[test]
fn every_object_says_whose_it_is_and_where() {
    for (case, values) in crate::valid::combinations() {
        for object in render(values).0 {
            let metadata = &object["metadata"];
            if object["kind"] == "ConfigMap" && metadata["labels"].is_null() {
                continue; // extraObjects are the user's
            }
            assert_eq!(
                metadata["labels"]["app.kubernetes.io/managed-by"], "Helm",
                "{object} of {case}"
            );
            let of_cluster = [
                "ClusterRole",
                "ClusterRoleBinding",
                "CustomResourceDefinition",
                "ClusterRealtimeProvider",
                "ValidatingAdmissionPolicy",
                "ValidatingAdmissionPolicyBinding",
            ]
            .contains(&object["kind"].as_str().unwrap());
            assert_eq!(metadata["namespace"].is_null(), of_cluster, "{object} of {case}");
        }
    }
    let labelled = render(json!({"commonLabels": {"team": "voice"}}));
    assert!(labelled.0.iter().all(|it| it["metadata"]["labels"]["team"] == "voice"));
    assert_eq!(labelled.one("Deployment")["metadata"]["name"], NAME);
    assert_eq!(labelled.one("Deployment")["metadata"]["namespace"], NAMESPACE);
}
