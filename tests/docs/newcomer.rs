//! `tests/newcomer`, which runs the documentation's commands, notices what a newcomer would stumble over.

use std::{fs, path::Path, process::Command};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/newcomer");

const README: &str = r#"
```sh
export NUMBER=3
cd docs
```
```console
$ printf 'is %s since 7s\n' $NUMBER; \
> pwd
is 12 since 2m3s
…/docs
```
<!-- newcomer: skip: there is no such program -->
```sh
none-such
```
<!-- newcomer: skip "false": it fails -->
```sh
false
echo but this is run
```
<!-- newcomer: background "ready" -->
```sh
echo ready; echo from beside > ../beside; exec sleep 600
```
<!-- newcomer: until -->
```console
$ cat ../beside; exec sleep 600
from beside
```
"#;

const WRONG: &str = "```console\n$ echo right\nwrong\n```\n```sh\nexit 3\n```\n";

/// Runs the script on a repository with this README: whether it is content, and what it says.
fn run(readme: &str) -> (bool, String) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (file, content) in [("README.md", readme), ("docs/page.md", "")] {
        fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
        fs::write(root.join(file), content).unwrap();
    }
    fs::create_dir(root.join("tests")).unwrap();
    fs::copy(SCRIPT, root.join("tests/newcomer")).unwrap();
    for args in [
        "init --quiet",
        "add .",
        "-c user.name=t -c user.email=t commit --quiet --message t",
    ] {
        git(root, args);
    }
    let output = Command::new(root.join("tests/newcomer")).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

fn git(folder: &Path, args: &str) {
    let status = Command::new("git").current_dir(folder).args(args.split(' ')).status();
    assert!(status.unwrap().success(), "git {args}");
}

#[test]
fn what_is_as_written_passes_and_what_is_skipped_is_listed() {
    let (passed, said) = run(README);
    assert!(passed, "{said}");
    assert!(
        said.contains("README.md:13: none-such: there is no such program"),
        "{said}"
    );
    assert!(said.contains("README.md:17: false: it fails"), "{said}");
    assert!(said.contains("but this is run"), "{said}");
}

#[test]
fn another_output_and_another_end_fail() {
    let (passed, said) = run(WRONG);
    assert!(!passed, "{said}");
    assert!(said.contains("FAILED README.md:1: echo right"), "{said}");
    assert!(said.contains("ended with 3"), "{said}");
}
