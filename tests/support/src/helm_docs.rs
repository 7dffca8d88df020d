//! helm-docs, which writes a chart's README from the comments in its values.yaml.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Result, ensure};

use crate::{cache, go};

const VERSION: &str = "1.14.2";

/// What the README of this chart should be.
pub fn readme(chart: &Path) -> Result<String> {
    let output = Command::new(binary()?)
        .args(["--dry-run", "--log-level", "warning"])
        .args(["--sort-values-order", "file", "--chart-search-root"])
        .arg(chart)
        .output()?;
    ensure!(
        output.status.success(),
        "helm-docs failed ({}): {}",
        output.status,
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Built once per machine, in about a minute.
fn binary() -> Result<PathBuf> {
    let name = format!("helm-docs-{VERSION}");
    let entry = cache::entry(&name, &name, |folder| {
        cache::say(&format!("building {name} with Go"));
        let output = Command::new(go::go()?)
            .arg("install")
            .arg(format!("github.com/norwoodj/helm-docs/cmd/helm-docs@v{VERSION}"))
            .env("GOBIN", folder)
            .env("GOFLAGS", "-trimpath")
            .stdin(Stdio::null())
            .output()?;
        ensure!(
            output.status.success(),
            "couldn't build {name}: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(())
    })?;
    Ok(entry.join("helm-docs"))
}
