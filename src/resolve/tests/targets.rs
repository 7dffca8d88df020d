//! Which Secrets may be written. The CRD says the same of names and of Helm's label; old objects have only this.

use super::*;

fn with_target(name: &str, target: &Value) -> Result<Resolved, Blocked> {
    let mut spec = with_own_key(&openai());
    spec["target"] = target.clone();
    let endpoints = EndpointPolicy::default();
    let listed = MetadataPolicy::parse(["team", "owner", "example.com/*"]).unwrap();
    let context = ResolveContext {
        provider: None,
        namespace_labels: &BTreeMap::new(),
        operator_namespace: "operator",
        endpoints: &endpoints,
        metadata: &listed,
    };
    resolve(&token_named(name, "apps", &spec), &context)
}

#[test]
fn names_that_others_read_are_reserved() {
    for reserved in ["sh.helm.release.v1.shop.v1", "bootstrap-token-07401b"] {
        for answer in [
            with_target(reserved, &json!({})),
            with_target("voice", &json!({"name": reserved})),
        ] {
            let reason = refused(answer, "choose another");
            assert_eq!(reason, Reason::TargetNotAllowed, "{reserved}");
        }
        assert!(with_target(reserved, &json!({"name": "voice"})).is_ok());
    }
    for free in ["sh.helm", "helm", "token-bootstrap", "my-bootstrap-token-1"] {
        assert!(with_target(free, &json!({})).is_ok(), "{free}");
    }
}

#[test]
fn only_listed_labels_and_annotations_are_written() {
    let with = |field: &str, key: &str, value: &str| {
        with_target("voice", &json!({"template": {"metadata": {field: {key: value}}}}))
    };
    for field in ["labels", "annotations"] {
        for listed in ["team", "example.com/tier"] {
            assert!(with(field, listed, "x").is_ok(), "{field} {listed}");
        }
        for key in ["grafana_dashboard", "name", "argocd.argoproj.io/secret-type"] {
            let reason = refused(with(field, key, "x"), "--allow-secret-metadata");
            assert_eq!(reason, Reason::TargetNotAllowed, "{field} {key}");
        }
    }
    assert!(with("labels", "owner", "shop").is_ok());
    let reason = refused(with("labels", "owner", "helm"), "one of its releases");
    assert_eq!(reason, Reason::TargetNotAllowed, "though it is listed");
}
