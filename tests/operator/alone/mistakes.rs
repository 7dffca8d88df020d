//! A cluster that the operator can't work with: the CRDs are missing, or the rights.

use testkit::cluster::{Cluster, Options};

use crate::mistakes::{Start, hold, made};
use crate::world::{CRDS, second_cluster};

pub const SECTION: &str = "In a cluster that isn't prepared";

#[tokio::test]
async fn what_the_operator_says_of_missing_crds_and_rights() {
    let bare = Cluster::start(Options::default()).await.unwrap();
    let cluster = second_cluster().await;
    let powerless = cluster.component_kubeconfig("powerless", "powerless", None).unwrap();
    let one_right = ["--watch-namespaces", "default", "--no-cluster-providers"];
    let elect = ["--leader-elect", "--namespace", "default"];
    let (crds, everywhere, here, lease) = tokio::join!(
        Start::with(bare.kubeconfig()).warns(),
        Start::with(&powerless).warnings(),
        Start::with(&powerless).args(&one_right).warnings(),
        Start::with(&powerless).args(&elect).warns(),
    );
    assert!(everywhere.len() <= 3 && here.len() <= 1, "{everywhere:#?}\n{here:#?}");
    bare.apply_crds(CRDS).await.unwrap();
    let two = ["--watch-namespaces", "default,shpo"];
    let absent = Start::with(bare.kubeconfig()).args(&two).warns().await;
    hold(
        SECTION,
        &[
            made("the CRDs are missing", "install the CRDs", crds),
            made("a namespace that doesn't exist", "until it is created", absent),
            made("no rights in the cluster", "rbac.create=true", everywhere.join("\n")),
            made("no rights in a namespace", "rbac.create=true", here.join("\n")),
            made("no right on the Lease", "rbac.create=true", lease),
        ],
    );
}
