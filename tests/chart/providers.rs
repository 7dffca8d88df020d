//! ClusterRealtimeProviders in values.

use serde_json::{Value, json};

use crate::chart::{Objects, file, render, render_with};

/// An API that every cluster serves and that `helm template` doesn't make up: with it, it is as on a cluster.
const CLUSTER: &str = "apiregistration.k8s.io/v1";
const SERVED: &str = "realtime-token.dev/v1alpha1/ClusterRealtimeProvider";

fn values() -> Value {
    json!({"providers": [
        {"name": "openai", "spec": {"openai": {"region": "EU"}, "credentials": {"secretRef": {"name": "openai"}}}},
        {"name": "eleven", "spec": {"elevenlabs": {}, "credentials": {"secretRef": {"name": "eleven"}}, "namespaceSelector": {}}},
    ]})
}

fn names(objects: &Objects) -> Vec<&str> {
    let providers = objects.all("ClusterRealtimeProvider");
    providers
        .iter()
        .map(|it| it["metadata"]["name"].as_str().unwrap())
        .collect()
}

#[test]
fn they_are_rendered_as_they_are() {
    let objects = render(values());
    assert_eq!(names(&objects), ["eleven", "openai"]);
    let spec = |name: &str| objects.named("ClusterRealtimeProvider", name)["spec"].clone();
    assert_eq!(spec("openai"), values()["providers"][0]["spec"]);
    // An empty selector selects all namespaces; left out, it would select none.
    assert_eq!(spec("eleven")["namespaceSelector"], json!({}));
}

/// Helm looks up the kinds of everything before it creates the first thing.
#[test]
fn on_the_first_install_they_wait_for_their_crd() {
    assert!(names(&render_with(values(), &["--api-versions", CLUSTER])).is_empty());
    let both = ["--api-versions", CLUSTER, "--api-versions", SERVED];
    assert_eq!(names(&render_with(values(), &both)).len(), 2);
    // An upgrade must never take one away.
    assert_eq!(
        names(&render_with(values(), &["--api-versions", CLUSTER, "--is-upgrade"])).len(),
        2
    );
    // Where the CRDs come from elsewhere, they are there, or helm says what is missing.
    let mut elsewhere = values();
    elsewhere["crds"] = json!({"install": false});
    assert_eq!(names(&render_with(elsewhere, &["--api-versions", CLUSTER])).len(), 2);
}

/// The chart refuses what the CRD wouldn't take in the place where people would put a key.
#[test]
fn a_provider_has_the_credentials_of_its_kind() {
    let crd: Value = serde_saphyr::from_str(&file("crds/clusterrealtimeproviders.yaml")).unwrap();
    let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/credentials/properties";
    let schema: Value = serde_json::from_str(&file("charts/realtime-token-operator/values.schema.json")).unwrap();
    let item = "/properties/providers/items/properties/spec/properties/credentials/properties";
    let keys = |document: &Value, place: &str| {
        let mut keys: Vec<_> = document
            .pointer(place)
            .unwrap()
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect();
        keys.sort();
        json!(keys)
    };
    assert_eq!(keys(&schema, item), keys(&crd, spec));
}
