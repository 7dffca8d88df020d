//! The CRDs that the chart installs are those of the types.

use realtime_token_operator::api;
use serde_json::{Value, json};
use testkit::helm::Major;

use crate::chart::{file, render, template, with_image};

const KINDS: [&str; 2] = ["clusterrealtimeproviders", "realtimetokens"];

#[test]
fn the_charts_copies_are_the_types_byte_for_byte() {
    let generated = api::crds_yaml().unwrap();
    for kind in KINDS {
        let copy = file(&format!("charts/realtime-token-operator/files/crds/{kind}.yaml"));
        assert!(generated.contains(&copy), "{kind}: run `make crds`");
        assert_eq!(copy, file(&format!("crds/{kind}.yaml")), "{kind}: run `make crds`");
    }
    let copies = format!("{}/files/crds", crate::chart::CHART);
    assert_eq!(
        std::fs::read_dir(copies).unwrap().count(),
        KINDS.len(),
        "a file of no kind: run `make crds`"
    );
    assert_eq!(
        generated.matches("\n---\n").count() + 1,
        KINDS.len(),
        "a kind that the chart doesn't install"
    );
}

/// What Helm adds is in the labels and annotations; take these away and the rest is the file's, byte for byte.
#[test]
fn helm_adds_labels_and_keeps_the_rest() {
    let bare = |text: &str| {
        let mut bare = String::new();
        let mut skipping = false;
        for line in text.lines() {
            match line {
                "  labels:" | "  annotations:" => skipping = true,
                line if skipping && line.starts_with("    ") => {}
                line => {
                    skipping = false;
                    bare.push_str(line);
                    bare.push('\n');
                }
            }
        }
        bare
    };
    for major in Major::ALL {
        let only = ["--show-only", "templates/crds.yaml"];
        let rendered = bare(&template(major, &with_image(json!({})), &only).unwrap());
        for kind in KINDS {
            let original = bare(&file(&format!("crds/{kind}.yaml")));
            let original = original.trim_start_matches("---\n").trim_end();
            assert!(rendered.contains(original), "{kind} with {major:?}");
        }
    }
}

/// By it the plugin of kubectl tells of which operator the CRDs are.
#[test]
fn the_version_that_the_files_carry_stays() {
    for keep in [true, false] {
        for crd in render(json!({"crds": {"keep": keep}})).all("CustomResourceDefinition") {
            let version = &crd["metadata"]["annotations"]["realtime-token.dev/version"];
            assert_eq!(*version, env!("CARGO_PKG_VERSION"), "{}", crd["metadata"]["name"]);
        }
    }
}

#[test]
fn they_are_kept_on_uninstall_unless_told_otherwise() {
    let policy = |values: Value| -> Vec<Value> {
        let objects = render(values);
        let crds = objects.all("CustomResourceDefinition");
        assert_eq!(crds.len(), KINDS.len());
        let policies = crds
            .iter()
            .map(|crd| crd["metadata"]["annotations"]["helm.sh/resource-policy"].clone());
        policies.collect()
    };
    assert_eq!(policy(json!({})), ["keep", "keep"]);
    assert_eq!(policy(json!({"crds": {"keep": false}})), [Value::Null, Value::Null]);
    assert!(
        render(json!({"crds": {"install": false}}))
            .all("CustomResourceDefinition")
            .is_empty()
    );
}
