//! values.openshift.yaml: what it renders fits the SCC restricted-v2.

use serde_json::{Value, json};

use crate::chart::{Objects, file, render};

fn openshift(more: Value) -> Objects {
    let text = file("charts/realtime-token-operator/values.openshift.yaml");
    let mut values: Value = serde_saphyr::from_str(&text).unwrap();
    assert!(!has_null(&values), "{values}");
    merge(&mut values, more);
    render(values)
}

fn has_null(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.iter().any(has_null),
        Value::Object(values) => values.values().any(has_null),
        _ => false,
    }
}

fn merge(into: &mut Value, more: Value) {
    match more {
        Value::Object(more) => more.into_iter().for_each(|(key, value)| merge(&mut into[&key], value)),
        value => *into = value,
    }
}

/// What restricted-v2 allows, field by field, as far as these pods have them. The namespace chooses user and groups.
fn assert_admitted(pod: &Value) {
    for field in ["hostNetwork", "hostPID", "hostIPC", "hostUsers"] {
        assert!(pod[field].is_null(), "{field}");
    }
    let containers = pod["containers"].as_array().unwrap().iter();
    let containers = containers.chain(pod["initContainers"].as_array().into_iter().flatten());
    for container in containers.clone() {
        let security = &container["securityContext"];
        assert_eq!(security["allowPrivilegeEscalation"], false);
        assert_eq!(security["capabilities"], json!({"drop": ["ALL"]}));
        assert!(security["privileged"].is_null());
        for port in container["ports"].as_array().into_iter().flatten() {
            assert!(port["hostPort"].is_null(), "{port}");
        }
    }
    for security in containers
        .map(|it| &it["securityContext"])
        .chain([&pod["securityContext"]])
    {
        for field in [
            "runAsUser",
            "runAsGroup",
            "fsGroup",
            "supplementalGroups",
            "seLinuxOptions",
        ] {
            assert!(security[field].is_null(), "{field} is set: {security}");
        }
        let profile = &security["seccompProfile"]["type"];
        assert!(profile.is_null() || profile == "RuntimeDefault", "{security}");
    }
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let allowed = [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ];
    for volume in pod["volumes"].as_array().into_iter().flatten() {
        let kinds = volume.as_object().unwrap().keys().filter(|key| *key != "name");
        assert!(kinds.clone().all(|kind| allowed.contains(&kind.as_str())), "{volume}");
    }
}

#[test]
fn its_pods_fit_restricted_v2() {
    let requests = json!({"requests": {"enabled": true}, "caBundle": {"configMap": "corporate-ca"}});
    for more in [json!({}), requests] {
        let objects = openshift(more);
        assert_admitted(objects.pod());
        for test in objects.all("Pod") {
            assert_admitted(&test["spec"]);
        }
    }
}

#[test]
fn the_operator_may_change_owners() {
    let objects = openshift(json!({}));
    let may_delete = |rule: &Value| {
        let holds = |list: &Value, word: &str| list.as_array().unwrap().iter().any(|it| it == word);
        holds(&rule["resources"], "secrets") && holds(&rule["verbs"], "delete")
    };
    let roles = objects.all("ClusterRole").into_iter().chain(objects.all("Role"));
    let mut rules = roles.flat_map(|role| role["rules"].as_array()).flatten();
    assert!(rules.any(may_delete));
}

/// Egress to the DNS pods of OpenShift is left open where egress is restricted, and nothing is opened where it isn't.
#[test]
fn names_are_resolved_with_restricted_egress() {
    let egress = |more: Value| openshift(more).one("NetworkPolicy")["spec"]["egress"].clone();
    assert!(egress(json!({})).is_null());
    let rules = egress(json!({"networkPolicy": {"restrictEgress": true}})).to_string();
    assert!(rules.contains(r#"{"port":5353,"protocol":"UDP"}"#), "{rules}");
}
