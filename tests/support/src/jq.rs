//! A jq for commands of the documentation.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::{cache, go};

/// gojq, which is jq in Go.
const VERSION: &str = "0.12.17";

/// The one on the `PATH`, else gojq under the name jq, built once per machine.
pub fn jq() -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join("jq"));
    if let Some(found) = found.into_iter().find(|file| file.is_file()) {
        return Ok(found);
    }
    let name = format!("gojq-{VERSION}");
    let entry = cache::entry(&name, &name, |folder| {
        cache::say(&format!("building {name} with Go, since there is no jq"));
        let output = Command::new(go::go()?)
            .arg("install")
            .arg(format!("github.com/itchyny/gojq/cmd/gojq@v{VERSION}"))
            .env("GOBIN", folder)
            .env("GOFLAGS", "-trimpath")
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "couldn't build {name}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        std::fs::rename(folder.join("gojq"), folder.join("jq"))?;
        Ok(())
    })?;
    Ok(entry.join("jq"))
}
