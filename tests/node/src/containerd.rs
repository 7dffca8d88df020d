//! A containerd of one's own, for images and single containers. It has no CRI plugin: the node's containerd is another.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;
use testkit::guard::{self, Guarded};

use crate::debian;

/// Nothing outside of the folder: no CRI with its network, no /opt/containerd, no snapshotters that want a disk.
const CONFIG: &str = r#"
version = 2
root = "FOLDER/root"
state = "FOLDER/state"
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "FOLDER/grpc"
[ttrpc]
  address = "FOLDER/ttrpc"
"#;

/// A running containerd. Dropping it ends it.
pub struct Containerd {
    // Before the folder: it is dropped first.
    _process: Guarded,
    folder: TempDir,
    next: AtomicUsize,
}

/// How a container ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code.
    pub code: Option<i32>,
    /// What it said on stdout.
    pub out: String,
    /// What it said on stderr.
    pub err: String,
}

impl Containerd {
    /// Starts one, and waits until it answers.
    pub fn start() -> Result<Self> {
        let binary = debian::program("containerd")?;
        debian::program("runc")?;
        let folder = tempfile::tempdir()?;
        let at = folder.path().display().to_string();
        let config = folder.path().join("config.toml");
        fs::write(&config, CONFIG.replace("FOLDER", &at))?;
        let log = fs::File::create(folder.path().join("log"))?;
        let mut command = guard::command(&binary, Some(folder.path()));
        command
            .arg("--config")
            .arg(&config)
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut process = Guarded::spawn(&mut command)?;
        let started = Instant::now();
        while !ctr(folder.path()).arg("version").output()?.status.success() {
            let said = || fs::read_to_string(folder.path().join("log")).unwrap_or_default();
            if let Some(status) = process.exited()? {
                bail!("containerd ended ({status}); it must run as root:\n{}", said());
            }
            ensure!(
                started.elapsed() < Duration::from_secs(30),
                "containerd doesn't answer:\n{}",
                said()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self {
            _process: process,
            folder,
            next: AtomicUsize::new(0),
        })
    }

    /// `ctr` on this containerd: add what it should do.
    pub fn ctr(&self) -> Command {
        ctr(self.folder.path())
    }

    /// Runs `ctr …` to its end, which must be a good one.
    pub fn must<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Result<String> {
        let mut command = self.ctr();
        let output = command.args(args).output()?;
        ensure!(
            output.status.success(),
            "{command:?} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// A container of this image, as a restricted pod has it: the image's own user, a read-only root, no capabilities,
    /// the default seccomp profile. It shares this machine's network, since what tests serve is on loopback.
    pub fn container(&self, image: &str) -> Container<'_> {
        Container {
            containerd: self,
            image: image.to_owned(),
            options: Vec::new(),
        }
    }
}

/// A container to be run.
pub struct Container<'a> {
    containerd: &'a Containerd,
    image: String,
    options: Vec<String>,
}

impl Container<'_> {
    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.options.extend(["--env".into(), format!("{name}={value}")]);
        self
    }

    /// Shows a file of this machine in the container, to be read only.
    pub fn mount(mut self, file: &Path, at: &str) -> Self {
        let mount = format!("type=bind,src={},dst={at},options=rbind:ro", file.display());
        self.options.extend(["--mount".into(), mount]);
        self
    }

    /// Runs it to its end. `program` stands in the place of the image's entry point and command.
    pub fn run(&self, program: &[&str]) -> Result<Ended> {
        self.start(program)?.ended()
    }

    /// Starts it. Dropping it kills it.
    pub fn start(&self, program: &[&str]) -> Result<Running<'_>> {
        let number = self.containerd.next.fetch_add(1, Ordering::Relaxed);
        let id = format!("c{number}");
        let mut command = self.containerd.ctr();
        command
            .args(["run", "--rm", "--read-only", "--seccomp", "--cgroup", ""])
            // Not `--net-host`: it would also show this machine's resolv.conf.
            .args(["--with-ns", &format!("network:/proc/{}/ns/net", std::process::id())]);
        // Every containerd of a machine keeps its containers' states in one place unless told otherwise.
        let states = self.containerd.folder.path().join("runc");
        command.arg("--runc-root").arg(states);
        for capability in DEFAULT_CAPABILITIES {
            command.args(["--cap-drop", capability]);
        }
        let ctr = command
            .args(&self.options)
            .args([&self.image, &id])
            .args(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("run ctr")?;
        Ok(Running {
            containerd: self.containerd,
            id,
            ctr: Some(ctr),
        })
    }
}

/// A container that runs.
pub struct Running<'a> {
    containerd: &'a Containerd,
    id: String,
    ctr: Option<Child>,
}

impl Running<'_> {
    /// The pid of its process on this machine; none yet, or no longer.
    pub fn pid(&self) -> Option<u32> {
        let tasks = self.containerd.must(["tasks", "list"]).ok()?;
        tasks.lines().find_map(|line| {
            let mut fields = line.split_whitespace();
            let found = fields.next() == Some(&self.id);
            fields.next()?.parse().ok().filter(|_| found)
        })
    }

    /// Sends its process a signal, as the kubelet does.
    pub fn signal(&self, signal: &str) -> Result<()> {
        self.containerd
            .must(["tasks", "kill", "--signal", signal, &self.id])
            .map(drop)
    }

    /// Waits for its end.
    pub fn ended(mut self) -> Result<Ended> {
        let ctr = self.ctr.take().context("has ended before")?;
        let output = ctr.wait_with_output()?;
        Ok(Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout)?,
            err: String::from_utf8(output.stderr)?,
        })
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if let Some(mut ctr) = self.ctr.take() {
            let _ = self.signal("SIGKILL");
            let _ = ctr.wait();
        }
    }
}

/// What containerd grants unless told otherwise.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

fn ctr(folder: &Path) -> Command {
    let mut command = Command::new("ctr");
    command
        .arg("--address")
        .arg(folder.join("grpc"))
        .args(["--namespace", "test"]);
    command
}
