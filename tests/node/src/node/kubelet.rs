//! The kubelet and the scheduler, with the rights that they have on every cluster.

use std::{fs, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Node as Object;
use kube::Api;
use serde_json::json;
use testkit::{build, cluster::Cluster, guard::Guarded, ports, wait};

use super::{machine::Machine, process, runtime::Runtime};

/// The node's name. One that resolves to loopback, so that the API server finds the kubelet there.
const NAME: &str = "localhost";
/// Starting is not what is tested, and the machine may be busy.
const READY_WITHIN: Duration = Duration::from_secs(180);

/// A running kubelet and scheduler.
pub(super) struct Kubelet {
    _kubelet: Guarded,
    _scheduler: Guarded,
}

impl Kubelet {
    /// Starts both, and waits until the node is ready for pods. `sync` is how often the kubelet looks at a pod anew:
    /// `None` is its default.
    pub(super) async fn start(
        machine: &Machine,
        runtime: &Runtime,
        cluster: &Cluster,
        sync: Option<Duration>,
    ) -> Result<Self> {
        let binary = tokio::task::spawn_blocking(build::node).await??;
        let config = config(machine, runtime, cluster, sync)?;
        let user = format!("system:node:{NAME}");
        let kubeconfig = cluster.component_kubeconfig("kubelet", &user, Some("system:nodes"))?;
        let mut kubelet = process::start(machine, "kubelet", &binary, |command| {
            command
                .arg("kubelet")
                .arg(format!("--config={config}"))
                .arg(format!("--kubeconfig={}", kubeconfig.display()))
                .arg(format!("--root-dir={}", machine.folder.join("kubelet").display()))
                .arg(format!("--hostname-override={NAME}"));
        })?;
        let kubeconfig = cluster.component_kubeconfig("scheduler", "system:kube-scheduler", None)?;
        let scheduler = process::start(machine, "scheduler", &binary, |command| {
            command
                .arg("kube-scheduler")
                .arg(format!("--kubeconfig={}", kubeconfig.display()))
                .arg("--leader-elect=false")
                // Serves nothing, since no test asks for it.
                .arg("--secure-port=0");
        })?;

        let nodes = Api::<Object>::all(cluster.client().await?);
        wait::until("the node", READY_WITHIN, async || {
            process::alive(machine, "kubelet", &mut kubelet)?;
            let node = nodes.get(NAME).await?;
            let status = node.status.unwrap_or_default();
            let conditions = status.conditions.unwrap_or_default();
            let ready = conditions.iter().find(|it| it.type_ == "Ready");
            let ready = ready.context("no condition yet")?;
            ensure!(ready.status == "True", "not ready: {:?}", ready.message);
            let taints = node.spec.and_then(|it| it.taints).unwrap_or_default();
            ensure!(taints.is_empty(), "tainted: {taints:?}");
            Ok(Some(()))
        })
        .await
        .with_context(|| process::log_tail(machine, "kubelet"))?;
        Ok(Self {
            _kubelet: kubelet,
            _scheduler: scheduler,
        })
    }
}

/// Writes the kubelet's configuration; where it is.
fn config(machine: &Machine, runtime: &Runtime, cluster: &Cluster, sync: Option<Duration>) -> Result<String> {
    let folder = |name: &str| machine.folder.join(name).display().to_string();
    let pki = |name: &str| cluster.kubeconfig().with_file_name(name).display().to_string();
    let mut config = json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "127.0.0.1",
        "port": ports::free()?.port(),
        "healthzPort": 0,
        "tlsCertFile": pki("serving.crt"),
        "tlsPrivateKeyFile": pki("serving.key"),
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": pki("ca.crt")},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "containerRuntimeEndpoint": runtime.endpoint(),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", machine.name),
        "failCgroupV1": false,
        "failSwapOn": false,
        "makeIPTablesUtilChains": false,
        "podLogsDir": folder("logs"),
        "volumePluginDir": folder("plugins"),
        "resolvConf": "",
        // A disk that is nearly full with other people's files is no reason to throw pods out.
        "evictionHard": {"memory.available": "50Mi"},
        "imageGCHighThresholdPercent": 100,
    });
    if let Some(sync) = sync {
        config["syncFrequency"] = json!(format!("{}s", sync.as_secs()));
    }
    let file = machine.folder.join("kubelet.json");
    fs::write(&file, config.to_string())?;
    Ok(file.display().to_string())
}
