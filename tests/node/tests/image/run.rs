//! The image as containerd runs it: as the user nobody, on a root that can't be written, without any capability.

use std::{
    collections::BTreeMap,
    fs,
    net::Ipv4Addr,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result};
use nodetests::{
    containerd::{Containerd, Ended},
    dns::NameServer,
    image::{ROOT, image},
};
use serde_json::{Value, json};
use testkit::{
    cluster, fetch,
    front::Front,
    ports,
    standin::{Options, Provider, StandIn},
    wait,
};

const OPERATOR: &str = "/realtime-token-operator";
const KEY: &str = "sk-test-in-the-image";

fn containerd() -> Result<Containerd> {
    let containerd = Containerd::start()?;
    let archive = image()?.archive.to_str().context("a path that is text")?;
    containerd.must(["images", "import", archive])?;
    Ok(containerd)
}

#[test]
fn it_helps_and_prints_the_crds() -> Result<()> {
    let containerd = containerd()?;
    let container = containerd.container(&image()?.name);
    let help = container.run(&[OPERATOR, "--help"])?;
    assert_eq!(help.code, Some(0), "{help:?}");
    for command in ["run", "crd", "mint"] {
        assert!(help.out.contains(&format!("\n  {command} ")), "{help:?}");
    }

    let crds = container.run(&[OPERATOR, "crd"])?;
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(ROOT).join("crds"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_>>()?;
    files.sort();
    let mut printed: Vec<&str> = crds.out.split("---\n").filter(|it| !it.is_empty()).collect();
    printed.sort_by_key(|crd| crd.lines().find(|line| line.starts_with("  name: ")));
    assert_eq!(printed.len(), files.len(), "{}", crds.err);
    for (printed, file) in printed.into_iter().zip(files) {
        assert!(
            fs::read_to_string(&file)?.ends_with(printed),
            "{} is another one than the image's: run `make crds`",
            file.display()
        );
    }

    let shell = container.run(&["/bin/sh", "-c", "true"])?;
    assert_ne!(shell.code, Some(0), "there is no shell to break into");
    Ok(())
}

/// In a pod, names of services are completed by the search list of resolv.conf. glibc does that from inside a static
/// binary too, but not in every release: where it can't, this fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_over_tls_from_a_host_that_has_a_name() -> Result<()> {
    let standin = StandIn::start(Options::default())?;
    standin.accept_keys(Provider::OpenAi, [KEY]);
    let front = Front::start(standin.addr(), "gateway.ai").await?;
    let names = NameServer::start(BTreeMap::from([(
        "gateway.ai.svc.cluster.local".to_owned(),
        Ipv4Addr::LOCALHOST,
    )]))?;
    let containerd = containerd()?;
    let folder = tempfile::tempdir()?;
    let file = |name: &str, content: &str| -> Result<PathBuf> {
        let path = folder.path().join(name);
        fs::write(&path, content)?;
        Ok(path)
    };
    let mint = |host: &str, ca: Option<&str>| -> Result<Ended> {
        let origin = format!("https://{host}:{}", front.addr.port());
        let manifest = json!({
            "apiVersion": "realtime-token.dev/v1alpha1",
            "kind": "RealtimeToken",
            "metadata": {"name": "voice"},
            "spec": {
                "credentials": {"secretRef": {"name": "key"}},
                "openai": {"model": "gpt-realtime", "endpoint": origin},
            },
        });
        let mut container = containerd
            .container(&image()?.name)
            .mount(&file("resolv.conf", &names.resolv_conf())?, "/etc/resolv.conf")
            .mount(&file("token.yaml", &manifest.to_string())?, "/token.yaml")
            .env("OPENAI_API_KEY", KEY)
            .env("ALLOW_ENDPOINTS", &origin);
        if let Some(ca) = ca {
            container = container
                .mount(&file("ca.crt", ca)?, "/ca.crt")
                .env("CA_BUNDLE", "/ca.crt");
        }
        container.run(&[OPERATOR, "mint", "-f", "/token.yaml"])
    };

    let minted = mint("gateway.ai", Some(&front.ca))?;
    assert_eq!(minted.code, Some(0), "{minted:?} asked: {:?}", names.asked());
    let token: Value = serde_json::from_str(&minted.out)?;
    assert_eq!(token["token"], standin.issued()[0]);
    let asked = names.asked();
    assert!(asked.contains(&"gateway.ai.svc.cluster.local".to_owned()), "{asked:?}");

    // Without the bundle there are Mozilla's roots, which don't know the gateway's CA.
    let untrusted = mint("gateway.ai", None)?;
    assert_eq!(untrusted.code, Some(1), "{untrusted:?}");
    assert!(
        untrusted.err.contains("the certificate of gateway.ai is not trusted"),
        "{untrusted:?}"
    );

    let nowhere = mint("nowhere.ai", Some(&front.ca))?;
    assert_eq!(nowhere.code, Some(1), "{nowhere:?}");
    assert!(
        nowhere.err.contains("the name nowhere.ai can't be resolved"),
        "{nowhere:?}"
    );
    assert_eq!(standin.count(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_serves_as_nobody_on_a_read_only_root() -> Result<()> {
    let cluster = cluster::shared(None).await?;
    cluster.apply_crds(Path::new(ROOT).join("crds")).await?;
    let platform = cluster.namespace("image").await?;
    // Read by another user than the one whose file it is.
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    fs::write(&kubeconfig, fs::read(cluster.kubeconfig())?)?;
    fs::set_permissions(&kubeconfig, fs::Permissions::from_mode(0o644))?;

    let (listen, metrics_listen) = (ports::free()?.to_string(), ports::free()?.to_string());
    let containerd = containerd()?;
    let container = containerd
        .container(&image()?.name)
        .mount(&kubeconfig, "/kubeconfig")
        .env("KUBECONFIG", "/kubeconfig")
        .env("POD_NAMESPACE", platform.name())
        // Other tests' tokens are none of its business.
        .env("WATCH_NAMESPACES", platform.name())
        .env("HEALTH_LISTEN", &listen)
        .env("METRICS_LISTEN", &metrics_listen);
    let running = container.start(&[])?;
    let pid = wait::until("an operator that is ready", Duration::from_secs(30), async || {
        let answer = fetch::get(listen.parse()?, "/readyz").await?;
        Ok(running.pid().filter(|_| !answer.is_empty()))
    })
    .await?;

    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().split_whitespace().next().unwrap_or_default()
    };
    assert_eq!((of("Uid:"), of("Gid:")), ("65532", "65532"));
    assert_eq!(of("CapPrm:"), "0000000000000000");
    assert_eq!(of("CapBnd:"), "0000000000000000");
    assert_eq!((of("NoNewPrivs:"), of("Seccomp:")), ("1", "2"));
    // The files of a process that isn't dumpable are root's: no other process of its user reads its memory.
    assert_eq!(fs::metadata(format!("/proc/{pid}/mem"))?.uid(), 0);
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    let core: Vec<_> = core.unwrap_or_default().split_whitespace().take(2).collect();
    assert_eq!(core, ["0", "0"]);
    let metrics = fetch::get(metrics_listen.parse()?, "/metrics").await?;
    for name in [
        "process_open_fds ",
        "process_resident_memory_bytes ",
        "process_cpu_seconds_total ",
    ] {
        assert!(
            metrics.contains(&format!("\n{name}")),
            "it no longer sees its own {name}"
        );
    }
    let mounts = fs::read_to_string(format!("/proc/{pid}/mounts"))?;
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/"));
    let options = root.and_then(|line| line.split(' ').nth(3)).unwrap_or_default();
    assert!(options.split(',').any(|it| it == "ro"), "{root:?}");
    println!("memory at rest: {} kB", of("VmRSS:"));

    running.signal("SIGTERM")?;
    let ended = running.ended()?;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    Ok(())
}
