//! What the chart says of itself.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};
use testkit::helm::{Helm, Major};

use crate::chart::{CHART, file, refused, render, render_with, with_image};

fn chart_yaml() -> Value {
    serde_saphyr::from_str(&file("charts/realtime-token-operator/Chart.yaml")).unwrap()
}

#[test]
fn both_helms_lint_it_strictly() {
    for major in Major::ALL {
        let said = Helm::new(major).unwrap().run(["lint", "--strict", CHART]).unwrap();
        assert!(said.contains("0 chart(s) failed"), "{said}");
        assert!(!said.contains("WARN") && !said.contains("ERROR"), "{said}");
    }
}

#[test]
fn its_versions_are_the_crates() {
    let chart = chart_yaml();
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["description"], env!("CARGO_PKG_DESCRIPTION"));
    let image = render(json!({})).container()["image"].clone();
    assert_eq!(
        image,
        concat!(
            "registry.example.com/realtime-token-operator:",
            env!("CARGO_PKG_VERSION")
        )
    );
}

#[test]
fn it_installs_on_the_versions_it_is_tested_with() {
    for minor in 33..=37 {
        render_with(json!({}), &["--kube-version", &format!("1.{minor}.0")]);
    }
    // As managed clusters call themselves.
    render_with(json!({}), &["--kube-version", "v1.33.4-gke.1036000"]);
    for said in refused(with_image(json!({})), &["--kube-version", "1.32.9"]) {
        assert!(said.contains("chart requires kubeVersion: >=1.33.0-0"), "{said}");
    }
}

#[test]
fn the_annotations_for_artifact_hub_describe_what_is_installed() {
    let chart = chart_yaml();
    let part = |name: &str| -> Vec<Value> {
        let text = chart["annotations"][format!("artifacthub.io/{name}")].as_str().unwrap();
        serde_saphyr::from_str(text).unwrap()
    };
    let crds: Vec<CustomResourceDefinition> = realtime_token_operator::api::crds().unwrap();
    let listed = part("crds");
    let examples = part("crdsExamples");
    assert_eq!(listed.len(), crds.len());
    for crd in crds {
        let kind = &crd.spec.names.kind;
        let entry = listed.iter().find(|entry| entry["kind"] == **kind).unwrap();
        assert_eq!(entry["name"], crd.metadata.name.unwrap());
        assert_eq!(entry["version"], crd.spec.versions[0].name);
        assert!(
            examples.iter().any(|example| example["kind"] == **kind),
            "an example of {kind}"
        );
    }
    assert_eq!(
        chart["annotations"]["artifacthub.io/license"],
        env!("CARGO_PKG_LICENSE")
    );
}

/// What only the repository needs isn't shipped.
#[test]
fn a_package_holds_the_chart_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    for major in Major::ALL {
        let helm = Helm::new(major).unwrap();
        helm.run(["package", CHART, "--destination", path]).unwrap();
        let package = format!("{path}/realtime-token-operator-{}.tgz", env!("CARGO_PKG_VERSION"));
        let listing = std::process::Command::new("tar")
            .args(["-tzf", &package])
            .output()
            .unwrap();
        let listing = String::from_utf8(listing.stdout).unwrap();
        let files: Vec<_> = listing
            .lines()
            .map(|line| line.trim_start_matches("realtime-token-operator/"))
            .collect();
        for needed in [
            "Chart.yaml",
            "values.yaml",
            "values.schema.json",
            "README.md",
            "LICENSE",
            "files/crds/realtimetokens.yaml",
        ] {
            assert!(files.contains(&needed), "{needed} in {files:?}");
        }
        assert!(
            !files
                .iter()
                .any(|file| file.contains("gotmpl") || file.contains(".helmignore")),
            "{files:?}"
        );
    }
}

#[test]
fn its_licence_is_the_repositorys() {
    assert!(
        file("LICENSE") == file("charts/realtime-token-operator/LICENSE"),
        "copy LICENSE into the chart"
    );
}
