//! helm-docs, which writes a chart's README from the comments in its values.yaml.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};

use crate::go;

const PACKAGE: &str = "github.com/norwoodj/helm-docs/cmd/helm-docs";
const VERSION: &str = "1.14.2";

/// What the README of this chart should be.
pub fn readme(chart: &Path) -> Result<String> {
    let output = Command::new(go::program(PACKAGE, VERSION)?)
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
