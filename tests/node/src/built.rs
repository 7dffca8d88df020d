//! What was built beside these tests.

use std::{env, path::PathBuf};

use anyhow::{Context, Result, ensure};

/// The operator.
pub fn operator() -> Result<PathBuf> {
    let test = env::current_exe()?;
    let folder = test.ancestors().nth(2).context("a test outside of a target folder")?;
    let binary = folder.join("realtime-token-operator");
    ensure!(
        binary.is_file(),
        "no operator at {}: run `make test-node`, or `cargo build --workspace --bins` first",
        binary.display()
    );
    Ok(binary)
}
