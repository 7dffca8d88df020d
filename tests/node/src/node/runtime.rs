//! The node's containerd: the CRI that the kubelet talks to. All that it writes is below the node's folder.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use testkit::{guard::Guarded, wait};

use super::{machine::Machine, process};
use crate::debian;

/// Where Debian's containernetworking-plugins lie.
pub(super) const PLUGINS: &str = "/usr/lib/cni";

/// No AppArmor and no lowering of OOM scores: a container in which the tests run may do neither.
const CONFIG: &str = r#"
version = 2
root = "FOLDER/containerd"
state = "FOLDER/run"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "FOLDER/containerd.sock"
[ttrpc]
  address = "FOLDER/containerd.sock.ttrpc"
[plugins."io.containerd.internal.v1.opt"]
  path = "FOLDER/opt"
[plugins."io.containerd.grpc.v1.cri"]
  disable_apparmor = true
  disable_tcp_service = true
  enable_selinux = false
  netns_mounts_under_state_dir = true
  restrict_oom_score_adj = true
  sandbox_image = "PAUSE"
  stream_server_address = "127.0.0.1"
  stream_server_port = "0"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "PLUGINS"
    conf_dir = "FOLDER/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        Root = "FOLDER/runc"
        SystemdCgroup = false
"#;

/// Each pod has a link of its own to the machine, and nothing leads out.
const NETWORK: &str = r#"{
  "cniVersion": "0.4.0",
  "name": "NAME",
  "plugins": [{
    "type": "ptp",
    "ipam": {
      "type": "host-local",
      "dataDir": "FOLDER/ipam",
      "ranges": [[{"subnet": "198.18.1.0/24"}]],
      "routes": [{"dst": "0.0.0.0/0"}]
    }
  }]
}"#;

/// A running containerd.
pub(super) struct Runtime {
    _process: Guarded,
    socket: PathBuf,
}

impl Runtime {
    /// Starts it, and waits until it answers. `pause` is the image of the container that holds a pod's namespaces.
    pub(super) async fn start(machine: &Machine, pause: &str) -> Result<Self> {
        let binary = debian::program("containerd")?;
        let folder = &machine.folder;
        let fill = |text: &str| {
            text.replace("FOLDER", &folder.display().to_string())
                .replace("PLUGINS", PLUGINS)
                .replace("PAUSE", pause)
                .replace("NAME", &machine.name)
        };
        let config = folder.join("containerd.toml");
        fs::write(&config, fill(CONFIG))?;
        fs::create_dir(folder.join("cni"))?;
        fs::write(folder.join("cni/node.conflist"), fill(NETWORK))?;
        let mut process = process::start(machine, "containerd", &binary, |command| {
            command.arg("--config").arg(&config);
        })?;
        let socket = folder.join("containerd.sock");
        wait::until("containerd", Duration::from_secs(60), async || {
            process::alive(machine, "containerd", &mut process)?;
            let answer = ctr(&socket).arg("version").output()?;
            Ok(answer.status.success().then_some(()))
        })
        .await?;
        Ok(Self {
            _process: process,
            socket,
        })
    }

    /// What the kubelet calls its endpoint.
    pub(super) fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Takes up the images of an archive, as docker or buildah write them.
    pub(super) fn load(&self, archive: &Path) -> Result<()> {
        let output = ctr(&self.socket)
            .args(["images", "import"])
            .arg(archive)
            .output()
            .context("run ctr")?;
        ensure!(
            output.status.success(),
            "couldn't load {}: {}",
            archive.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    }
}

fn ctr(socket: &Path) -> Command {
    let mut command = Command::new("ctr");
    command.arg("--address").arg(socket).args(["--namespace", "k8s.io"]);
    command
}
