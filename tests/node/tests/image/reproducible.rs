//! The same files give the same image, wherever and whenever. That the same sources give the same files takes two
//! release builds: `make image-reproducible` proves it.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Result, ensure};
use nodetests::{
    image::{ROOT, build, image},
    oci::Archive,
};
use tempfile::TempDir;

/// What `image/build` works on, in another folder. All of it is new there: other inodes, other times.
pub fn elsewhere() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    for path in [
        "Cargo.toml",
        "Dockerfile",
        ".dockerignore",
        "image",
        "target/image/linux",
    ] {
        let to = folder.path().join(path);
        fs::create_dir_all(to.parent().unwrap())?;
        let status = Command::new("cp")
            .args(["-R", "--preserve=mode"])
            .args([Path::new(ROOT).join(path), to])
            .status()?;
        ensure!(status.success(), "can't copy {path}");
    }
    Ok(folder)
}

#[test]
fn two_folders_one_digest() -> Result<()> {
    image()?;
    let (one, two) = (elsewhere()?, elsewhere()?);
    fs::write(two.path().join("target/notes"), "not for the image")?;
    let mut digests = Vec::new();
    for (folder, time) in [(&one, "1700000000"), (&two, "1700000000"), (&two, "1700000001")] {
        let built = build(folder.path(), &[("SOURCE_DATE_EPOCH", time)])?;
        assert_eq!(Archive::open(&built.archive)?.digest, built.digest);
        digests.push(built.digest);
    }
    assert_eq!(digests[0], digests[1]);
    assert_ne!(digests[1], digests[2], "the time is SOURCE_DATE_EPOCH's");
    Ok(())
}

/// Files of an image for arm64, with something else in the place of the operator.
pub fn pretend_arm64(folder: &Path) -> Result<()> {
    let linux = folder.join("target/image/linux");
    fs::create_dir_all(linux.join("arm64"))?;
    fs::write(linux.join("arm64/realtime-token-operator"), "for arm64")?;
    fs::set_permissions(
        linux.join("arm64/realtime-token-operator"),
        fs::Permissions::from_mode(0o755),
    )?;
    Ok(())
}

/// Not the operator for that platform, which takes its standard library: that the Dockerfile takes the files of the
/// platform that is asked for, and that the image says so.
#[test]
fn another_architecture_takes_its_own_files() -> Result<()> {
    image()?;
    let folder = elsewhere()?;
    pretend_arm64(folder.path())?;
    let built = build(folder.path(), &[("TARGETARCH", "arm64")])?;
    assert!(built.archive.ends_with("realtime-token-operator-arm64.tar"));
    let archive = Archive::open(&built.archive)?;
    assert_eq!(archive.config["architecture"], "arm64");
    let binary = fs::read_to_string(archive.unpack()?.join("realtime-token-operator"))?;
    assert_eq!(binary, "for arm64");

    let unknown = build(folder.path(), &[("TARGETARCH", "mips")]);
    assert!(unknown.is_err());
    Ok(())
}
