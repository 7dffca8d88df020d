//! Where the binaries of the control plane and of the node come from.

use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};

use crate::{cache, go, guard};

const OTHER_WAYS: &str = "set CLUSTER=<kubeconfig> to use a cluster you have, or KUBEBUILDER_ASSETS=<dir> \
                          to use an etcd and a kube-apiserver you have";

/// The Go module of both programs.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cluster");

/// A program of the module.
struct Program {
    name: &'static str,
    /// Its package, as a path below the module.
    package: &'static str,
    what: &'static str,
    minutes: u8,
    other_ways: &'static str,
}

const CONTROL_PLANE: Program = Program {
    name: "control-plane",
    package: ".",
    what: "the test control plane (etcd and Kubernetes from Go modules)",
    minutes: 8,
    other_ways: OTHER_WAYS,
};

const NODE: Program = Program {
    name: "kubelet",
    package: "node",
    what: "the test node (kubelet and scheduler from Go modules)",
    minutes: 3,
    other_ways: "there is no other way to test a node",
};

/// etcd, kube-apiserver and kube-controller-manager, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlPlaneBinary {
    /// Our own program: one file, the server's name is its first argument.
    Single(PathBuf),
    /// A folder with one file per server, as envtest has it.
    Folder(PathBuf),
}

impl ControlPlaneBinary {
    /// The program of `server`, and the arguments that must come first.
    pub(crate) fn server<'a>(&self, server: &'a str) -> Result<(PathBuf, Option<&'a str>)> {
        match self {
            Self::Single(file) => Ok((file.clone(), Some(server))),
            Self::Folder(folder) => {
                let file = folder.join(server);
                if !file.is_file() {
                    bail!(
                        "no {server} in {}, the folder that KUBEBUILDER_ASSETS names: put one there, or unset it",
                        folder.display()
                    );
                }
                Ok((file, None))
            }
        }
    }
}

/// Finds the control plane: `KUBEBUILDER_ASSETS`, else the build in the cache, else builds it (minutes, once per machine).
pub fn control_plane() -> Result<ControlPlaneBinary> {
    if let Some(folder) = env::var_os("KUBEBUILDER_ASSETS").filter(|it| !it.is_empty()) {
        return Ok(ControlPlaneBinary::Folder(folder.into()));
    }
    cached(CONTROL_PLANE).map(ControlPlaneBinary::Single)
}

/// Finds kubelet and kube-scheduler, one program whose first argument says which: the build in the cache, else builds it.
pub fn node() -> Result<PathBuf> {
    cached(NODE)
}

fn cached(program: Program) -> Result<PathBuf> {
    let name = program.name;
    let source = Source::read(Path::new(SOURCE), program)?;
    let entry = cache::entry(&format!("{name}-{}", source.key), source.program.what, |folder| {
        source.build(&folder.join(name))
    })?;
    Ok(entry.join(name))
}

struct Source {
    folder: PathBuf,
    program: Program,
    ldflags: String,
    /// What the binary depends on. The Go release isn't part of it: any that can build the binary builds one that serves.
    key: String,
}

impl Source {
    fn read(folder: &Path, program: Program) -> Result<Self> {
        let read = |name: &str| {
            let file = folder.join(name);
            fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))
        };
        let main = read(&format!("{}/main.go", program.package))?;
        let (modules, sums) = (read("go.mod")?, read("go.sum")?);
        let ldflags = ldflags(&modules)?;
        let mut hash = Sha256::new();
        for part in [&main, &modules, &sums, &ldflags, env::consts::OS, env::consts::ARCH] {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let mut key = String::new();
        for byte in &hash.finalize()[..8] {
            write!(key, "{byte:02x}")?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            program,
            ldflags,
            key,
        })
    }

    fn build(&self, output: &Path) -> Result<()> {
        let Program {
            package,
            what,
            minutes,
            other_ways,
            ..
        } = self.program;
        let go = go::go().with_context(|| format!("{what} must be built; {other_ways}"))?;
        cache::say(&format!(
            "building {what}: about {minutes} minutes on two cores, once per machine; kept in {}",
            output.ancestors().nth(2).unwrap_or(output).display()
        ));
        let log = output.with_extension("log");
        // Interrupted, it leaves neither a compiler at work nor half a binary behind.
        let mut command = guard::command(&go, output.parent());
        command
            .args(["build", "-trimpath", "-ldflags", &self.ldflags, "-o"])
            .arg(output)
            .arg(format!("./{package}"))
            .current_dir(&self.folder)
            .env("CGO_ENABLED", "0")
            .env("GOFLAGS", "-mod=readonly")
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?);
        let mut build = guard::Guarded::spawn(&mut command)?;
        let started = Instant::now();
        let mut shown = 0;
        let status = loop {
            if let Some(status) = build.exited()? {
                break status;
            }
            let seconds = started.elapsed().as_secs();
            if seconds > shown {
                shown = seconds;
                let progress = format!("{seconds} of about {} s", u32::from(minutes) * 60);
                if seconds.is_multiple_of(60) {
                    cache::say(&progress);
                } else {
                    cache::say_for_now(&progress);
                }
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        if !status.success() {
            let said = fs::read_to_string(&log).unwrap_or_default();
            return Err(anyhow!(
                "`{} build` of {} failed ({status}); it needs the module proxy; {other_ways}.\n{}",
                go.display(),
                self.folder.display(),
                said.trim()
            ));
        }
        fs::remove_file(&log)?;
        cache::say(&format!("{what}: built in {} s", started.elapsed().as_secs()));
        Ok(())
    }
}

/// The version that the servers report, as Kubernetes' own build stamps it. Without it they take themselves for v0.0.0.
fn ldflags(modules: &str) -> Result<String> {
    let version = modules
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes "))
        .context("tests/cluster/go.mod requires no k8s.io/kubernetes")?;
    let mut parts = version.trim_start_matches('v').split('.');
    let (Some(major), Some(minor)) = (parts.next(), parts.next()) else {
        bail!("tests/cluster/go.mod: {version:?} isn't a version of Kubernetes");
    };
    let mut flags = String::from("-s -w");
    for (name, value) in [
        ("gitVersion", version),
        ("gitMajor", major),
        ("gitMinor", minor),
        ("gitTreeState", "clean"),
    ] {
        write!(flags, " -X k8s.io/component-base/version.{name}={value}")?;
    }
    Ok(flags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_report_the_version_that_go_mod_requires() -> Result<()> {
        let flags = ldflags("require (\n\tk8s.io/kubernetes v1.37.2\n)\n")?;
        assert!(flags.contains("version.gitVersion=v1.37.2 "));
        assert!(flags.contains("version.gitMajor=1 "));
        assert!(flags.contains("version.gitMinor=37 "));
        Ok(())
    }

    #[test]
    fn a_folder_without_the_server_is_named() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let answer = ControlPlaneBinary::Folder(folder.path().to_owned()).server("etcd");
        let Err(error) = answer else {
            bail!("found an etcd in an empty folder")
        };
        assert!(error.to_string().contains("no etcd in"), "{error}");
        Ok(())
    }
}
