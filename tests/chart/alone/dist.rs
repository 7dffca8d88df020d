//! dist/install.yaml on a real API server, as kubectl applies it.

use testkit::cluster::Options;

use super::setup::{RELEASE, Setup};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dist/install.yaml");
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/dist");
/// The namespace in the file.
const NAMESPACE: &str = RELEASE;

#[tokio::test]
async fn the_plain_manifests_run_the_operator() {
    let setup = Setup::start(Options::default()).await;
    let applied = setup.kubectl(&["apply", "--server-side", "--filename", FILE]);
    assert!(
        applied.lines().all(|line| line.ends_with(" serverside-applied")),
        "{applied}"
    );

    // Its namespace enforces the restricted Pod Security Standard.
    setup.deployments_pod_is_admitted(NAMESPACE).await;
    // Rights, arguments and CRDs are enough.
    setup.operator(NAMESPACE).await;

    // With kustomize it is the same.
    let again = setup.kubectl(&["apply", "--server-side", "--kustomize", FOLDER]);
    assert_eq!(again.lines().count(), applied.lines().count());
}
