//! A node changes the machine it runs on. It must change it back, even when it is killed.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::PostParams};
use nodetests::{node::Node, probe};
use serde_json::json;
use testkit::wait;

/// Marks the process that the test kills.
const TO_BE_KILLED: &str = "NODE_TO_BE_KILLED";

/// What of the machine a node could leave changed.
#[derive(Debug, PartialEq, Eq)]
struct Machine {
    settings: BTreeMap<&'static str, String>,
    /// Network links and addresses.
    network: String,
}

impl Machine {
    fn look() -> Result<Self> {
        let settings = [
            "vm/overcommit_memory",
            "vm/panic_on_oom",
            "kernel/panic",
            "kernel/panic_on_oops",
            "kernel/keys/root_maxkeys",
            "kernel/keys/root_maxbytes",
            "net/ipv4/ip_forward",
        ];
        let settings = settings
            .into_iter()
            .map(|name| Ok((name, fs::read_to_string(format!("/proc/sys/{name}"))?)))
            .collect::<Result<_>>()?;
        let network = Command::new("ip")
            .args(["-brief", "address"])
            .output()
            .context("no ip on this machine: run `make tools`")?;
        Ok(Self {
            settings,
            network: String::from_utf8(network.stdout)?,
        })
    }
}

/// Where a name occurs that only the killed node has.
fn traces(folder: &str) -> Result<String> {
    let name = Path::new(folder).file_name().context("a name")?;
    let name = name.to_str().context("text")?;
    let script = "
        grep -F \"$2\" /proc/self/mounts
        find /sys/fs/cgroup -name \"*$2*\"
        ls -d \"$1\"
        find /var/log/containers -lname \"*$2*\"
        grep -rlF \"$2\" /var/lib/cni
        for it in /proc/[0-9]*; do
            tr '\\0' ' ' <$it/cmdline | grep -F \"$2\" | grep -v \"traces\" && echo $it
        done";
    let output = Command::new("/bin/sh")
        .args(["-c", script, "traces", folder, name])
        .stderr(Stdio::null())
        .output()?;
    Ok(String::from_utf8(output.stdout)?)
}

#[tokio::test]
async fn a_killed_run_leaves_the_machine_as_it_was() -> Result<()> {
    let mut run = Command::new(env::current_exe()?)
        .args(["--exact", "--nocapture"])
        .arg("machine::runs_a_node_and_hangs")
        .env(TO_BE_KILLED, "1")
        .stdout(Stdio::piped())
        .spawn()?;
    let output = run.stdout.take().context("no output")?;
    let mut lines = BufReader::new(output).lines().map_while(Result::ok);
    // libtest puts the test's name before it, on the same line.
    let mut said = |word: &str| {
        let said = lines.find_map(|line| Some(line.split_once(word)?.1.to_owned()));
        said.with_context(|| format!("the run ended before it said {word}"))
    };
    let folder = said("NODE ")?;
    let before = said("BEFORE ")?;
    run.kill()?;
    run.wait()?;

    wait::until("the node's end", Duration::from_secs(60), async || {
        let traces = traces(&folder)?;
        ensure!(traces.is_empty(), "there is still:\n{traces}");
        Ok(Some(()))
    })
    .await?;
    // Another test's node may have begun; then its changes are looked at when it ends.
    let node = tokio::task::spawn_blocking(nodetests::node::alone).await??;
    // The kernel takes a moment to take down a link whose network is gone.
    let restored = wait::until("the machine", Duration::from_secs(30), async || {
        let after = format!("{:?}", Machine::look()?);
        ensure!(after == before, "it was {before}\nand is {after}");
        Ok(Some(()))
    })
    .await;
    drop(node);
    restored
}

/// Not a test by itself: `a_killed_run_leaves_the_machine_as_it_was` runs and kills it.
#[tokio::test(flavor = "multi_thread")]
async fn runs_a_node_and_hangs() -> Result<()> {
    if env::var_os(TO_BE_KILLED).is_none() {
        return Ok(());
    }
    let alone = tokio::task::spawn_blocking(nodetests::node::alone).await??;
    let before = format!("{:?}", Machine::look()?);
    drop(alone);
    let node = Node::start(Some(Duration::from_secs(5))).await?;
    let pods = Api::<Pod>::namespaced(node.cluster().client().await?, "default");
    let pod = json!({
        "metadata": {"name": "waits"},
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [{"name": "waits", "image": probe::IMAGE, "imagePullPolicy": "Never"}],
        },
    });
    wait::until("the account", Duration::from_secs(60), async || {
        let pod = serde_json::from_value(pod.clone())?;
        pods.create(&PostParams::default(), &pod).await?;
        Ok(Some(()))
    })
    .await?;
    wait::object_when(&pods, "waits", Duration::from_secs(120), |pod| {
        let status = pod.status.as_ref();
        status.and_then(|it| it.phase.as_deref()) == Some("Running")
    })
    .await?;
    let mut out = std::io::stdout();
    writeln!(out, "NODE {}\nBEFORE {before}", node.folder().display())?;
    std::future::pending().await
}
