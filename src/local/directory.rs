//! The directory: the files that a pod would mount, and beside them what a restart needs to know.
//!
//! `..data` leads to the folder of the current token. In it `..secret.json` has what the metadata of a Secret would have,
//! so that token and description are replaced at once. `..status.json` has the status, above all failures to wait out.
//! None of the two holds a token or a key.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::api::{CONNECTION_KEYS, RealtimeTokenStatus, TargetContent};
use crate::cli::mint::output::{Folder, OutputError, Owner};
use crate::token::hash;
use crate::token::secret::annotations::{MANAGED_BY, MANAGER, NAME, OF_TOKEN, RENEWAL_TIME};
use crate::token::secret::{Content, Meta, SecretMetadata, SecretView};

const SECRET: &str = "..secret.json";
const STATUS: &str = "..status.json";
/// What the status is written as, before it replaces the last.
const NEXT_STATUS: &str = "..status_tmp.json";
const LOCK: &str = "..lock";

const LOCAL: Owner = Owner {
    command: "local",
    files: &[STATUS, NEXT_STATUS, LOCK],
};

#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error(transparent)]
    Output(#[from] OutputError),
    #[error("can't {0} {1}: {2}")]
    Io(&'static str, String, io::Error),
    #[error("another `local`{0} keeps {1}: end that one, or give this one a directory of its own")]
    Taken(String, String),
}

/// The directory, which no other process keeps.
pub(super) struct Directory {
    path: PathBuf,
    folder: Folder,
    /// The names of the files that were written, or found, last.
    written: Mutex<Vec<String>>,
    /// Locked until it is closed.
    _lock: File,
}

/// What the metadata of the Secret would be, and hashes of its data.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Description {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
    files: BTreeMap<String, String>,
}

/// What the directory holds.
pub(super) struct Held {
    pub(super) view: SecretView,
    /// What is not as it was written.
    pub(super) damage: Option<String>,
    description: Description,
    data: BTreeMap<String, Vec<u8>>,
}

impl Directory {
    pub(super) fn open(path: PathBuf) -> Result<Self, DirectoryError> {
        let folder = Folder::open(path.clone(), LOCAL)?;
        let lock = lock(&path)?;
        // It may be older than this program.
        fs::set_permissions(&path, Permissions::from_mode(0o700)).map_err(failed("restrict", &path))?;
        Ok(Self {
            path,
            folder,
            written: Mutex::default(),
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there for the RealtimeToken of this name; `None` if no token was ever written.
    pub(super) fn held(&self, name: &str) -> Option<Held> {
        let current = self.folder.current();
        fs::symlink_metadata(&current).ok()?;
        let (description, damage) = match self.description() {
            Ok(description) => (description, None),
            Err(problem) => (Description::of_unknown(name), Some(problem)),
        };
        let mut data = BTreeMap::new();
        let mut changed = Vec::new();
        for (file, written) in &description.files {
            let content = fs::read(current.join(file)).unwrap_or_default();
            if hash::short(&content) != *written || !self.folder.shows(file) {
                changed.push(self.path.join(file).display().to_string());
            }
            data.insert(file.clone(), content);
        }
        *self.written.lock() = data.keys().cloned().collect();
        let changed = (!changed.is_empty()).then(|| format!("{} is not as it was written", changed.join(", ")));
        Some(Held {
            view: description.view(),
            damage: damage.or(changed),
            description,
            data,
        })
    }

    /// Whether readers find every file that was written last. Cheap, and blind to what is in the files.
    pub(super) fn is_whole(&self) -> bool {
        let current = self.folder.current();
        let written = self.written.lock();
        written
            .iter()
            .all(|name| self.folder.shows(name) && current.join(name).is_file())
    }

    fn description(&self) -> Result<Description, String> {
        let path = self.folder.current().join(SECRET);
        let text = fs::read(&path).map_err(|problem| format!("can't read {}: {problem}", path.display()))?;
        let description = serde_json::from_slice::<Description>(&text).ok();
        let is_ours = |description: &Description| description.labels.contains_key(NAME);
        description
            .filter(is_ours)
            .ok_or_else(|| format!("{} is damaged", path.display()))
    }

    /// Writes a token in place of the last.
    pub(super) fn store(
        &self,
        name: &str,
        content: &Content,
        metadata: &SecretMetadata,
        now: Timestamp,
    ) -> Result<(), DirectoryError> {
        let data = content.data.iter().chain(&metadata.connection);
        let data = data.map(|(key, value)| (key.clone(), value.0.clone())).collect();
        let annotations = content.annotations.clone();
        self.write(name, data, annotations, metadata, now)
    }

    /// Writes everything but the token, which stays unless none is wanted any more.
    pub(super) fn relabel(
        &self,
        name: &str,
        held: Option<&Held>,
        metadata: &SecretMetadata,
        renewal_time: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), DirectoryError> {
        let (mut data, mut annotations) = (BTreeMap::new(), BTreeMap::new());
        if let Some(held) = held.filter(|_| metadata.content == TargetContent::Token) {
            let own = |key: &String| OF_TOKEN.contains(&key.as_str());
            let described = held.description.annotations.iter().filter(|(key, _)| own(key));
            annotations.extend(described.map(|(key, value)| (key.clone(), value.clone())));
            annotations.extend(renewal_time.map(|at| (RENEWAL_TIME.to_owned(), at.to_string())));
            let of_token = held
                .data
                .iter()
                .filter(|(key, _)| !CONNECTION_KEYS.contains(&key.as_str()));
            data.extend(of_token.map(|(key, value)| (key.clone(), value.clone())));
        }
        data.extend(
            metadata
                .connection
                .iter()
                .map(|(key, value)| (key.clone(), value.0.clone())),
        );
        self.write(name, data, annotations, metadata, now)
    }

    fn write(
        &self,
        name: &str,
        data: BTreeMap<String, Vec<u8>>,
        mut annotations: BTreeMap<String, String>,
        metadata: &SecretMetadata,
        now: Timestamp,
    ) -> Result<(), DirectoryError> {
        annotations.extend(metadata.all_annotations());
        let description = Description {
            name: name.to_owned(),
            labels: metadata.labels.clone(),
            annotations,
            files: data
                .iter()
                .map(|(key, value)| (key.clone(), hash::short(value)))
                .collect(),
            ..Description::default()
        };
        // Maps of strings: serde_json can't fail on them.
        let description = serde_json::to_vec_pretty(&description).unwrap_or_default();
        let files = data.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let files = files.chain([(SECRET, description.as_slice())]);
        self.folder.write(files, now)?;
        Ok(())
    }

    /// The status that was written last, or what is wrong with it.
    pub(super) fn status(&self) -> Result<RealtimeTokenStatus, String> {
        let path = self.path.join(STATUS);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|_| {
                format!(
                    "{} is damaged: what failed before is not known any more",
                    path.display()
                )
            }),
            Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(RealtimeTokenStatus::default()),
            Err(problem) => Err(format!("can't read {}: {problem}", path.display())),
        }
    }

    pub(super) fn write_status(&self, status: &RealtimeTokenStatus) -> Result<(), DirectoryError> {
        let text = serde_json::to_vec_pretty(status).unwrap_or_default(); // a type of ours, with names as keys
        let (next, path) = (self.path.join(NEXT_STATUS), self.path.join(STATUS));
        let opened = private(&next, true);
        let written = opened.and_then(|mut file| file.write_all(&text));
        written.map_err(failed("write", &next))?;
        fs::rename(&next, &path).map_err(failed("write", &path))
    }
}

impl Description {
    /// Of files that nothing is known of but whose they are.
    fn of_unknown(name: &str) -> Self {
        let labels = [(MANAGED_BY, MANAGER), (NAME, name)];
        Self {
            labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
            ..Self::default()
        }
    }

    fn view(&self) -> SecretView {
        let meta = serde_json::to_value(self).and_then(serde_json::from_value::<Meta>);
        SecretView::from(&meta.unwrap_or_default()) // the same fields
    }
}

/// One process keeps a directory. The lock ends with it, however it ends.
fn lock(directory: &Path) -> Result<File, DirectoryError> {
    let path = directory.join(LOCK);
    let mut file = private(&path, false).map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let _ = file.read_to_string(&mut holder); // only to say more
            let holder = holder.trim().parse::<u32>();
            let holder = holder.map_or_else(|_| String::new(), |id| format!(" (process {id})"));
            return Err(DirectoryError::Taken(holder, directory.display().to_string()));
        }
        Err(fs::TryLockError::Error(problem)) => return Err(failed("lock", &path)(problem)),
    }
    let id = std::process::id();
    let written = file.set_len(0).and_then(|()| write!(file, "{id}"));
    written.map_err(failed("write", &path))?;
    Ok(file)
}

/// A file that only its owner can read.
fn private(path: &Path, truncate: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(truncate)
        .mode(0o600);
    options.open(path)
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.display().to_string();
    move |problem| DirectoryError::Io(what, path, problem)
}
