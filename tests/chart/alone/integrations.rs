//! The manifests of docs/integrations.md on a real API server, with a release of the chart.

use std::fs;

use kube::ResourceExt;
use serde_json::{Value, json};
use testkit::cluster::Options;
use testkit::go;
use testkit::helm::Major;

use super::setup::Setup;
use crate::integrations::blocks;

const NAMESPACE: &str = "operators";

#[tokio::test]
async fn other_tools_get_what_they_look_for() {
    let setup = Setup::start(Options::default()).await;
    setup.namespace(NAMESPACE, json!({})).await;
    let [values, reloader] = parsed("Reloader");
    setup.install(&setup.helm(Major::Four), NAMESPACE, &values);
    let _operator = setup.operator(NAMESPACE).await;
    let shop = setup.tenant("shop").await;

    let mut spec = reloader["spec"].clone();
    spec["openai"]["endpoint"] = json!(setup.standin.url());
    shop.create("voice", spec).await;
    let ignored = |secret: &k8s_openapi::api::core::v1::Secret| {
        secret
            .annotations()
            .get("reloader.stakater.com/ignore")
            .is_some_and(|it| it == "true")
    };
    shop.secret("voice", ignored).await;

    let module = go::module("github.com/external-secrets/external-secrets", "1.3.2").unwrap();
    let crd = module.join("config/crds/bases/external-secrets.io_pushsecrets.yaml");
    setup.kubectl(&["apply", "--server-side", "--filename", crd.to_str().unwrap()]);
    setup.kubectl(&[
        "wait",
        "--for=condition=Established",
        "crd/pushsecrets.external-secrets.io",
    ]);
    let [push, token] = parsed("External Secrets");
    assert_eq!(push["spec"]["selector"]["secret"]["name"], token["metadata"]["name"]);
    let folder = tempfile::tempdir().unwrap();
    for manifest in [push, token] {
        let file = folder.path().join("manifest.json");
        fs::write(&file, manifest.to_string()).unwrap();
        let args = ["apply", "--server-side", "--validate=strict", "--dry-run=server"];
        setup.kubectl(&[&args[..], &["--filename", file.to_str().unwrap()]].concat());
    }
}

/// The two blocks of YAML of a section.
fn parsed(section: &str) -> [Value; 2] {
    let blocks = blocks(section, "yaml");
    let parsed: Vec<_> = blocks
        .iter()
        .map(|block| serde_saphyr::from_str(block).unwrap())
        .collect();
    parsed.try_into().unwrap()
}
