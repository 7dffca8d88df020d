//! A real node: kubelet, scheduler and containerd beside a control plane of their own, on this machine.
//!
//! Pods have links of their own to the machine and find the API server where pods always do. What is served on
//! [`Node::ADDRESS`] they reach too; nobody beyond this machine does.

mod kubelet;
mod machine;
mod process;
mod runtime;

use std::{net::Ipv4Addr, path::Path, time::Duration};

use anyhow::{Result, ensure};
pub use machine::alone;
use testkit::cluster::{Cluster, Options};

use self::{kubelet::Kubelet, machine::Machine, runtime::Runtime};
use crate::{debian, probe};

/// Fails, with the way out, if this machine lacks what a node needs.
pub fn requirements() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a node needs root: run `make test-node` as root"
    );
    for program in ["containerd", "ctr", "runc", "ip"] {
        debian::program(program)?;
    }
    ensure!(
        Path::new(runtime::PLUGINS).join("ptp").is_file(),
        "no CNI plugins in {}: run `make tools`",
        runtime::PLUGINS
    );
    ensure!(
        Path::new("/sys/fs/cgroup/cpuset/cpuset.cpus").exists(),
        "the test node knows cgroup v1 only, and this machine has no cpuset hierarchy at /sys/fs/cgroup/cpuset: boot it \
         with systemd.unified_cgroup_hierarchy=0, or run these tests in a virtual machine that has it"
    );
    Ok(())
}

/// A running node. Fields drop from top to bottom: those who use others first.
pub struct Node {
    _kubelet: Kubelet,
    cluster: Cluster,
    runtime: Runtime,
    machine: Machine,
}

impl Node {
    /// An address that pods and this machine share.
    pub const ADDRESS: Ipv4Addr = Cluster::NODE_ADDRESS;

    /// Starts one, and waits until it is ready for pods. `sync` is how often the kubelet looks at a pod anew, and with
    /// it, how soon a changed Secret reaches a file; `None` is the kubelet's default, a minute.
    ///
    /// There is one node at a time on a machine: this waits for another one to end.
    pub async fn start(sync: Option<Duration>) -> Result<Self> {
        requirements()?;
        let machine = tokio::task::spawn_blocking(|| Machine::prepare(Self::ADDRESS)).await??;
        let runtime = Runtime::start(&machine, probe::PAUSE).await?;
        runtime.load(&probe::archive(&machine.folder)?)?;
        let cluster = Cluster::start(Options {
            node: true,
            ..Options::default()
        })
        .await?;
        let kubelet = Kubelet::start(&machine, &runtime, &cluster, sync).await?;
        Ok(Self {
            _kubelet: kubelet,
            cluster,
            runtime,
            machine,
        })
    }

    /// Its API server.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// Takes up the images of an archive, as docker or buildah write them.
    pub fn load(&self, archive: &Path) -> Result<()> {
        self.runtime.load(archive)
    }

    /// Kills every process of a pod, as if the machine below it had gone.
    pub fn kill_pod(&self, uid: &str) -> Result<()> {
        self.machine.kill_pod(uid)
    }

    /// A folder of its own that goes away with it, for what pods leave by a hostPath.
    pub fn folder(&self) -> &Path {
        &self.machine.folder
    }
}
