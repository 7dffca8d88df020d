//! The way of image and chart through an OCI registry.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use nodetests::{
    containerd::Containerd,
    debian,
    image::{ROOT, build, image},
    registry::Registry,
};
use serde_json::Value;
use testkit::{
    cluster,
    helm::{Helm, Major},
};

use super::reproducible::{elsewhere, pretend_arm64};

/// `skopeo …`, to its good end.
fn skopeo(args: &[&str]) -> Result<String> {
    let output = Command::new(debian::program("skopeo")?).args(args).output()?;
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
    assert_eq!(ended.out.trim(), format!("realtime-token-operator {version}"));
    Ok(())
}

#[test]
fn one_name_for_two_architectures() -> Result<()> {
    image()?;
    let (registry, folder) = (Registry::start()?, elsewhere()?);
    pretend_arm64(folder.path())?;
    let storage = folder.path().join("storage").display().to_string();
    let buildah = |args: &[&str]| -> Result<()> {
        let output = Command::new(debian::program("buildah")?)
            .args(["--root", &storage, "--runroot", &storage, "--storage-driver", "vfs"])
            .args(args)
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "buildah {}: {said}", args.join(" "));
        Ok(())
    };
    buildah(&["manifest", "create", "operator"])?;
    let mut expected = Vec::new();
    for platform in ["amd64", "arm64"] {
        let built = build(folder.path(), &[("TARGETARCH", platform)])?;
        let archive = format!("oci-archive:{}", built.archive.display());
        buildah(&["manifest", "add", "operator", &archive])?;
        expected.push((built.digest, platform.to_owned()));
    }
    let name = format!("docker://{}/operator:both", registry.addr());
    buildah(&["manifest", "push", "--all", "--tls-verify=false", "operator", &name])?;

    let index: Value = serde_json::from_str(&skopeo(&["inspect", "--tls-verify=false", "--raw", &name])?)?;
    let manifests = index["manifests"].as_array().context("an index")?;
    let text = |it: &Value| it.as_str().unwrap_or_default().to_owned();
    let seen: Vec<_> = manifests
        .iter()
        .map(|it| (text(&it["digest"]), text(&it["platform"]["architecture"])))
        .collect();
    assert_eq!(seen, expected);
    Ok(())
}

/// The commands of docs/releasing.md, with both helms.
#[tokio::test(flavor = "multi_thread")]
async fn the_chart_is_pushed_and_installed_by_digest_with_the_image_by_digest() -> Result<()> {
    let (image, registry) = (image()?, Registry::start()?);
    let digest = push(&registry, &image.archive, "realtime/operator:test")?;
    let repository = format!("{}/realtime/operator", registry.addr());
    let chart = format!("{ROOT}/charts/realtime-token-operator");
    let cluster = cluster::shared(None).await?;
    cluster.apply_crds(Path::new(ROOT).join("crds")).await?;
    let folder = tempfile::tempdir()?;
    let folder = folder.path().display().to_string();

    for major in Major::ALL {
        let helm = Helm::new(major)?.on(cluster.kubeconfig());
        let charts = format!("oci://{}/charts-{major:?}", registry.addr()).to_lowercase();
        let packed = helm.run(["package", &chart, "--destination", &folder])?;
        let (_, archive) = packed.trim().rsplit_once(": ").context(packed.clone())?;
        let pushed = helm.command(["push", archive, &charts, "--plain-http"]).output()?;
        let said = String::from_utf8([pushed.stdout, pushed.stderr].concat())?;
        ensure!(pushed.status.success(), "{said}");
        let chart_digest = said.lines().find_map(|line| line.strip_prefix("Digest: "));
        let chart_digest = chart_digest.context(said.clone())?.trim();

        let values = [
            "--set",
            "crds.install=false",
            "--set",
            &format!("image.repository={repository}"),
            "--set",
            &format!("image.digest={digest}"),
        ];
        let namespace = cluster.namespace("registry").await?;
        let release = namespace.name();
        let with = |first: &[&str]| -> Vec<String> {
            let rest = ["--namespace", release].into_iter().chain(values);
            first.iter().copied().chain(rest).map(str::to_owned).collect()
        };
        let name = format!("{charts}/realtime-token-operator");
        let version = of_chart("version")?;
        let remote = helm.run(with(&[
            "template",
            release,
            &name,
            "--version",
            &version,
            "--plain-http",
        ]))?;
        let local = helm.run(with(&["template", release, &chart]))?;
        assert_eq!(remote, local, "{major:?}: the chart over there is another one");

        let pinned = format!("{name}@{chart_digest}");
        helm.run(with(&["install", release, &pinned, "--plain-http"]))?;
        let deployments = Api::<Deployment>::namespaced(cluster.client().await?, release);
        let list = deployments.list(&Default::default()).await?;
        let pods = list
            .items
            .first()
            .and_then(|it| it.spec.as_ref()?.template.spec.as_ref());
        let installed = pods.context("no Deployment")?.containers[0].image.as_deref();
        assert_eq!(installed, Some(format!("{repository}@{digest}").as_str()), "{major:?}");
        helm.run(["uninstall", release, "--namespace", release])?;
    }
    Ok(())
}

fn of_chart(field: &str) -> Result<String> {
    let chart = std::fs::read_to_string(format!("{ROOT}/charts/realtime-token-operator/Chart.yaml"))?;
    let start = format!("{field}: ");
    let value = chart.lines().find_map(|line| line.strip_prefix(&start));
    Ok(value.context("Chart.yaml")?.to_owned())
}
