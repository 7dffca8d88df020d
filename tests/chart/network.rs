//! The NetworkPolicy: off by default, and with all that the operator needs when it is on.

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
fn there_is_none_unless_asked_for() {
    assert!(render(json!({})).all("NetworkPolicy").is_empty());
}

#[test]
fn out_go_dns_the_api_server_and_the_providers() {
    let spec = policy(json!({"networkPolicy": {"enabled": true}}));
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
        "networkPolicy": {"enabled": true, "apiServerPorts": [16443]},
        "proxy": {"https": "http://proxy.example.com:3128"},
        "allowEndpoints": ["https://gateway.example.com:8443", "https://plain.example.com", "http://[::1]:8089", "http://a.b"],
    }));
    assert_eq!(ports(&spec["egress"][1]), [16443, 443, 3128, 8443, 8089, 80]);
}

#[test]
fn in_come_those_who_scrape_and_helms_test() {
    let spec = policy(json!({"networkPolicy": {"enabled": true}}));
    assert_eq!(
        spec["ingress"],
        json!([{"ports": [{"port": "http", "protocol": "TCP"}]}]),
        "everybody, at this port"
    );

    let monitoring = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}});
    let values = json!({"networkPolicy": {"enabled": true, "metricsFrom": [monitoring]}});
    let objects = render(values);
    let from = &objects.one("NetworkPolicy")["spec"]["ingress"][0]["from"];
    assert_eq!(from[0], monitoring);
    let allowed = from[1]["podSelector"]["matchLabels"].as_object().unwrap();
    let test = &objects.one("Pod")["metadata"]["labels"];
    assert!(allowed.iter().all(|(key, value)| test[key] == *value), "{allowed:?}");
}
