//! The test cluster itself, tested.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use kube::{
    Api,
    api::{ObjectMeta, PostParams},
};

use super::{Cluster, Options, shared};
use crate::wait;

/// Marks the process that [`a_killed_run_leaves_nothing_behind`] kills.
const TO_BE_KILLED: &str = "TESTKIT_TO_BE_KILLED";

const CRD: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.dev}
spec:
  group: test.dev
  names: {kind: Widget, plural: widgets, singular: widget}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object}}
";

fn runs(pid: u32) -> bool {
    // A zombie has a folder in /proc too, but no command line.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|it| !it.is_empty())
}

fn secret(name: &str) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..Secret::default()
    }
}

#[tokio::test]
async fn serves_counts_survives_an_outage_and_leaves_nothing_behind() -> Result<()> {
    // Spawned, to hold that it can be.
    let mut cluster = tokio::spawn(Cluster::start(Options::default())).await??;
    let namespace = cluster.namespace("smoke").await?;
    assert!(namespace.name().starts_with("smoke-"));

    let before = cluster.apiserver_requests().await?;
    let secrets = namespace.api::<Secret>();
    secrets.create(&PostParams::default(), &secret("one")).await?;
    wait::object_when(&secrets, "one", Duration::from_secs(10), |it| it.metadata.uid.is_some()).await?;
    // The count follows the answer by a moment.
    wait::until("the count", Duration::from_secs(5), async || {
        let new = cluster.apiserver_requests().await?.since(&before);
        let created = new.sum(|it| it.verb == "POST" && it.resource == "secrets" && it.code == 201);
        ensure!(created == 1, "counted:\n{new}");
        Ok(Some(()))
    })
    .await?;

    let kubectl = cluster
        .kubectl()?
        .args(["get", "secret", "one", "-o", "name", "-n", namespace.name()])
        .output()?;
    assert_eq!(String::from_utf8_lossy(&kubectl.stdout), "secret/one\n");

    installs_crds(&cluster).await?;
    a_named_cluster_is_swept_but_not_stopped(&cluster).await?;

    cluster.stop_apiserver().await?;
    assert!(secrets.get("one").await.is_err());
    cluster.start_apiserver().await?;
    secrets.get("one").await.context("after the outage")?;

    let pids = cluster.pids();
    assert_eq!(pids.len(), 2);
    let folder = cluster.kubeconfig().with_file_name("");
    drop(cluster);
    for pid in pids {
        assert!(!runs(pid), "{pid} still runs");
    }
    assert!(!folder.exists());
    Ok(())
}

async fn installs_crds(cluster: &Cluster) -> Result<()> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("widgets.yaml"), CRD)?;
    fs::write(folder.path().join("notes.txt"), "not a manifest")?;
    cluster.apply_crds(folder.path()).await?;
    // A second test of the same binary does the same.
    cluster.apply_crds(folder.path()).await?;
    let kubectl = cluster.kubectl()?.args(["get", "widgets"]).output()?;
    assert!(kubectl.status.success(), "{kubectl:?}");
    Ok(())
}

async fn a_named_cluster_is_swept_but_not_stopped(cluster: &Cluster) -> Result<()> {
    let mut named = Cluster::named(cluster.kubeconfig())?;
    let namespace = named.namespace("swept").await?;
    let name = namespace.name().to_owned();
    drop(namespace);
    let all = Api::<Namespace>::all(cluster.client().await?);
    wait::object_when(&all, &name, Duration::from_secs(5), |it| {
        it.metadata.deletion_timestamp.is_some()
    })
    .await?;
    assert!(named.stop_apiserver().await.is_err());
    assert!(named.pids().is_empty());
    Ok(())
}

/// Also that the shared cluster works, with its controller manager.
#[tokio::test]
async fn a_killed_run_leaves_nothing_behind() -> Result<()> {
    let mut run = Command::new(std::env::current_exe()?)
        .args(["--exact", "--nocapture"])
        .arg("cluster::alone::shares_a_cluster_and_hangs")
        .env(TO_BE_KILLED, "1")
        .env_remove("CLUSTER")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = run.stdout.take().context("no output")?;
    let said = tokio::task::spawn_blocking(move || {
        BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            // libtest puts the test's name before it, on the same line.
            .find_map(|line| Some(line.split_once("SHARED ")?.1.to_owned()))
    })
    .await?;
    run.kill()?;
    run.wait()?;
    let said = said.context("the run ended before its cluster was up")?;
    let (folder, pids) = said.split_once(' ').context("no pids")?;
    let pids = pids.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    assert_eq!(pids.len(), 3);
    wait::until("the servers' end", Duration::from_secs(10), async || {
        for &pid in &pids {
            ensure!(!runs(pid), "{pid} still runs");
        }
        ensure!(!Path::new(folder).exists(), "{folder} is still there");
        Ok(Some(()))
    })
    .await
}

/// Not a test by itself: `a_killed_run_leaves_nothing_behind` runs and kills it.
#[tokio::test]
async fn shares_a_cluster_and_hangs() -> Result<()> {
    use std::io::Write;
    if std::env::var_os(TO_BE_KILLED).is_none() {
        return Ok(());
    }
    let cluster = shared(None).await?;
    let namespace = cluster.namespace("shared").await?;
    let accounts = namespace.api::<ServiceAccount>();
    wait::object_when(&accounts, "default", Duration::from_secs(20), |_| true).await?;
    let folder = cluster.kubeconfig().parent().context("no folder")?;
    let pids: Vec<String> = cluster.pids().iter().map(ToString::to_string).collect();
    writeln!(std::io::stdout(), "SHARED {} {}", folder.display(), pids.join(" "))?;
    std::future::pending().await
}
