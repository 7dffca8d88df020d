//! The plugin as krew installs it: packed and described as a release does, by real krew.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::go;

use super::binary;

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
const KREW: &str = "0.4.3";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Archives of both platforms, as a release has them. What is in them starts the binary under test.
fn pack(folder: &Path) {
    let content = tempfile::tempdir().unwrap();
    let started = content.path().join("realtime-token-operator");
    let script = format!("#!/bin/bash\nexec -a \"$0\" '{}' \"$@\"\n", binary().display());
    std::fs::write(&started, script).unwrap();
    std::fs::set_permissions(&started, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::copy(format!("{REPOSITORY}/LICENSE"), content.path().join("LICENSE")).unwrap();
    for arch in ["amd64", "arm64"] {
        let archive = folder.join(format!("realtime-token-operator-linux-{arch}.tar.gz"));
        let tar = ["--create", "--gzip", "realtime-token-operator", "LICENSE"];
        run(Command::new("tar")
            .args(tar)
            .current_dir(&content)
            .arg("--file")
            .arg(archive));
    }
}

fn manifest(folder: &Path) -> String {
    let home = "https://github.com/example/rto";
    run(Command::new(format!("{REPOSITORY}/krew/manifest"))
        .arg(folder)
        .arg(home))
}

/// What krew's index demands of a plugin.
#[test]
fn the_manifest_is_one_of_krews_index() {
    let folder = tempfile::tempdir().unwrap();
    pack(folder.path());
    let text = manifest(folder.path());
    let manifest: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(
        (&manifest["kind"], &manifest["metadata"]["name"]),
        (&"Plugin".into(), &"realtime-token".into())
    );
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(manifest["spec"]["version"], version);
    let short = manifest["spec"]["shortDescription"].as_str().unwrap();
    assert!(short.len() <= 60 && !short.ends_with('.'), "{short}");
    let platforms = manifest["spec"]["platforms"].as_array().unwrap();
    for (platform, arch) in platforms.iter().zip(["amd64", "arm64"]) {
        assert_eq!(
            platform["selector"]["matchLabels"],
            serde_json::json!({"os": "linux", "arch": arch})
        );
        let archive = format!("realtime-token-operator-linux-{arch}.tar.gz");
        let uri = format!("https://github.com/example/rto/releases/download/{version}/{archive}");
        assert_eq!(platform["uri"], uri);
        let sum = run(Command::new("sha256sum").arg(folder.path().join(&archive)));
        assert_eq!(platform["sha256"], sum.split(' ').next().unwrap());
        assert_eq!(platform["bin"], "kubectl-realtime_token");
    }
    assert_eq!(platforms.len(), 2);
    let left = text
        .split_whitespace()
        .find(|word| word.contains("SHA256_") || word.contains("DOWNLOADS"));
    assert_eq!(left, None, "{text}");
}

/// And krew takes it, without a network.
#[test]
fn krew_installs_it_and_kubectl_finds_it() {
    let folder = tempfile::tempdir().unwrap();
    pack(folder.path());
    let file = folder.path().join("realtime-token.yaml");
    std::fs::write(&file, manifest(folder.path())).unwrap();
    let krew = go::program("sigs.k8s.io/krew/cmd/krew", KREW).unwrap();
    let root = folder.path().join("krew");
    run(Command::new(krew)
        .arg("install")
        .arg(format!("--manifest={}", file.display()))
        .arg(format!(
            "--archive={}/realtime-token-operator-linux-amd64.tar.gz",
            folder.path().display()
        ))
        .env("KREW_ROOT", &root)
        .env("KREW_OS", "linux")
        .env("KREW_ARCH", "amd64")
        .env("KREW_NO_UPGRADE_CHECK", "1")
        .env("HOME", folder.path()));
    let kubectl = testkit::kubectl::kubectl().unwrap();
    let said = run(Command::new(kubectl)
        .args(["realtime-token", "--version"])
        .env("PATH", root.join("bin")));
    assert_eq!(
        said,
        concat!("kubectl realtime-token ", env!("CARGO_PKG_VERSION"), "\n")
    );
}
