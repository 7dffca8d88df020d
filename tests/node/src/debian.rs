//! Programs from Debian's packages.

use std::{env, path::PathBuf};

use anyhow::{Result, bail};

/// Where a program lies. Also looks where only root's `PATH` leads.
pub fn program(name: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    for folder in folders {
        let file = folder.join(name);
        if file.is_file() {
            return Ok(file);
        }
    }
    bail!("no {name} on this machine: run `make tools`")
}
