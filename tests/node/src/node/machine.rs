//! What a node changes on the machine, and that it is changed back: see `machine.sh`.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    net::Ipv4Addr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use testkit::cache;

use super::Node;

/// Waits until no node runs on this machine, and takes down what a killed one left; none will run until the result is
/// dropped. The same lock as in `machine.sh`.
pub fn alone() -> Result<fs::File> {
    drop(Machine::prepare(Node::ADDRESS)?);
    let lock = fs::File::open("/sys/fs/cgroup").context("open /sys/fs/cgroup")?;
    lock.lock()?;
    Ok(lock)
}

const SCRIPT: &str = include_str!("machine.sh");

/// The machine while it has a node. Dropping it ends all that the node started, and restores the machine.
pub(super) struct Machine {
    /// Where everything of the node lies.
    pub(super) folder: PathBuf,
    /// The name of its cgroup and of its network.
    pub(super) name: String,
    keeper: Child,
    pipe: Option<ChildStdin>,
}

impl Machine {
    /// Waits for another node on this machine to end, then prepares the machine.
    pub(super) fn prepare(address: Ipv4Addr) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("realtime-token-node-")
            .tempdir()?
            .keep();
        let name = folder
            .file_name()
            .and_then(|it| it.to_str())
            .context("a folder without a name")?
            .to_owned();
        let mut keeper = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "machine"])
            .arg(&folder)
            .args([&name, &address.to_string()])
            // Ctrl-C is for the tests; the keeper sees that they are gone.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipe = keeper.stdin.take();
        let said = keeper.stdout.take().context("no output")?;
        let machine = Self {
            folder,
            name,
            keeper,
            pipe,
        };
        let mut said = BufReader::new(said);
        loop {
            let mut line = String::new();
            said.read_line(&mut line)?;
            match line.trim() {
                "ready" => return Ok(machine),
                "waiting" => cache::say("another test node runs on this machine; waiting for it"),
                _ => {
                    said.read_to_string(&mut line)?;
                    bail!("couldn't prepare the machine for a node: {line}");
                }
            }
        }
    }

    /// Lets a process of the node, and all that it starts, end with the node.
    pub(super) fn adopt(&self, pid: u32) -> Result<()> {
        let file = format!("/sys/fs/cgroup/pids/{}/system/cgroup.procs", self.name);
        fs::write(&file, pid.to_string()).with_context(|| format!("write {pid} to {file}"))
    }

    /// Kills every process of a pod.
    pub(super) fn kill_pod(&self, uid: &str) -> Result<()> {
        let script =
            "find /sys/fs/cgroup/pids/$1 -path \"*/pod$2/*\" -name cgroup.procs -exec cat {} + | xargs kill -KILL";
        let status = Command::new("/bin/sh")
            .args(["-c", script, "kill", &self.name, uid])
            .status()?;
        ensure!(status.success(), "couldn't kill the pod {uid}: {status}");
        Ok(())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.pipe = None;
        let _ = self.keeper.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// As when everything that a job had started is killed, also what was to restore the machine.
    #[test]
    fn what_a_killed_keeper_left_is_taken_down_before_the_next_node() -> Result<()> {
        let overcommit = "/proc/sys/vm/overcommit_memory";
        let network = || Command::new("ip").args(["-brief", "address"]).output();
        drop(alone()?);
        let (setting, addresses) = (fs::read_to_string(overcommit)?, network()?.stdout);

        let mut machine = Machine::prepare(Node::ADDRESS)?;
        let mut process = Command::new("sleep").arg("600").spawn()?;
        machine.adopt(process.id())?;
        fs::write(overcommit, if setting.starts_with('1') { "0" } else { "1" })?;
        machine.keeper.kill()?;
        let cgroup = format!("/sys/fs/cgroup/pids/{}", machine.name);
        let folder = machine.folder.clone();
        drop(machine);
        ensure!(folder.exists() && Path::new(&cgroup).exists(), "the keeper is gone");

        drop(alone()?);
        ensure!(!process.wait()?.success(), "the node's processes are ended");
        ensure!(!folder.exists() && !Path::new(&cgroup).exists());
        assert_eq!(fs::read_to_string(overcommit)?, setting);
        assert_eq!(network()?.stdout, addresses);
        Ok(())
    }
}
