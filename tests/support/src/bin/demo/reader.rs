//! What a pod reads: each Secret's `token.json` as a file, brought up to date as late as a kubelet would.
//!
//! There is no kubelet here, which would take 60 to 90 s; the delay is as short as the demo's lives are.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::Value;

/// The file lags behind the Secret by up to this much. `worker.yaml` and the others reckon with more.
pub(crate) const DELAY: Duration = Duration::from_secs(10);

const FILE: &str = "token.json";

/// How many of the demo's Secrets hold a token. Their first copies are made at once.
const MOUNTED: usize = 3;

/// Copies the Secrets into files until it is dropped.
pub(crate) async fn mount(secrets: &Api<Secret>, folder: &Path) {
    let mut complete = false;
    loop {
        let copied = copy(secrets, folder).await.unwrap_or_default();
        complete |= copied >= MOUNTED;
        let pause = if complete { DELAY } else { Duration::from_secs(1) };
        tokio::time::sleep(pause).await;
    }
}

/// A Secret that is gone leaves its file, as it does in a pod.
async fn copy(secrets: &Api<Secret>, folder: &Path) -> Result<usize> {
    let mut copied = 0;
    for secret in secrets.list(&ListParams::default()).await? {
        let name = secret.name_any();
        let Some(content) = secret.data.as_ref().and_then(|it| it.get(FILE)) else {
            continue;
        };
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        // Renamed into place: nobody reads half a file.
        let fresh = folder.join(".new");
        fs::write(&fresh, &content.0)?;
        fs::rename(&fresh, folder.join(FILE)).with_context(|| format!("write {}", folder.display()))?;
        copied += 1;
    }
    Ok(copied)
}

/// A program that reads the files, and remembers the worst that it read.
pub(crate) struct Reader {
    folder: PathBuf,
    least: HashMap<String, i64>,
}

/// Seconds of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) now: i64,
    pub(crate) least: i64,
}

impl Reader {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            least: HashMap::new(),
        }
    }

    /// The life of the token that is in the file at this moment.
    pub(crate) fn read(&mut self, name: &str, now: Timestamp) -> Option<Reading> {
        let text = fs::read(self.folder.join(name).join(FILE)).ok()?;
        let token: Value = serde_json::from_slice(&text).ok()?;
        let end = Timestamp::from_millisecond(token["expiresAt"].as_i64()?).ok()?;
        let now = end.duration_since(now).as_secs().max(0);
        let least = self.least.entry(name.to_owned()).or_insert(now);
        *least = now.min(*least);
        Some(Reading { now, least: *least })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_life_is_remembered() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let mut reader = Reader::new(folder.path().to_owned());
        let second = |s| Timestamp::from_second(s);
        assert_eq!(reader.read("voice", second(0)?), None);
        fs::create_dir(folder.path().join("voice"))?;
        let file = folder.path().join("voice").join(FILE);
        fs::write(&file, r#"{"expiresAt":40000}"#)?;
        assert_eq!(reader.read("voice", second(30)?), Some(Reading { now: 10, least: 10 }));
        fs::write(&file, r#"{"expiresAt":70000}"#)?;
        assert_eq!(reader.read("voice", second(31)?), Some(Reading { now: 39, least: 10 }));
        assert_eq!(reader.read("voice", second(99)?), Some(Reading { now: 0, least: 0 }));
        Ok(())
    }
}
