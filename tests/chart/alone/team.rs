//! A team that has a namespace and nothing else installs the operator for itself.

use serde_json::json;
use testkit::cluster::Options;
use testkit::helm::Major;

use super::setup::{CHART, RELEASE, Setup};
use super::tenant::SOON;
use crate::chart::file;

#[tokio::test]
async fn an_admin_of_a_namespace_installs_it_there() {
    let setup = Setup::start(Options::default()).await;
    // What an administrator does once.
    let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
    setup.cluster.apply_crds(crds).await.unwrap();
    let tenant = setup.tenant("shop").await;
    let bind = ["create", "rolebinding", "team", "-n", "shop"];
    setup.kubectl(&[&bind[..], &["--clusterrole=admin", "--user=lead"]].concat());

    let values = setup.values(&json!({
        "watchNamespaces": ["shop"], "clusterProviders": false, "crds": {"install": false},
    }));
    let helm = setup.helm(Major::Four);
    let install = ["upgrade", "--install", RELEASE, CHART, "-n", "shop", "-f", &values];
    let install = [&install[..], &["--kube-as-user", "lead"]].concat();
    // The admin of a namespace can't give what they don't have.
    let refusal = helm.refused(&install).unwrap();
    let words = "attempting to grant RBAC permissions not currently held";
    assert!(refusal.contains(words), "{refusal}");

    let guide = file("docs/install.md");
    let (before, rest) = guide.split_once(words).unwrap();
    assert!(before.contains("Without any right on the cluster"));
    let role = rest.split("```").nth(1).unwrap().trim_start_matches("yaml");
    let manifest = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(manifest.path(), role).unwrap();
    setup.kubectl(&["apply", "-f", manifest.path().to_str().unwrap()]);
    testkit::wait::until("the rights of the admin", SOON, async || {
        helm.run(&install)?;
        Ok(Some(()))
    })
    .await
    .unwrap();

    let operator = setup.operator("shop").await;
    tenant.create("voice", tenant.own()).await;
    tenant.revision("voice", 1).await;
    setup.check(&helm, "shop", &operator).await;
}
