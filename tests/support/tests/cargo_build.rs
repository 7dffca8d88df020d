//! `cargo-build`, which `make` runs cargo with: few lines of progress, all of what went wrong, and cargo's exit status.

use std::{fs, os::unix::fs::PermissionsExt, process::Command};

use anyhow::{Result, ensure};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cargo-build");
const CARGO: &str = r#"#!/bin/sh
for crate in $(seq 120); do echo "   Compiling crate-$crate v1.0.0" >&2; done
printf 'error[E0425]: no such function\n  --> src/lib.rs:1:1\n\n  | Compiling\n' >&2
echo "to stdout: $*"
exit 101
"#;

#[test]
fn it_counts_crates_and_shows_errors_whole() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let cargo = folder.path().join("cargo");
    fs::write(&cargo, CARGO)?;
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755))?;
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH")?);
    let output = Command::new(SCRIPT)
        .args(["[1/3]", "build", "--bins"])
        .env("PATH", path)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(101), "{said}");
    ensure!(output.stdout == b"to stdout: build --bins\n", "{said}");
    ensure!(
        said.contains("error[E0425]: no such function\n  --> src/lib.rs:1:1\n\n  | Compiling\n"),
        "{said}"
    );
    ensure!(said.contains("[1/3] crate 100 of at most "), "{said}");
    ensure!(said.contains("[1/3] 120 crates compiled in "), "{said}");
    ensure!(said.lines().count() == 7, "{said}");
    Ok(())
}
