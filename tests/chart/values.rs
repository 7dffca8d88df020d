//! Which values are taken, and what people read about the others.

use serde_json::{Value, json};

use testkit::helm::{Helm, Major};

use crate::chart::{CHART, NAME, Objects, refused, render, with_image};

/// Refused by both helms, each message containing all of these.
#[track_caller]
fn refuses(values: Value, parts: &[&str]) {
    for said in refused(with_image(values.clone()), &[]) {
        for part in parts {
            assert!(said.contains(part), "{values} should be refused with {part}:\n{said}");
        }
    }
}

#[test]
fn a_misspelt_key_is_refused_wherever_it_is() {
    refuses(
        json!({"replicaCount": 3}),
        &["additional properties 'replicaCount' not allowed"],
    );
    for group in [
        "crds",
        "proxy",
        "caBundle",
        "log",
        "leaderElection",
        "autoscaling",
        "podDisruptionBudget",
        "requests",
        "serviceAccount",
        "rbac",
        "service",
        "health",
        "networkPolicy",
        "metrics",
        "resources",
        "helmTest",
    ] {
        let place = format!("at '/{group}': additional properties 'enable' not allowed");
        refuses(json!({group: {"enable": true}}), &[&place]);
    }
    refuses(
        json!({"metrics": {"serviceMonitor": {"enable": true}}}),
        &["at '/metrics/serviceMonitor': additional properties 'enable' not allowed"],
    );
}

#[test]
fn a_wrong_value_is_refused_with_its_place() {
    refuses(
        json!({"replicas": "two"}),
        &["at '/replicas': got string, want integer"],
    );
    refuses(
        json!({"log": {"format": "xml"}}),
        &["at '/log/format'", "'json', 'text'"],
    );
    refuses(
        json!({"watchNamespaces": "shop"}),
        &["at '/watchNamespaces': got string, want array"],
    );
    refuses(
        json!({"watchNamespaces": ["Shop"]}),
        &["at '/watchNamespaces/0'", "'Shop' does not match"],
    );
    refuses(json!({"image": {"repository": "x/y:1.0"}}), &["at '/image/repository'"]);
    refuses(
        json!({"image": {"repository": "x", "digest": "latest"}}),
        &["at '/image/digest'"],
    );
    refuses(
        json!({"allowEndpoints": ["gateway.example.com"]}),
        &["at '/allowEndpoints/0'"],
    );
    for wrong in ["*", "a b", "x/y/z"] {
        refuses(
            json!({"allowSecretMetadata": [wrong]}),
            &["at '/allowSecretMetadata/0'"],
        );
    }
    refuses(
        json!({"leaderElection": {"leaseDurationSeconds": 2}}),
        &["at '/leaderElection/leaseDurationSeconds'"],
    );
    refuses(
        json!({"commonLabels": {"tier": 1}}),
        &["at '/commonLabels/tier': got number, want string"],
    );
}

#[test]
fn without_an_image_it_says_where_one_comes_from() {
    for said in refused(json!({}), &[]) {
        assert!(
            said.contains("image.repository is not set, and no image is published yet"),
            "{said}"
        );
        assert!(said.contains("make image"), "{said}");
    }
}

/// Passwords in values end up in release Secrets, in Git and in `helm get values`.
#[test]
fn a_key_has_no_place_in_values() {
    let secret_ref = json!({"name": "openai"});
    let provider = |credentials: Value| json!({"providers": [{"name": "openai", "spec": {"openai": {}, "credentials": credentials}}]});
    render(provider(json!({"secretRef": secret_ref})));
    refuses(
        provider(json!({"secretRef": secret_ref, "apiKey": "sk-1"})),
        &["at '/providers/0/spec/credentials': additional properties 'apiKey' not allowed"],
    );
    refuses(
        provider(json!({})),
        &["at '/providers/0/spec/credentials': missing property 'secretRef'"],
    );
    refuses(
        json!({"proxy": {"https": "http://user:pass@proxy:3128"}}),
        &["at '/proxy/https'"],
    );
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    let providers =
        json!([{"name": "openai", "spec": {"openai": {}, "credentials": {"secretRef": {"name": "openai"}}}}]);
    refuses(
        json!({"providers": providers, "clusterProviders": false}),
        &["clusterProviders is false", "set clusterProviders=true, or remove them"],
    );
}

#[test]
fn two_providers_of_one_name_are_refused() {
    let openai = json!({"name": "openai", "spec": {"openai": {}, "credentials": {"secretRef": {"name": "openai"}}}});
    refuses(
        json!({"providers": [openai, openai]}),
        &["providers has two of the name openai"],
    );
}

#[test]
fn an_umbrella_chart_may_have_globals() {
    render(json!({"global": {"anything": [1]}}));
}

#[test]
fn names_follow_the_release_and_can_be_replaced() {
    let name = |values| render(values).one("Deployment")["metadata"]["name"].clone();
    assert_eq!(name(json!({})), NAME);
    assert_eq!(name(json!({"nameOverride": "rto"})), "realtime-token-operator-rto");
    assert_eq!(name(json!({"fullnameOverride": "rto"})), "rto");
    // Two releases, side by side in one namespace: neither selects the other's pods.
    let args = ["template", "second", CHART, "--set", "image.repository=x"];
    let two = Objects::parse(&Helm::new(Major::Four).unwrap().run(args).unwrap());
    let deployment = two.one("Deployment");
    assert_eq!(deployment["metadata"]["name"], "second-realtime-token-operator");
    assert_eq!(
        deployment["spec"]["selector"]["matchLabels"]["app.kubernetes.io/instance"],
        "second"
    );
}
