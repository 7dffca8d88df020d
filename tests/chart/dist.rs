//! dist/: the chart as plain manifests, and with kustomize.
//!
//! With `UPDATE` set install.yaml is written (`make dist`), else compared.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use testkit::helm::{Helm, Major};
use testkit::kubectl::kubectl;

use crate::alone::setup::run;
use crate::chart::{NAME, Objects, REPOSITORY, file, render_with};

const IMAGE: &str = "localhost/realtime-token-operator";

/// What dist/render prints.
fn rendered(major: Major) -> String {
    let helm = Helm::new(major).unwrap();
    let program = helm.command::<&str>([]).get_program().to_owned();
    run(Command::new(Path::new(REPOSITORY).join("dist/render")).env("HELM", program))
}

/// What `kubectl kustomize` makes of a folder.
fn kustomize(folder: &Path) -> Objects {
    Objects::parse(&run(Command::new(kubectl().unwrap()).arg("kustomize").arg(folder)))
}

#[test]
fn the_manifests_are_what_helm_renders() {
    let [three, four] = Major::ALL.map(rendered);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(Path::new(REPOSITORY).join("dist/install.yaml"), &four).unwrap();
    }
    let written = file("dist/install.yaml");
    let differs = four.lines().zip(written.lines()).find(|(new, old)| new != old);
    assert_eq!(differs, None, "dist/install.yaml: run `make dist`");
    assert_eq!(four.len(), written.len(), "dist/install.yaml: run `make dist`");
    assert_eq!(Objects::parse(&three).0, Objects::parse(&four).0);
}

/// The chart's objects but for `helm test`, without Helm's label, and the namespace they are in.
#[test]
fn the_manifests_leave_nothing_out() {
    let mut plain = Objects::parse(&file("dist/install.yaml"));
    let namespace = plain.one("Namespace")["metadata"]["name"].clone();
    plain.0.retain(|object| object["kind"] != "Namespace");
    let args = ["--namespace", NAME, "--skip-tests"];
    let mut chart = render_with(json!({"image": {"repository": IMAGE}}), &args);
    for object in &mut chart.0 {
        without_helms_label(object);
    }
    assert_eq!(plain.titles(), chart.titles());
    assert_eq!(plain.0, chart.0);
    let inside = plain.0.iter().filter_map(|object| object["metadata"].get("namespace"));
    assert!(inside.into_iter().all(|it| *it == namespace));
}

fn without_helms_label(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("app.kubernetes.io/managed-by");
            fields.values_mut().for_each(without_helms_label);
        }
        Value::Array(values) => values.iter_mut().for_each(without_helms_label),
        _ => {}
    }
}

#[test]
fn kustomize_takes_them_as_they_are() {
    let [built, plain] = [
        kustomize(&Path::new(REPOSITORY).join("dist")),
        Objects::parse(&file("dist/install.yaml")),
    ];
    assert_eq!(built.titles(), plain.titles());
    for (built, plain) in built.0.iter().zip(&plain.0) {
        // It writes the bounds of numbers in CRDs without their fraction.
        assert!(
            built == plain || built["kind"] == "CustomResourceDefinition",
            "{built} {plain}"
        );
    }
}

/// The overlay of docs/install.md, beside a clone.
#[test]
fn an_overlay_has_an_image_and_arguments_of_its_own() {
    let text = file("docs/install.md");
    let (_, overlay) = text.split_once("```yaml\n# kustomization.yaml\n").unwrap();
    let overlay = overlay.split("\n```").next().unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), overlay).unwrap();
    std::os::unix::fs::symlink(REPOSITORY, folder.path().join("realtime-token-operator")).unwrap();
    let overlaid = kustomize(folder.path());
    let container = overlaid.container();
    assert_eq!(container["image"], "registry.example.com/realtime-token-operator:0.1.0");
    assert!(
        overlaid
            .args()
            .contains(&"--allow-endpoint=https://gateway.example.com")
    );
    let base = Objects::parse(&file("dist/install.yaml"));
    assert_eq!(overlaid.titles(), base.titles());
    assert_eq!(overlaid.args().len(), base.args().len() + 1);
}
