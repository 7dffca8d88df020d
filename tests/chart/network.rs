//! The NetworkPolicy: by default nobody but the kubelet reaches the probes; what goes out is restricted on request.

use serde_json::{Value, json};

use crate::chart::render;

fn policy(values: Value) -> Value {
    render(values).one("NetworkPolicy")["spec"].clone()
}

fn ports(rule: &Value) -> Vec<i64> {
    let ports = rule["ports"].as_array().unwrap();
    ports.iter().map(|port| port["port"].as_i64().unwrap()).collect()
}

#[test]
fn by_default_it_restricts_what_comes_in_and_nothing_that_goes_out() {
    let spec = policy(json!({}));
    assert_eq!(spec["policyTypes"], json!(["Ingress"]));
    assert_eq!(spec["egress"], Value::Null);
    assert!(
        render(json!({"networkPolicy": {"enabled": false}}))
            .all("NetworkPolicy")
            .is_empty()
    );
}

#[test]
fn out_go_dns_the_api_server_and_the_providers() {
    let spec = policy(json!({"networkPolicy": {"restrictEgress": true}}));
    assert_eq!(spec["policyTypes"], json!(["Ingress", "Egress"]));
    let egress = spec["egress"].as_array().unwrap();
    assert_eq!(egress.len(), 2);
    assert_eq!(
        egress[0]["ports"],
        json!([{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}])
    );
    assert_eq!(ports(&egress[1]), [443, 6443]);
}

#[test]
fn a_proxy_and_listed_endpoints_are_reachable_without_being_named_twice() {
    let spec = policy(json!({
        "networkPolicy": {"restrictEgress": true, "apiServerPorts": [16443]},
        "proxy": {"https": "http://proxy.example.com:3128"},
        "allowEndpoints": ["https://gateway.example.com:8443", "https://plain.example.com", "http://[::1]:8089", "http://a.b"],
    }));
    assert_eq!(ports(&spec["egress"][1]), [16443, 443, 3128, 8443, 8089, 80]);
}

/// The kubelet comes from the node, which always reaches its own pods.
#[test]
fn probes_are_for_helms_test_and_metrics_for_those_who_scrape() {
    let ports = |name: &str| json!([{"port": name, "protocol": "TCP"}]);
    let monitoring = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}});
    for (values, scrapers) in [
        (json!({}), Value::Null),
        (
            json!({"networkPolicy": {"metricsFrom": [monitoring]}}),
            json!([monitoring]),
        ),
    ] {
        let objects = render(values);
        let ingress = &objects.one("NetworkPolicy")["spec"]["ingress"];
        assert_eq!(ingress.as_array().unwrap().len(), 2);
        assert_eq!(
            (&ingress[0]["ports"], &ingress[1]["ports"]),
            (&ports("health"), &ports("metrics"))
        );
        assert_eq!(ingress[1]["from"], scrapers);
        let from = ingress[0]["from"].as_array().unwrap();
        assert_eq!(from.len(), 1);
        let allowed = from[0]["podSelector"]["matchLabels"].as_object().unwrap();
        let test = &objects.one("Pod")["metadata"]["labels"];
        assert!(!allowed.is_empty());
        assert!(allowed.iter().all(|(key, value)| test[key] == *value), "{allowed:?}");
    }
}
