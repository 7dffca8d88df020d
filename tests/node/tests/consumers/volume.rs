//! A Secret as a folder, laid out and replaced as the kubelet does it for a pod.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use futures::StreamExt;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api,
    runtime::watcher::{self, Event},
};
use tokio::task::JoinHandle;

/// A folder that follows a Secret for as long as this value lives.
pub struct Volume {
    folder: PathBuf,
    follower: JoinHandle<()>,
}

impl Volume {
    /// Makes `folder` follow the Secret, from its first version on. Until then it is not there.
    pub fn follow(api: Api<Secret>, name: &str, folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let to = folder.clone();
        let only = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let follower = tokio::spawn(async move {
            let mut events = watcher::watcher(api, only).boxed();
            while let Some(event) = events.next().await {
                // The kubelet leaves a deleted Secret's files alone, and goes on after an error.
                if let Ok(Event::InitApply(secret) | Event::Apply(secret)) = event {
                    let version = secret.metadata.resource_version.unwrap_or_default();
                    replace(&to, &version, &secret.data.unwrap_or_default())
                        .unwrap_or_else(|error| panic!("write {}: {error}", to.display()));
                }
            }
        });
        Self { folder, follower }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of one key.
    pub fn file(&self, key: &str) -> PathBuf {
        self.folder.join(key)
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

/// All files lie in a folder of their own; `..data` is a link to it, and each key is a link through `..data`. A new
/// version is a new folder and one rename of `..data`, so that all keys change at one instant.
/// Source: k8s.io/kubernetes/pkg/volume/util/atomic_writer.go.
fn replace(folder: &Path, version: &str, data: &BTreeMap<String, ByteString>) -> io::Result<()> {
    let current = folder.join("..data");
    let previous = fs::read_link(&current).ok();
    let fresh = format!("..{version}");
    if previous.as_deref() == Some(Path::new(&fresh)) {
        return Ok(());
    }
    fs::create_dir_all(folder.join(&fresh))?;
    for (key, value) in data {
        fs::write(folder.join(&fresh).join(key), &value.0)?;
    }
    let aside = folder.join("..data_tmp");
    symlink(&fresh, &aside)?;
    fs::rename(&aside, &current)?;
    for key in data.keys() {
        let link = folder.join(key);
        if link.symlink_metadata().is_err() {
            symlink(Path::new("..data").join(key), link)?;
        }
    }
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let key = name.to_string_lossy();
        if !key.starts_with("..") && !data.contains_key(&*key) {
            fs::remove_file(folder.join(&name))?;
        }
    }
    match previous {
        Some(previous) => fs::remove_dir_all(folder.join(previous)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(keys: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
        let bytes = |value: &str| ByteString(value.as_bytes().to_vec());
        keys.iter()
            .map(|(key, value)| (key.to_string(), bytes(value)))
            .collect()
    }

    #[test]
    fn keys_come_change_and_go_and_one_version_lies_there() -> io::Result<()> {
        let folder = tempfile::tempdir()?;
        let read = |key| fs::read_to_string(folder.path().join(key));
        replace(folder.path(), "1", &version(&[("a", "1"), ("b", "1")]))?;
        assert_eq!((read("a")?, read("b")?), ("1".into(), "1".into()));
        replace(folder.path(), "2", &version(&[("a", "2"), (".env", "2")]))?;
        assert_eq!((read("a")?, read(".env")?), ("2".into(), "2".into()));
        assert!(read("b").is_err());
        let mut names: Vec<_> = fs::read_dir(folder.path())?
            .map(|entry| entry.map(|it| it.file_name().into_string().unwrap_or_default()))
            .collect::<Result<_, _>>()?;
        names.sort();
        assert_eq!(names, ["..2", "..data", ".env", "a"]);
        Ok(())
    }
}
