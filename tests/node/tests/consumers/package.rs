//! The npm package in `clients/typescript`: its own tests, and what would be published.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use testkit::node::Node;

use super::packages::{copy, packages, run};

pub const PACKAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../clients/typescript");

/// A copy with the packages that it is built with.
fn copied(node: &Node, folder: &Path) -> PathBuf {
    let _ = fs::remove_dir_all(folder);
    copy(Path::new(PACKAGE), folder).unwrap();
    symlink(packages(node, Path::new(PACKAGE)), folder.join("node_modules")).unwrap();
    folder.to_owned()
}

/// Packs it in `folder`, and puts that into a `node_modules`.
pub fn install(node: &Node, folder: &Path, modules: &Path) {
    let folder = copied(node, folder);
    let mut npm = node.npm().unwrap();
    run(npm.arg("pack").current_dir(&folder)).unwrap();
    let target = modules.join("@realtime-token/client");
    let _ = fs::remove_file(&target);
    fs::create_dir_all(&target).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--strip-components=1", "--file"]);
    let archive = folder.join("realtime-token-client-0.1.0.tgz");
    run(tar.arg(archive).arg("--directory").arg(target)).unwrap();
}

#[test]
fn its_own_tests_pass() {
    let node = Node::find().unwrap();
    let folder = copied(&node, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("package-tests"));
    run(node.npm().unwrap().arg("test").current_dir(folder)).unwrap();
}

/// No test, no source, no dependency.
#[test]
fn what_would_be_published_is_built_and_alone() {
    let node = Node::find().unwrap();
    let folder = copied(&node, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("package-files"));
    let mut npm = node.npm().unwrap();
    let npm = npm.args(["pack", "--json", "--silent"]).current_dir(&folder);
    let output = npm.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    // The lines of `prepack` come first.
    let packed: Value = serde_json::from_str(&stdout[stdout.find("[\n").unwrap()..]).unwrap();
    let files: Vec<_> = packed[0]["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["path"].as_str().unwrap())
        .collect();
    for file in [
        "LICENSE",
        "README.md",
        "package.json",
        "dist/index.js",
        "dist/index.d.ts",
    ] {
        assert!(files.contains(&file), "no {file}: {files:?}");
    }
    let (built, rest): (Vec<&str>, Vec<&str>) = files.iter().partition(|it| it.starts_with("dist/"));
    assert_eq!(rest.len(), 3, "{rest:?}");
    assert!(
        built.iter().all(|it| it.ends_with(".js") || it.ends_with(".d.ts")),
        "{built:?}"
    );

    let manifest = fs::read_to_string(folder.join("package.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    for key in ["dependencies", "peerDependencies", "optionalDependencies", "private"] {
        assert!(manifest.get(key).is_none(), "{key}");
    }
}
