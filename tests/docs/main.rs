//! Documentation: what it links to is there, what it says of the providers is what the code says, and examples run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod api;
mod asking;
mod backup;
mod fields;
mod kube_state_metrics;
mod layers;
mod links;
mod local;
mod newcomer;
mod one_file;
mod providers;
mod schemas;
mod seeded_bugs;

use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(below).collect()
}

/// Compares a generated file of the repository, or writes it.
fn generated(path: &str, text: &str, command: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
        return;
    }
    let written = fs::read_to_string(&file).unwrap_or_default();
    let differs = text.lines().zip(written.lines()).find(|(new, old)| new != old);
    assert_eq!(differs, None, "{path}: run `{command}`");
    assert_eq!(text.len(), written.len(), "{path}: run `{command}`");
}
