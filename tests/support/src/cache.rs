//! What is dear to make and the same for every clone on this machine: made once, kept in the user's cache folder.

use std::{
    env,
    fs::{self, File, TryLockError},
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// The folder `name` in the cache, made by `make` if it isn't there. Two processes never make the same one side by side.
pub fn entry(name: &str, what: &str, make: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let folder = folder()?;
    let entry = folder.join(name);
    if entry.exists() {
        return Ok(entry);
    }
    let lock = File::create(folder.join(format!("{name}.lock")))
        .with_context(|| format!("create a lock file in {}", folder.display()))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            say(&format!("another process is getting {what}; waiting for it"));
            lock.lock()?;
        }
        Err(TryLockError::Error(error)) => return Err(error.into()),
    }
    if entry.exists() {
        return Ok(entry);
    }
    // Made beside its place and renamed: a half-made one is never seen.
    let fresh = tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .tempdir_in(&folder)?;
    make(fresh.path())?;
    fs::rename(fresh.path(), &entry)?;
    let _ = fresh.keep();
    Ok(entry)
}

/// The cache folder.
pub fn folder() -> Result<PathBuf> {
    let caches = match env::var_os("XDG_CACHE_HOME").filter(|it| !it.is_empty()) {
        Some(it) => PathBuf::from(it),
        None => {
            PathBuf::from(env::var_os("HOME").context("no place for a cache: neither XDG_CACHE_HOME nor HOME is set")?)
                .join(".cache")
        }
    };
    let folder = caches.join("realtime-token-operator");
    fs::create_dir_all(&folder).with_context(|| format!("create the cache folder {}", folder.display()))?;
    Ok(folder)
}

/// A line of progress on stderr, past the test harness' capture: a wait of minutes needs a reason. It begins with the
/// step that make is at, if it says so.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}{line}", beginning());
}

/// A line that the next one replaces, where there is a terminal; else nothing.
pub fn say_for_now(line: &str) {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "{}{line}", beginning());
    }
}

fn beginning() -> String {
    let replace = if std::io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    let step = env::var("STEP").unwrap_or_else(|_| "testkit:".to_owned());
    format!("{replace}{step} ")
}
