//! The way of the image through an OCI registry.

use std::{path::Path, process::Command};

use anyhow::{Result, ensure};
use nodetests::{containerd::Containerd, debian, image::image, registry::Registry};

/// `skopeo …`, to its good end.
fn skopeo(args: &[&str]) -> Result<String> {
    let output = Command::new(debian::program("skopeo")?)
        .args(args)
        .output()?;
    ensure!(
        output.status.success(),
        "skopeo {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Pushes an archive as `name`; says its digest over there.
fn push(registry: &Registry, archive: &Path, name: &str) -> Result<String> {
    let from = format!("oci-archive:{}", archive.display());
    let to = format!("docker://{}/{name}", registry.addr());
    skopeo(&["copy", "--quiet", "--dest-tls-verify=false", &from, &to])?;
    let digest = skopeo(&["inspect", "--tls-verify=false", "--format={{.Digest}}", &to])?;
    Ok(digest.trim().to_owned())
}

#[test]
fn pushed_pulled_by_digest_and_run() -> Result<()> {
    let (image, registry) = (image()?, Registry::start()?);
    let digest = push(&registry, &image.archive, "realtime/operator:test")?;
    assert_eq!(digest, image.digest, "nothing changes it on the way");

    let containerd = Containerd::start()?;
    let name = format!("{}/realtime/operator@{digest}", registry.addr());
    containerd.must(["images", "pull", "--plain-http", &name])?;
    let ended = containerd
        .container(&name)
        .run(&["/realtime-token-operator", "--version"])?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (_, version) = image.name.rsplit_once(':').unwrap();
    assert_eq!(
        ended.out.trim(),
        format!("realtime-token-operator {version}")
    );
    Ok(())
}
