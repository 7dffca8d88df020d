//! A jq for commands of the documentation.

use std::env;
use std::path::PathBuf;

use anyhow::Result;

use crate::go;

/// The one on the `PATH`, else gojq, which is jq in Go.
pub fn jq() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = env::split_paths(&path).map(|folder| folder.join("jq"));
    match found.find(|file| file.is_file()) {
        Some(found) => Ok(found),
        None => go::program("github.com/itchyny/gojq/cmd/gojq", "0.12.17"),
    }
}
