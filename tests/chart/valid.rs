//! What is rendered is valid Kubernetes, for every combination of values that matters.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::pypi::VALIDATE;

use crate::chart::{REPOSITORY, file, render};

/// The versions whose schemas the manifests are held against.
pub const KUBERNETES: [&str; 5] = ["1.33.0", "1.34.0", "1.35.0", "1.36.0", "1.37.0"];

/// Every value away from its default at least once, and those together that meet in one template.
pub fn combinations() -> Vec<(&'static str, Value)> {
    let provider = json!({
        "name": "openai",
        "spec": {
            "openai": {"region": "EU", "organization": "org-x"},
            "credentials": {"secretRef": {"name": "openai", "key": "api-key"}},
            "namespaceSelector": {"matchLabels": {"realtime-token.dev/openai": "yes"}},
            "policy": {"maxExpirationSeconds": 3600, "allowedModels": ["gpt-realtime-*"]},
            "rateLimit": {"requestsPerMinute": 60, "burst": 10},
        },
    });
    vec![
        ("defaults", json!({})),
        ("one replica", json!({"replicas": 1})),
        (
            "one replica without election",
            json!({"replicas": 1, "leaderElection": {"enabled": false}}),
        ),
        ("no replicas", json!({"replicas": 0})),
        (
            "namespaces",
            json!({"watchNamespaces": ["shop", "lab", "platform", "shop"]}),
        ),
        (
            "namespaces only",
            json!({"watchNamespaces": ["shop"], "clusterProviders": false, "crds": {"install": false}}),
        ),
        ("no cluster providers", json!({"clusterProviders": false})),
        ("providers", json!({"providers": [provider], "crds": {"keep": false}})),
        ("network policy", json!({"networkPolicy": {"enabled": true}})),
        (
            "network policy with everything",
            json!({
                "networkPolicy": {
                    "restrictEgress": true,
                    "apiServerPorts": [6443],
                    "metricsFrom": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
                    "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
                },
                "proxy": {"https": "http://proxy.example.com:3128", "http": "http://proxy.example.com", "noProxy": ".svc"},
                "allowEndpoints": ["https://gateway.example.com:8443", "http://127.0.0.1:8089"],
            }),
        ),
        ("admission policies", json!({"admissionPolicies": {"enabled": true}})),
        ("requests", json!({"requests": {"enabled": true}})),
        (
            "requests with everything",
            json!({
                "requests": {
                    "enabled": true,
                    "port": 9443,
                    "url": "https://tokens.example.com",
                    "tls": {"ownSecretName": "tokens-tls", "caDays": 90},
                    "shutdownDelaySeconds": 0,
                },
                "autoscaling": {"enabled": true, "minReplicas": 3, "maxReplicas": 9, "targetCPU": "250m"},
                "networkPolicy": {
                    "requestsFrom": [{"namespaceSelector": {"matchLabels": {"team": "shop"}}}],
                },
                "helmTest": {"realtimeToken": "shop/voice"},
                "admissionPolicies": {"enabled": true},
            }),
        ),
        (
            "requests in namespaces",
            json!({
                "requests": {"enabled": true, "tls": {"secretName": "from-cert-manager"}},
                "watchNamespaces": ["shop"],
                "clusterProviders": false,
                "service": {"enabled": false},
            }),
        ),
        (
            "node",
            json!({
                "hostNetwork": true,
                "health": {"port": 18081},
                "metrics": {"port": 18080},
                "priorityClassName": "system-cluster-critical",
                "runtimeClassName": "gvisor",
                "hostUsers": false,
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "arch", "operator": "In", "values": ["amd64"]}]}],
                }}},
                "topologySpreadConstraints": [],
                "podDisruptionBudget": {"maxUnavailable": "50%"},
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%"}},
            }),
        ),
        (
            "metrics with authentication",
            json!({"metrics": {"authentication": true, "serviceMonitor": {"enabled": true}}}),
        ),
        (
            "metrics with authentication in namespaces",
            json!({
                "watchNamespaces": ["shop"],
                "clusterProviders": false,
                "networkPolicy": {"enabled": false},
                "metrics": {"authentication": true, "podMonitor": {
                    "enabled": true,
                    "endpoint": {"authorization": {"credentials": {"name": "scraper", "key": "token"}}},
                }},
            }),
        ),
        ("other dns", json!({"hostNetwork": true, "dnsPolicy": "Default"})),
        (
            "image",
            json!({
                "image": {
                    "repository": "registry.example.com:5000/team/rto",
                    "digest": format!("sha256:{}", "ab".repeat(32)),
                    "pullPolicy": "Always",
                },
                "imagePullSecrets": [{"name": "registry"}],
            }),
        ),
        (
            "operator",
            json!({
                "allowEndpoints": ["https://gateway.example.com"],
                "caBundle": {"configMap": "corporate-ca", "key": "bundle.pem"},
                "log": {"level": "info,realtime_token_operator=debug", "format": "text"},
                "concurrency": 8,
                "mintsPerCredential": 2,
                "metrics": {"perObject": false},
                "leaderElection": {"leaseName": "lease", "leaseDurationSeconds": 30},
                "extraArgs": ["--namespace=keys"],
                "extraEnv": [{"name": "HTTPS_PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}}],
                "extraVolumes": [{"name": "more", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
            }),
        ),
        (
            "labels",
            json!({
                "commonLabels": {"team": "voice"},
                "deploymentLabels": {"a": "1"},
                "deploymentAnnotations": {"b": "2"},
                "podLabels": {"c": "3"},
                "podAnnotations": {"d": "4"},
                "serviceAccount": {"annotations": {"e": "5"}},
                "service": {"annotations": {"f": "6"}, "port": 80},
            }),
        ),
        (
            "bare",
            json!({
                "rbac": {"create": false},
                "serviceAccount": {"create": false, "name": "mine"},
                "service": {"enabled": false},
                "helmTest": {"enabled": false},
                "podDisruptionBudget": {"enabled": false},
                "podSecurityContext": {"runAsUser": 1000, "runAsGroup": 1000},
                "resources": {"limits": null},
            }),
        ),
        ("no aggregation", json!({"rbac": {"aggregate": false}})),
        (
            "extra objects",
            json!({"extraObjects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}},
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: two-{{ .Release.Name }}\n",
            ]}),
        ),
        (
            "monitoring",
            json!({"metrics": {
                "serviceMonitor": {"enabled": true, "labels": {"release": "prometheus"}},
                "prometheusRule": {"enabled": true},
                "dashboard": {"enabled": true, "annotations": {"grafana_folder": "Voice"}},
            }}),
        ),
        (
            "pod monitor",
            json!({"metrics": {"podMonitor": {"enabled": true}}, "service": {"enabled": false}}),
        ),
    ]
}

#[test]
fn every_combination_is_valid_on_every_supported_version() {
    let crds: Vec<Value> = ["clusterrealtimeproviders", "realtimetokens"]
        .map(|kind| serde_saphyr::from_str(&file(&format!("crds/{kind}.yaml"))).unwrap())
        .to_vec();
    // The same object of several combinations is looked at once.
    let mut distinct = BTreeMap::new();
    for (case, values) in combinations() {
        for object in render(values).0 {
            distinct.entry(object.to_string()).or_insert(case);
        }
    }
    let objects: Vec<_> = distinct
        .iter()
        .map(|(text, case)| json!({"case": case, "object": serde_json::from_str::<Value>(text).unwrap()}))
        .collect();
    let broken = json!([
        {"case": "a misspelt field", "object": {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}}},
        {"case": "a wrong field", "object": {
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": "x"},
            "spec": {"openai": {"regoin": "EU"}, "credentials": {"secretRef": {"name": "x"}}},
        }},
    ]);
    let versions = KUBERNETES;
    let validate = |objects: &Value| -> Vec<String> {
        let job = json!({"versions": versions, "crds": crds, "objects": objects});
        let script = format!("{REPOSITORY}/tests/chart/valid.py");
        let said = VALIDATE.run(script.as_ref(), &[], job.to_string().as_bytes()).unwrap();
        said.lines().map(str::to_owned).collect()
    };

    // It does find mistakes.
    let found = validate(&broken);
    assert_eq!(found.len(), versions.len() + 2, "{found:#?}");
    assert!(
        found[0].starts_with("Service x of a misspelt field for 1.33.0: "),
        "{found:#?}"
    );
    assert!(found[0].contains("prots"), "{found:#?}");
    assert!(found[versions.len()].contains("regoin"), "{found:#?}");

    let mut found = validate(&json!(objects));
    assert!(found.pop().unwrap().starts_with("checked "));
    assert_eq!(found, Vec::<String>::new());
    assert!(objects.len() > 60, "{} objects", objects.len());
}
