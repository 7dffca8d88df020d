//! The operator's image, as `make image` builds it. Once for all tests of a process; its binary, which takes minutes,
//! once for all clones of this machine that have the same sources.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest as _, Sha256};
use testkit::cache;

/// The repository.
pub const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// What the names of its places in the cache begin with.
const PREFIX: &str = "image-";

/// An image that was built here.
#[derive(Clone, Debug)]
pub struct Image {
    /// The OCI archive: `ctr images import`, `skopeo copy oci-archive:…`.
    pub archive: PathBuf,
    /// `sha256:…` of its manifest.
    pub digest: String,
    /// The name that it bears in the archive, with the version as its tag.
    pub name: String,
}

/// The image, for this machine's platform.
pub fn image() -> Result<&'static Image> {
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    // A failure is kept too: one attempt of minutes, not one per test.
    let make = || make().map_err(|error| format!("{error:#}"));
    IMAGE
        .get_or_init(make)
        .as_ref()
        .map_err(|error| anyhow!("no image: {error}"))
}

fn make() -> Result<Image> {
    let root = Path::new(ROOT).canonicalize()?;
    // Two processes of one clone share its target folder.
    fs::create_dir_all(root.join("target/image"))?;
    let lock = File::create(root.join("target/image/lock"))?;
    lock.lock()?;

    let files = root.join("target/image/linux");
    let entry = format!("{PREFIX}{}", sources(&root)?);
    let cached = cache::entry(&entry, "the files of the image", |folder| {
        cache::say("building the operator as a static release binary: about 4 minutes on two cores");
        // For all clones: they differ in the operator, not in the crates below it.
        let target = cache::folder()?.join("image-target");
        run(Command::new(root.join("image/files")).env("CARGO_TARGET_DIR", target))?;
        copy(&files, folder)?;
        forget_old_ones()
    })?;
    copy(&cached, &files)?;
    build(&root, &[])
}

/// Every change of the sources leaves 20 MB in the cache: after a week they go.
fn forget_old_ones() -> Result<()> {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);
    for entry in fs::read_dir(cache::folder()?)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let hash = name.strip_prefix(PREFIX).unwrap_or_default();
        let is_ours = hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if is_ours && age > WEEK {
            fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

/// Runs `image/build` of this folder, which has the Dockerfile and the files that belong into the image.
pub fn build(root: &Path, env: &[(&str, &str)]) -> Result<Image> {
    let said = run(Command::new(root.join("image/build")).envs(env.iter().copied()))?;
    let line = said.lines().last().context("image/build didn't say what it built")?;
    let mut words = line.split(' ');
    let mut next = || words.next().context("an archive, its digest and its name");
    Ok(Image {
        archive: root.join(next()?),
        digest: next()?.to_owned(),
        name: next()?.to_owned(),
    })
}

/// Runs a command to its end; what it says on stdout. Its progress on stderr is shown, it may take minutes.
fn run(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("run {}", command.get_program().display()))?;
    ensure!(
        output.status.success(),
        "{} failed ({}), see above",
        command.get_program().display(),
        output.status
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Copies a folder's content, with modes.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    let status = Command::new("cp")
        .args(["-a", "--no-target-directory"])
        .args([from, to])
        .status()?;
    ensure!(status.success(), "can't copy {} to {}", from.display(), to.display());
    Ok(())
}

/// A hash of all that the image's files are made of.
fn sources(root: &Path) -> Result<String> {
    let mut hash = Sha256::new();
    let mut add = |name: &str, content: &[u8]| {
        hash.update(name);
        hash.update((content.len() as u64).to_le_bytes());
        hash.update(content);
    };
    for file in ["Cargo.toml", "LICENSE"] {
        add(file, &fs::read(root.join(file))?);
    }
    let mut folders = vec![root.join("src"), root.join("image")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    for file in files {
        let name = file.strip_prefix(root)?.display().to_string();
        add(&name, &fs::read(&file)?);
    }
    add("rustc", &output("rustc", &["-vV"], root)?);
    // Not Cargo.lock: what only tests use may change in it.
    let locked = output(
        "cargo",
        &[
            "tree",
            "--locked",
            "--package=realtime-token-operator",
            "--package=ca-roots",
            "--edges=normal,build",
            "--prefix=none",
            "--format={p} {f}",
        ],
        root,
    )?;
    let here = root.display().to_string();
    add("crates", String::from_utf8(locked)?.replace(&here, "").as_bytes());
    Ok(hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect())
}

fn output(program: &str, args: &[&str], folder: &Path) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("run {program}"))?;
    if !output.status.success() {
        bail!(
            "{program} {} failed: {}",
            args.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}
