//! docs/quickstart.md: its commands of kubectl and helm run as they are written.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use kube::Api;
use realtime_token_operator::api::RealtimeToken;
use testkit::cluster::Options;
use testkit::helm::Major;
use testkit::kubectl::kubectl;

use super::setup::{RELEASE, Setup, run};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What needs Docker, and so doesn't run here.
const LOCAL_CLUSTERS: [&str; 3] = ["kind", "k3d", "minikube"];

/// The commands of the page's section, one a line.
fn commands(section: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/quickstart.md")).unwrap();
    let (_, text) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let text = text.split("\n## ").next().unwrap();
    let blocks = text.split("```sh\n").skip(1);
    let blocks: Vec<_> = blocks.map(|block| block.split("\n```").next().unwrap()).collect();
    blocks.join("\n").replace("\\\n", " ")
}

#[tokio::test]
async fn the_quickstart_runs_as_it_is_written() {
    let setup = Setup::start(Options::default()).await;
    let bin = tempfile::tempdir().unwrap();
    let helm = setup.helm(Major::Four);
    symlink(kubectl().unwrap(), bin.path().join("kubectl")).unwrap();
    symlink(helm.command::<&str>([]).get_program(), bin.path().join("helm")).unwrap();

    // There is no kubelet that would start the pods to wait for, and OpenAI is not asked.
    let install = commands("Install").replace(" --wait", "");
    let (install, waits) = install.split_once("\nkubectl wait ").unwrap();
    assert_eq!(waits.lines().count(), 2, "{waits}");
    let said = script(&setup, bin.path(), install);
    assert!(
        said.contains("realtimetoken.realtime-token.dev/voice created"),
        "{said}"
    );

    let deployment = setup.workload(RELEASE).await.deployment;
    let image = deployment
        .spec
        .unwrap()
        .template
        .spec
        .unwrap()
        .containers
        .remove(0)
        .image;
    let build = fs::read_to_string(Path::new(ROOT).join("image/build")).unwrap();
    let (repository, version) = image.as_deref().unwrap().rsplit_once(':').unwrap();
    assert!(build.contains(&format!("name=${{IMAGE:-{repository}}}:$version")));
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    Api::<RealtimeToken>::default_namespaced(setup.client.clone())
        .get("voice")
        .await
        .unwrap();

    let without = commands("Without an image");
    let (crds, operator) = without.split_once('\n').unwrap();
    assert_eq!(operator, "cargo run --release -- run");
    // Helm has made them already.
    script(&setup, bin.path(), &format!("{crds} --force-conflicts"));
}

/// Runs a part of the page in the folder of the clone, with the cluster and nothing of the user's.
fn script(setup: &Setup, bin: &Path, commands: &str) -> String {
    let path = env::var("PATH").unwrap();
    run(Command::new("bash")
        .args(["-euc", commands])
        .current_dir(ROOT)
        .env_clear()
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("HOME", bin)
        .env("OPENAI_API_KEY", "sk-test-fake")
        .env("KUBECONFIG", setup.cluster.kubeconfig()))
}

/// They load the archive that `make image` makes.
#[test]
fn local_clusters_get_the_archive_that_is_built() {
    let bin = tempfile::tempdir().unwrap();
    let log = bin.path().join("log");
    for name in LOCAL_CLUSTERS {
        let file = bin.path().join(name);
        fs::write(&file, format!("#!/bin/sh\necho {name} \"$@\" >>{}\n", log.display())).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for section in LOCAL_CLUSTERS {
        let mut bash = Command::new("/bin/bash");
        run(bash.args(["-euc", &commands(section)]).env("PATH", bin.path()));
    }
    let build = fs::read_to_string(Path::new(ROOT).join("image/build")).unwrap();
    let (_, archive) = build.split_once("\narchive=").unwrap();
    let archive = archive.lines().next().unwrap().replace("$TARGETARCH", "amd64");
    let said = fs::read_to_string(log).unwrap();
    let loads: BTreeSet<_> = said.lines().filter_map(|line| line.strip_suffix(&archive)).collect();
    let expected = ["k3d image import ", "kind load image-archive ", "minikube image load "];
    assert_eq!(loads, BTreeSet::from(expected));
}
