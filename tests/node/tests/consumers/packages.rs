//! Packages from npm, and folders that use them.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use testkit::{cache, node::Node};

/// The `node_modules` of a lock file, installed once per machine.
pub fn packages(node: &Node, project: &Path) -> PathBuf {
    let files = ["package.json", "package-lock.json"];
    let mut hash = DefaultHasher::new();
    for file in files {
        fs::read(project.join(file)).unwrap().hash(&mut hash);
    }
    let name = format!("npm-{:016x}", hash.finish());
    let what = format!("the packages of {}", project.display());
    let entry = cache::entry(&name, &what, |folder| {
        cache::say(&format!("installing {what} from npm"));
        for file in files {
            fs::copy(project.join(file), folder.join(file))?;
        }
        let mut npm = node.npm()?;
        npm.args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
        run(npm.current_dir(folder)).map_err(|said| anyhow::anyhow!("npm ci failed: {said}"))
    });
    entry.unwrap().join("node_modules")
}

/// Runs a command to its end; if that is not a good one, what it said.
pub fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().unwrap();
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&said).into_owned())
}

/// Copies what is committed of a folder.
pub fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        if ["node_modules", "dist", "build", ".tanstack"]
            .iter()
            .any(|it| name == *it)
        {
            continue;
        }
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(name))?;
        } else {
            fs::copy(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}

/// Makes `to` a folder with a link to each package of `from`, so that it can hold others too.
pub fn link_each(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        // A scope holds packages.
        if name.as_encoded_bytes().starts_with(b"@") {
            link_each(&entry.path(), &to.join(name))?;
        } else {
            symlink(entry.path(), to.join(name))?;
        }
    }
    Ok(())
}
