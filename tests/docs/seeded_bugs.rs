//! The seeded bugs of `tests/seeded_bugs` fit the code as it is; `make seeded-bugs` shows that each is caught.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::files;
use crate::links::is_in;

#[test]
fn each_applies_and_names_a_test_that_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let patches = files(&root.join("tests/seeded_bugs")).into_iter();
    let patches: Vec<_> = patches
        .filter(|file| file.extension().is_some_and(|end| end == "patch"))
        .collect();
    assert!(patches.len() >= 20, "{} seeded bugs", patches.len());
    let mut wrong = Vec::new();
    for patch in &patches {
        let name = patch.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(patch).unwrap();
        let test = text
            .lines()
            .next()
            .and_then(|line| line.strip_prefix("# caught by: cargo test --lib "));
        if !test.is_some_and(|test| is_in("src", test)) {
            wrong.push(format!("{name}: its first line names no test of the library: {test:?}"));
        }
        let applied = Command::new("git")
            .current_dir(root)
            .args(["apply", "--check"])
            .arg(patch)
            .output()
            .unwrap();
        if !applied.status.success() {
            wrong.push(format!("{name}: {}", String::from_utf8_lossy(&applied.stderr)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
