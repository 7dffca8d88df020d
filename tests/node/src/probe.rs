//! The one image of the test's own pods: a static program that reads a mounted file again and again, or just waits.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

/// The image of a pod's first container, which holds its namespaces. containerd wants the whole name.
pub const PAUSE: &str = "docker.io/local/pause:1";
/// The same image under the name for readers.
pub const IMAGE: &str = "docker.io/local/probe:1";

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/probe/main.rs");

/// Where `archive` leaves the program.
pub fn folder(folder: &Path) -> PathBuf {
    folder.join("probe")
}

/// Builds the image, without a network; the archive, in the form of `docker save`, is in `folder`.
pub fn archive(folder: &Path) -> Result<PathBuf> {
    let folder = self::folder(folder);
    fs::create_dir(&folder)?;
    run(
        &folder,
        "rustc",
        &[
            "--edition=2024",
            "-O",
            "-Ctarget-feature=+crt-static",
            "-Cstrip=symbols",
            "-oprobe",
            SOURCE,
        ],
    )?;
    run(&folder, "tar", &["-cf", "layer.tar", "probe"])?;
    let layer = Sha256::digest(fs::read(folder.join("layer.tar"))?);
    let layer: String = layer.iter().map(|byte| format!("{byte:02x}")).collect();
    let architecture = match env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let config = json!({
        "architecture": architecture,
        "os": "linux",
        "config": {"Entrypoint": ["/probe"], "Cmd": ["pause"]},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    });
    fs::write(folder.join("config.json"), config.to_string())?;
    let manifest = json!([{"Config": "config.json", "RepoTags": [PAUSE, IMAGE], "Layers": ["layer.tar"]}]);
    fs::write(folder.join("manifest.json"), manifest.to_string())?;
    run(
        &folder,
        "tar",
        &["-cf", "image.tar", "manifest.json", "config.json", "layer.tar"],
    )?;
    Ok(folder.join("image.tar"))
}

fn run(folder: &Path, program: &str, args: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(args)
        .current_dir(folder)
        .output()
        .with_context(|| format!("run {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {} failed: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// One look of a reader at its file.
#[derive(Clone, Debug)]
pub struct Look {
    /// When the content had been read.
    pub at: Timestamp,
    /// The whole content, or why there was none.
    pub content: Result<Vec<u8>, String>,
}

/// What a reader has recorded so far. An entry that isn't whole yet is left out.
pub fn looks(record: &Path) -> Result<Vec<Look>> {
    let bytes = fs::read(record).with_context(|| format!("read {}", record.display()))?;
    let mut rest = &bytes[..];
    let mut looks = Vec::new();
    while let Some((head, after)) = line(rest) {
        let head = std::str::from_utf8(head)?;
        let (at, length) = head.split_once(' ').with_context(|| format!("a look {head:?}"))?;
        let at = Timestamp::from_millisecond(at.parse()?)?;
        let content = if length == "-" {
            let Some((error, after)) = line(after) else {
                break;
            };
            rest = after;
            Err(String::from_utf8_lossy(error).into_owned())
        } else {
            let length: usize = length.parse()?;
            let Some((content, after)) = after.split_at_checked(length) else {
                break;
            };
            match after.split_first() {
                Some((b'\n', after)) => rest = after,
                Some(_) => bail!("a look at {at} that doesn't end"),
                None => break,
            }
            Ok(content.to_owned())
        };
        looks.push(Look { at, content });
    }
    Ok(looks)
}

fn line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_they_were_written() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let record = folder.path().join("record");
        fs::write(&record, "1000 4\na\nb \n2000 -\nNo such file\n3000 0\n\n4000 9\nhalf")?;
        let looks = looks(&record)?;
        let content: Vec<_> = looks.iter().map(|look| look.content.clone()).collect();
        assert_eq!(
            content,
            [Ok(b"a\nb ".to_vec()), Err("No such file".to_owned()), Ok(Vec::new())]
        );
        assert_eq!(looks[1].at, Timestamp::from_second(2)?);
        Ok(())
    }
}
