//! Documentation: what it links to is there, what it says of the providers is what the code says, and examples run.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs,
    reason = "tests"
)]

mod asking;
mod backup;
mod fields;
mod kube_state_metrics;
mod layers;
mod links;
mod local;
mod one_file;
mod providers;
mod seeded_bugs;

use std::fs;
use std::path::{Path, PathBuf};

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { files(&path) } else { vec![path] };
    entries.flat_map(below).collect()
}
