//! What is in the image, and what isn't.

use std::{fs, path::Path, process::Command};

use anyhow::{Result, ensure};
use nodetests::{
    image::{ROOT, image},
    oci::Archive,
};
use serde_json::json;

/// With a quarter to spare over what it was when this was written.
const PULL_AT_MOST: u64 = 11_000_000;

#[test]
fn the_binary_the_roots_the_licence_and_nothing_else() -> Result<()> {
    let archive = Archive::open(&image()?.archive)?;
    let created = archive.config["created"].as_str().unwrap().to_owned();
    let entries = archive.entries()?;
    let seen: Vec<_> = entries.iter().map(|it| (it.path.as_str(), it.mode.as_str())).collect();
    assert_eq!(
        seen,
        [
            ("etc/", "drwxr-xr-x"),
            ("etc/ssl/", "drwxr-xr-x"),
            ("etc/ssl/certs/", "drwxr-xr-x"),
            ("etc/ssl/certs/ca-certificates.crt", "-rw-r--r--"),
            ("licenses/", "drwxr-xr-x"),
            ("licenses/LICENSE", "-rw-r--r--"),
            ("realtime-token-operator", "-rwxr-xr-x"),
        ],
        "no shell, no libraries, nothing that the build left behind"
    );
    for entry in &entries {
        assert_eq!(entry.owner, "0/0", "what runs can't change it: {entry:?}");
        assert_eq!(entry.modified, created, "one time for everything: {entry:?}");
    }
    Ok(())
}

#[test]
fn its_configuration() -> Result<()> {
    let image = image()?;
    let archive = Archive::open(&image.archive)?;
    assert_eq!(archive.digest, image.digest);
    assert_eq!(archive.config["os"], "linux");
    let config = &archive.config["config"];
    assert_eq!(
        config["User"], "65532:65532",
        "a number: the kubelet checks runAsNonRoot by it"
    );
    assert_eq!(config["Entrypoint"], json!(["/realtime-token-operator"]));
    assert_eq!(config["Cmd"], json!(["run"]));
    assert_eq!(config["ExposedPorts"], json!({"8080/tcp": {}, "8081/tcp": {}}));

    let version = of_cargo_toml("version")?;
    let tag = format!(":{version}");
    assert!(image.name.ends_with(&tag), "{}", image.name);
    let git = Command::new("git").args(["-C", ROOT, "rev-parse", "HEAD"]).output()?;
    let commit = String::from_utf8(git.stdout)?;
    let labels = &config["Labels"];
    let revision = labels["org.opencontainers.image.revision"].as_str().unwrap();
    assert!(
        revision.starts_with(if git.status.success() { commit.trim() } else { "unknown" }),
        "{revision} isn't {commit}"
    );
    assert_eq!(
        *labels,
        json!({
            "org.opencontainers.image.title": "realtime-token-operator",
            "org.opencontainers.image.description": of_cargo_toml("description")?,
            "org.opencontainers.image.licenses": of_cargo_toml("license")?,
            "org.opencontainers.image.version": version,
            "org.opencontainers.image.revision": revision,
        })
    );
    Ok(())
}

#[test]
fn it_is_small() -> Result<()> {
    let archive = Archive::open(&image()?.archive)?;
    let (pull, files) = (archive.compressed()?, archive.entries()?);
    let disk: u64 = files.iter().map(|it| it.size).sum();
    println!("the image is {pull} bytes to pull and {disk} on disk:");
    for file in files.iter().filter(|it| it.size > 0) {
        println!("{:>10} {}", file.size, file.path);
    }
    assert!(pull < PULL_AT_MOST, "{pull} bytes to pull: what came in?");
    Ok(())
}

#[test]
fn the_binary_needs_nothing_and_tells_nothing_of_where_it_was_built() -> Result<()> {
    let archive = Archive::open(&image()?.archive)?;
    let binary = archive.unpack()?.join("realtime-token-operator");
    let readelf = |what: &str| -> Result<String> {
        let output = Command::new("readelf")
            .args([what, "--wide"])
            .arg(&binary)
            .env("LC_ALL", "C")
            .output()?;
        ensure!(output.status.success(), "readelf {what} failed");
        Ok(String::from_utf8(output.stdout)?)
    };
    assert!(!readelf("--program-headers")?.contains("INTERP"), "a loader");
    assert!(!readelf("--dynamic")?.contains("NEEDED"), "libraries");
    assert!(
        readelf("--file-header")?.contains("DYN"),
        "bound to one address: no ASLR"
    );
    assert!(!readelf("--sections")?.contains(".symtab"), "not stripped");

    let bytes = fs::read(&binary)?;
    let contains = |text: &str| bytes.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(contains("/crates/hyper-"), "a panic names its place in a crate");
    let here = Path::new(ROOT).canonicalize()?.display().to_string();
    for place in [
        here.as_str(),
        "/registry/src/",
        "/.cargo/",
        "/.rustup/",
        "/target/x86_64",
    ] {
        assert!(!contains(place), "{place} is in the binary");
    }
    Ok(())
}

#[test]
fn the_roots_are_certificates() -> Result<()> {
    let archive = Archive::open(&image()?.archive)?;
    let bundle = archive.unpack()?.join("etc/ssl/certs/ca-certificates.crt");
    let output = Command::new("openssl")
        .args(["storeutl", "-noout", "-text", "-certs"])
        .arg(&bundle)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let subjects: Vec<_> = text
        .lines()
        .filter(|line| line.trim_start().starts_with("Subject:"))
        .collect();
    assert!((100..250).contains(&subjects.len()), "{subjects:#?}");
    // Two that much of the world's certificates come from.
    for root in ["ISRG Root X1", "GTS Root R1"] {
        assert!(subjects.iter().any(|subject| subject.ends_with(root)), "{subjects:#?}");
    }
    Ok(())
}

fn of_cargo_toml(field: &str) -> Result<String> {
    let manifest = fs::read_to_string(Path::new(ROOT).join("Cargo.toml"))?;
    let start = format!("{field} = \"");
    let value = manifest.lines().find_map(|line| line.strip_prefix(&start));
    Ok(value.unwrap().trim_end_matches('"').to_owned())
}
