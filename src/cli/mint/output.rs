//! The folder of `mint --output-dir` and of `local --directory`, laid out as the kubelet lays out a mounted Secret: each
//! file is a link into `..data`, a link to the folder of one token. Moving that one link replaces all files at once, so
//! no reader sees files of two tokens.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, symlink};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// The link to the folder of the current token.
const DATA: &str = "..data";
/// What the link is made as, before it replaces the other.
const NEXT: &str = "..data_tmp";
/// Before the names of folders of one token.
const OF_TOKEN: &str = "..token_";
/// Before the names of files that no reader is to see: no key of a Secret begins so.
const HIDDEN: &str = "..";

/// Whose folder it is.
#[derive(Clone, Copy)]
pub(crate) struct Owner {
    /// The subcommand.
    pub(crate) command: &'static str,
    /// Files that it keeps beside the tokens'.
    pub(crate) files: &'static [&'static str],
}

/// `mint` keeps none.
pub(super) const MINT: Owner = Owner {
    command: "mint",
    files: &[],
};

#[derive(Debug, thiserror::Error)]
pub enum OutputError {
    #[error("can't {0} {1}: {2}")]
    Io(&'static str, String, io::Error),
    #[error("{0} holds {1}, which `{2}` didn't write: give a folder that is new or empty")]
    Foreign(String, String, &'static str),
}

/// A folder that holds nothing but what its owner wrote.
pub(crate) struct Folder {
    path: PathBuf,
    owner: Owner,
}

impl Folder {
    /// Makes the folder unless it exists, and looks at what is in it.
    pub(crate) fn open(path: PathBuf, owner: Owner) -> Result<Self, OutputError> {
        make_folder(&path, true)?;
        let folder = Self { path, owner };
        for name in folder.names()? {
            if !folder.wrote(&name) {
                let path = folder.path.display().to_string();
                return Err(OutputError::Foreign(path, name, owner.command));
            }
        }
        Ok(folder)
    }

    /// The folder of the current token.
    pub(crate) fn current(&self) -> PathBuf {
        self.path.join(DATA)
    }

    /// Whether readers find a file of the current token under its name.
    pub(crate) fn shows(&self, name: &str) -> bool {
        fs::read_link(self.path.join(name)).is_ok_and(|target| target == Path::new(DATA).join(name))
    }

    /// Writes the files of a token in place of those of the last. Files whose names begin with `..` lie beside them, where
    /// no reader looks. `now` only names the folder.
    pub(crate) fn write<'f>(
        &self,
        files: impl IntoIterator<Item = (&'f str, &'f [u8])>,
        now: Timestamp,
    ) -> Result<(), OutputError> {
        make_folder(&self.path, true)?; // if it was removed meanwhile
        let before = self.names()?;
        let of_token = format!("{OF_TOKEN}{}", now.as_nanosecond());
        let inner = self.path.join(&of_token);
        make_folder(&inner, false)?;
        let mut names = Vec::new();
        for (name, content) in files {
            write_file(&inner.join(name), content)?;
            if !name.starts_with(HIDDEN) {
                names.push(name.to_owned());
            }
        }
        let next = self.path.join(NEXT);
        remove(&next)?;
        symlink(&of_token, &next).map_err(failed("make the link", &next))?;
        let data = self.path.join(DATA);
        fs::rename(&next, &data).map_err(failed("write", &data))?;
        for name in names.iter().filter(|name| !self.shows(name)) {
            let link = self.path.join(name);
            remove(&link)?;
            symlink(Path::new(DATA).join(name), &link).map_err(failed("make the link", &link))?;
        }
        let is_kept = |name: &String| name == DATA || self.owner.files.contains(&name.as_str());
        for old in before.iter().filter(|old| !names.contains(old) && !is_kept(old)) {
            remove(&self.path.join(old))?;
        }
        Ok(())
    }

    /// Whether an entry is one of ours.
    fn wrote(&self, name: &str) -> bool {
        let path = self.path.join(name);
        let target = fs::read_link(&path);
        match (name, target) {
            (DATA | NEXT, Ok(target)) => target.to_str().is_some_and(|target| target.starts_with(OF_TOKEN)),
            (_, Ok(target)) => target == Path::new(DATA).join(name),
            (_, Err(_)) if self.owner.files.contains(&name) => path.is_file(),
            (_, Err(_)) => name.starts_with(OF_TOKEN) && path.is_dir(),
        }
    }

    fn names(&self) -> Result<Vec<String>, OutputError> {
        let entries = fs::read_dir(&self.path).map_err(failed("read", &self.path))?;
        let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().to_string_lossy().into_owned());
        let names: io::Result<Vec<_>> = entries.map(name).collect();
        names.map_err(failed("read", &self.path))
    }
}

fn make_folder(path: &Path, with_parents: bool) -> Result<(), OutputError> {
    let mut builder = DirBuilder::new();
    let made = builder.mode(0o700).recursive(with_parents).create(path);
    made.map_err(failed("make the folder", path))
}

fn write_file(path: &Path, content: &[u8]) -> Result<(), OutputError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(content))
        .map_err(failed("write", path))
}

/// Removes a link, or a folder of a token with its files.
fn remove(path: &Path) -> Result<(), OutputError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(problem) if problem.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(problem) => Err(problem),
    };
    removed.map_err(failed("remove", path))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OutputError {
    let path = path.display().to_string();
    move |problem| OutputError::Io(what, path, problem)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn entries(path: &Path) -> Vec<String> {
        let mut names = Folder::open(path.to_owned(), MINT).unwrap().names().unwrap();
        names.sort();
        names
    }

    #[test]
    fn files_are_their_owners_and_replaced_together() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/token");
        let write = |files: &[(&'static str, &'static str)], second| {
            let files = files.iter().map(|(name, content)| (*name, content.as_bytes()));
            Folder::open(path.clone(), MINT)
                .unwrap()
                .write(files, at(second))
                .unwrap();
        };
        write(&[("token.json", "1"), (".env", "a"), ("gone", "x")], 1);
        assert_eq!(fs::read(path.join("token.json")).unwrap(), b"1");
        assert_eq!(
            (mode(&path), mode(&path.join(DATA)), mode(&path.join(".env"))),
            (0o700, 0o700, 0o600)
        );

        write(&[("token.json", "2"), (".env", "b"), ("new", "y")], 2);
        assert_eq!(fs::read(path.join("token.json")).unwrap(), b"2");
        assert_eq!(fs::read(path.join(".env")).unwrap(), b"b");
        let left = ["..data", "..token_2000000000", ".env", "new", "token.json"];
        assert_eq!(entries(&path), left);
    }

    #[test]
    fn a_mint_that_was_stopped_in_between_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("..token_1")).unwrap();
        symlink("..token_1", dir.path().join(NEXT)).unwrap();
        let folder = Folder::open(dir.path().to_owned(), MINT).unwrap();
        folder.write([("token", &b"t"[..])], at(1)).unwrap();
        assert_eq!(entries(dir.path()), ["..data", "..token_1000000000", "token"]);
    }

    #[test]
    fn what_somebody_else_wrote_is_left_alone() {
        for (name, link) in [
            ("token.json", None),
            ("notes", None),
            ("..data", Some("/etc")),
            ("token", Some("/etc/passwd")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join(name);
            match link {
                Some(target) => symlink(target, &path).unwrap(),
                None => fs::write(&path, "mine").unwrap(),
            }
            let refused = Folder::open(dir.path().to_owned(), MINT).err().unwrap().to_string();
            assert!(
                refused.contains(&format!("holds {name}, which `mint` didn't write")),
                "{refused}"
            );
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = Folder::open(file, MINT).err().unwrap().to_string();
        assert!(refused.starts_with("can't make the folder "), "{refused}");
    }
}
