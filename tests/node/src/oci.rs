//! What is in an image: its configuration and the files of its layers, read from the OCI archive itself.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// An OCI archive, unpacked.
pub struct Archive {
    folder: TempDir,
    /// The digest that its index gives for the manifest.
    pub digest: String,
    /// The manifest.
    pub manifest: Value,
    /// The image's configuration.
    pub config: Value,
}

/// A file or folder of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// As `ls -l` shows it.
    pub mode: String,
    /// `user/group`, as numbers.
    pub owner: String,
    /// Bytes.
    pub size: u64,
    /// When it was changed, UTC.
    pub modified: String,
    /// The path from the root.
    pub path: String,
}

impl Archive {
    /// Unpacks and reads it.
    pub fn open(archive: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = archive.to_str().context("a path that is text")?;
        tar(&["-xf", file, "-C", folder.path().to_str().unwrap_or_default()])?;
        let index: Value = serde_json::from_slice(&std::fs::read(folder.path().join("index.json"))?)?;
        let manifests = index["manifests"].as_array().context("an index of manifests")?;
        ensure!(manifests.len() == 1, "one image in the archive: {index}");
        let digest = manifests[0]["digest"].as_str().context("a digest")?.to_owned();
        let manifest: Value = serde_json::from_slice(&std::fs::read(blob(folder.path(), &digest)?)?)?;
        let config = manifest["config"]["digest"].as_str().context("a configuration")?;
        let config = serde_json::from_slice(&std::fs::read(blob(folder.path(), config)?)?)?;
        Ok(Self {
            folder,
            digest,
            manifest,
            config,
        })
    }

    /// The files of its one layer, in the layer's order.
    pub fn entries(&self) -> Result<Vec<Entry>> {
        let listing = tar(&[
            "--utc",
            "--full-time",
            "--numeric-owner",
            "-tvzf",
            self.layer()?.to_str().unwrap_or_default(),
        ])?;
        listing.lines().map(entry).collect()
    }

    /// Unpacks the layer; where its root lies.
    pub fn unpack(&self) -> Result<PathBuf> {
        let root = self.folder.path().join("root");
        std::fs::create_dir_all(&root)?;
        tar(&[
            "-xzf",
            self.layer()?.to_str().unwrap_or_default(),
            "-C",
            root.to_str().unwrap_or_default(),
        ])?;
        Ok(root)
    }

    /// Bytes to pull: the layer as it is sent.
    pub fn compressed(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.layer()?)?.len())
    }

    fn layer(&self) -> Result<PathBuf> {
        let layers = self.manifest["layers"].as_array().context("layers")?;
        ensure!(layers.len() == 1, "one layer: {}", self.manifest);
        blob(self.folder.path(), layers[0]["digest"].as_str().context("a digest")?)
    }
}

fn blob(folder: &Path, digest: &str) -> Result<PathBuf> {
    let (kind, hash) = digest.split_once(':').context("a digest with its kind")?;
    Ok(folder.join("blobs").join(kind).join(hash))
}

/// `-rw-r--r-- 0/0  178673 2026-11-24 20:00:00 etc/ssl/certs/ca-certificates.crt`
fn entry(line: &str) -> Result<Entry> {
    let mut fields = line.split_whitespace();
    let mut next = || {
        fields
            .next()
            .map(str::to_owned)
            .with_context(|| format!("a line of tar: {line}"))
    };
    Ok(Entry {
        mode: next()?,
        owner: next()?,
        size: next()?.parse()?,
        modified: format!("{}T{}Z", next()?, next()?),
        path: next()?,
    })
}

fn tar(args: &[&str]) -> Result<String> {
    let output = Command::new("tar")
        .args(args)
        .env("LC_ALL", "C")
        .output()
        .context("run tar")?;
    ensure!(
        output.status.success(),
        "tar {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}
