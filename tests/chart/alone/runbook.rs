//! What the runbook has on-call do with a release: the same commands with both helms.

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testkit::cluster::Options;
use testkit::helm::Major;

use super::setup::{CHART, RELEASE, Setup};

const NAMESPACE: &str = "operators";
const RUNBOOK: &str = include_str!("../../../docs/runbook.md");
const CRD: &str = "realtimetokens.realtime-token.dev";

#[tokio::test]
async fn what_helm_3_installed_is_restored() {
    is_restored(Major::Three).await;
}

#[tokio::test]
async fn what_helm_4_installed_is_restored() {
    is_restored(Major::Four).await;
}

async fn is_restored(major: Major) {
    let setup = Setup::start(Options::default()).await;
    let helm = setup.helm(major);
    setup.namespace(NAMESPACE, json!({})).await;
    setup.install(&helm, NAMESPACE, &json!({}));
    let before = rules_and_columns(&setup).await;
    assert!(before.0 != json!([]) && before.1 != json!([]), "{before:?}");

    edit_by_hand(&setup).await;
    let edited = rules_and_columns(&setup).await;
    assert_eq!(edited, (json!([]), json!([])));
    let values = setup.values(&json!({}));
    let upgrade = ["upgrade", RELEASE, CHART, "-n", NAMESPACE, "-f", &values];
    if major == Major::Four {
        let said = helm.refused(upgrade).unwrap();
        assert!(said.contains("conflict with \"kubectl-edit\""), "{said}");
        assert!(said.contains("rules"), "{said}");
    } else {
        helm.run(upgrade).unwrap();
        assert_eq!(rules_and_columns(&setup).await, before);
        edit_by_hand(&setup).await;
    }

    // The shell's pipe, by its two ends.
    let [manifest, apply] = restoring();
    let args = manifest
        .iter()
        .skip(1)
        .map(|word| if *word == "rto" { NAMESPACE } else { word });
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), helm.run(args).unwrap()).unwrap();
    let file = file.path().to_str().unwrap();
    let args: Vec<_> = apply
        .iter()
        .skip(1)
        .map(|word| if *word == "-" { file } else { word })
        .collect();
    setup.kubectl(&args);
    assert_eq!(rules_and_columns(&setup).await, before);

    // And nothing is in the way of the next upgrade, nor of one by force after the next edit.
    helm.run(upgrade).unwrap();
    if major == Major::Four {
        edit_by_hand(&setup).await;
        helm.run([&upgrade[..], &["--force-conflicts"]].concat()).unwrap();
        assert_eq!(rules_and_columns(&setup).await, before);
    }
}

/// The words of both commands of the recipe.
fn restoring() -> [Vec<&'static str>; 2] {
    let line = RUNBOOK
        .lines()
        .find(|line| line.starts_with("helm get manifest"))
        .unwrap();
    let (manifest, apply) = line.split_once(" | ").unwrap();
    [manifest, apply].map(|command| command.split_whitespace().collect())
}

/// As `kubectl edit` does: rights and a printer column of the CRD are gone.
async fn edit_by_hand(setup: &Setup) {
    let params = PatchParams {
        field_manager: Some("kubectl-edit".to_owned()),
        ..PatchParams::default()
    };
    let roles: Api<ClusterRole> = Api::all(setup.client.clone());
    let none = Patch::Merge(json!({"rules": []}));
    roles.patch(RELEASE, &params, &none).await.unwrap();
    let crds: Api<CustomResourceDefinition> = Api::all(setup.client.clone());
    let mut crd = crds.get(CRD).await.unwrap();
    crd.spec.versions[0].additional_printer_columns = None;
    let params = PostParams {
        field_manager: params.field_manager,
        ..PostParams::default()
    };
    crds.replace(CRD, &params, &crd).await.unwrap();
}

async fn rules_and_columns(setup: &Setup) -> (Value, Value) {
    let roles: Api<ClusterRole> = Api::all(setup.client.clone());
    let crds: Api<CustomResourceDefinition> = Api::all(setup.client.clone());
    let rules = roles.get(RELEASE).await.unwrap().rules.unwrap_or_default();
    let crd = crds.get(CRD).await.unwrap();
    let columns = crd.spec.versions[0]
        .additional_printer_columns
        .clone()
        .unwrap_or_default();
    (json!(rules), json!(columns))
}
