//! What the chart grants the operator with `requests.enabled` and `watchNamespaces`, rendered by helm and applied without
//! the Deployment: the operator is a process of the test.

use kube::ResourceExt;
use kube::core::DynamicObject;
use serde_json::json;
use testkit::cluster::Cluster;
use testkit::helm::{Helm, Major};

/// The release's name, and so that of the ServiceAccount.
pub const RELEASE: &str = "realtime-token-operator";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/realtime-token-operator");

/// Makes the ServiceAccount in `platform`, with the rights of an installation that looks after `apps`. `values` are
/// further values of the chart (`name=value`).
pub fn grant(cluster: &Cluster, platform: &str, apps: &str, values: &[&str]) {
    let watched = format!("watchNamespaces={{{apps}}}");
    let mut args = vec!["template", RELEASE, CHART, "--namespace", platform];
    for template in ["templates/serviceaccount.yaml", "templates/rbac.yaml"] {
        args.extend(["--show-only", template]);
    }
    let ours = [
        "image.repository=none",
        "requests.enabled=true",
        "clusterProviders=false",
        &watched,
    ];
    for value in ours.iter().chain(values) {
        args.extend(["--set", value]);
    }
    let rendered = Helm::new(Major::Four).unwrap().run(args).unwrap();
    let mut objects: Vec<DynamicObject> = serde_saphyr::from_multiple(&rendered).unwrap();
    for object in &mut objects {
        // Other installations of this cluster have the same release's name, and helm would refuse the second.
        if object.namespace().is_none() {
            object.metadata.name = Some(format!("{}-{platform}", object.name_any()));
            if let Some(role) = object.data.get_mut("roleRef") {
                role["name"] = object.metadata.name.clone().into();
            }
        }
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
    let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
    std::fs::write(file.path(), list.to_string()).unwrap();
    let mut kubectl = cluster.kubectl().unwrap();
    let output = kubectl.args(["apply", "--filename"]).arg(file.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
