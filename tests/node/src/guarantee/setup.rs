//! A node with the operator's chart on it, and a stand-in provider that it may call.

use std::{
    io::Write,
    net::SocketAddr,
    os::unix::fs::symlink,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::Value;
use testkit::{
    helm::{Helm, Major},
    standin::{self, StandIn},
    wait,
};

use crate::{
    built, image,
    node::{self, Node},
};

/// Where the operator is installed.
pub const RELEASE: &str = "realtime-token-operator";
/// Where the applications are.
pub const NAMESPACE: &str = "shop";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/realtime-token-operator");

/// For everything that isn't measured. The machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// What the tokens live and what is promised of them.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// How often the kubelet looks at a pod anew; `None` is its default, a minute.
    pub sync: Option<Duration>,
    /// The life of a token, in seconds.
    pub life: u32,
    /// `minRemainingSeconds` and `propagationSeconds`; `None` leaves the defaults.
    pub renewal: Option<(u32, u32)>,
}

impl Terms {
    /// The floor, in seconds.
    pub fn floor(&self) -> u32 {
        self.renewal.map_or(90, |(floor, _)| floor)
    }

    /// The shortest time between two mints of a token, in seconds: renewal before the end, at least a third of the life,
    /// and the jitter.
    pub fn shortest_period(&self) -> f64 {
        let (floor, propagation) = self.renewal.unwrap_or((90, 120));
        let need = floor + propagation + 60;
        let before = f64::from(need).max(f64::from(self.life) * 0.33);
        let jitter = (f64::from(self.life) * 0.05).min(60.0);
        f64::from(self.life) - before - jitter
    }
}

/// All that runs. Fields drop from top to bottom.
pub struct Setup {
    /// The node.
    pub node: Node,
    /// The provider.
    pub standin: StandIn,
    /// What was agreed.
    pub terms: Terms,
}

impl Setup {
    /// Starts a node and installs the chart with helm, two replicas.
    pub async fn start(terms: Terms) -> Result<Self> {
        Self::start_with(terms, &[], || Ok(Vec::new())).await
    }

    /// The same, with further values of the chart, and with objects that are in the operator's namespace before it.
    pub async fn start_with(
        terms: Terms,
        values: &[&str],
        objects: impl FnOnce() -> Result<Vec<Value>>,
    ) -> Result<Self> {
        // Before the minutes that an image may take.
        node::requirements()?;
        let image = tokio::task::spawn_blocking(image::image).await??;
        let node = Node::start(terms.sync).await?;
        node.load(&image.archive)?;
        let standin = StandIn::start(standin::Options {
            addr: Some(SocketAddr::from((Node::ADDRESS, 0))),
            ..standin::Options::default()
        })?;
        standin.set_life(standin::Provider::ElevenLabs, Some(terms.life));
        let setup = Self { node, standin, terms };
        for name in [RELEASE, NAMESPACE] {
            setup.kubectl(&["create", "namespace", name]).await?;
        }
        for mut object in objects()? {
            object["metadata"]["namespace"] = RELEASE.into();
            setup.apply(&object).await?;
        }
        setup.install(&image.name, values).await?;
        Ok(setup)
    }

    async fn install(&self, image: &str, values: &[&str]) -> Result<()> {
        let (repository, tag) = image.rsplit_once(':').context("an image without a tag")?;
        let helm = Helm::new(Major::Four)?.on(self.node.cluster().kubeconfig());
        let mut args = vec![
            "install".to_owned(),
            RELEASE.to_owned(),
            CHART.to_owned(),
            format!("--namespace={RELEASE}"),
            format!("--set=image.repository={repository},image.tag={tag}"),
            format!("--set=allowEndpoints={{{}}}", self.standin.url()),
            "--set=replicas=2".to_owned(),
            "--wait".to_owned(),
            format!("--timeout={}s", PATIENCE.as_secs()),
        ];
        args.extend(values.iter().map(|it| format!("--set={it}")));
        let installed = tokio::task::spawn_blocking(move || helm.run(args)).await?;
        match installed {
            Ok(_) => Ok(()),
            Err(error) => bail!("{error:#}\n{}", self.state().await),
        }
    }

    /// Runs `helm test`; what it says. There is no kube-proxy on this node and so no Service: the pod gets the address where the
    /// leader is.
    pub async fn helm_test(&self) -> Result<String> {
        let leader = self.leader(|_| true).await?;
        let status = leader.status.context("a pod without a status")?;
        let address = status.pod_ip.context("a pod without an address")?;
        let helm = Helm::new(Major::Four)?.on(self.node.cluster().kubeconfig());
        let namespace = format!("--namespace={RELEASE}");
        let url = format!("--set=helmTest.operatorUrl=http://{address}:8081");
        let patience = format!("--timeout={}s", PATIENCE.as_secs());
        let tested = tokio::task::spawn_blocking(move || {
            helm.run(["upgrade", RELEASE, CHART, &namespace, "--reuse-values", &url])?;
            // What its pod says is on stderr.
            let test = ["test", RELEASE, &namespace, &patience];
            anyhow::Ok(helm.command(test).output()?)
        });
        let output = tested.await??;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        ensure!(output.status.success(), "helm test: {said}");
        Ok(said)
    }

    /// What a person would look at first.
    pub async fn state(&self) -> String {
        let mut state = String::new();
        for args in [
            ["get", "pods,rtt,leases", "-A", "-o", "wide"].as_slice(),
            &["get", "events", "-A", "--field-selector=type=Warning"],
            &[
                "logs",
                "-n",
                RELEASE,
                "deployment/realtime-token-operator",
                "--all-pods",
                "--tail=30",
            ],
        ] {
            let said = self.kubectl(args).await;
            state.push_str(&said.unwrap_or_else(|error| format!("{error:#}\n")));
        }
        state
    }

    /// Runs kubectl; what it says.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = self.node.cluster().kubectl()?;
        command.args(args);
        run(command, None).await
    }

    /// Runs `kubectl realtime-token`; what it prints.
    pub async fn plugin(&self, args: &[&str]) -> Result<String> {
        let folder = tempfile::tempdir()?;
        symlink(built::operator()?, folder.path().join("kubectl-realtime_token"))?;
        // kubectl takes no flag before a plugin's name.
        let mut command = Command::new(testkit::kubectl::kubectl()?);
        command.arg("realtime-token").args(args);
        command.env("PATH", folder.path()).env("NO_PROXY", "*");
        command.env("KUBECONFIG", self.node.cluster().kubeconfig());
        run(command, None).await
    }

    /// Applies a manifest.
    pub async fn apply(&self, manifest: &Value) -> Result<()> {
        let mut command = self.node.cluster().kubectl()?;
        command.args(["apply", "--server-side", "-f", "-"]);
        run(command, Some(manifest.to_string())).await.map(drop)
    }

    /// The operator's pods that are there to stay.
    pub async fn pods(&self) -> Result<Vec<Pod>> {
        let pods = Api::<Pod>::namespaced(self.node.cluster().client().await?, RELEASE);
        let ours = ListParams::default().labels("app.kubernetes.io/component=operator");
        let mut pods = pods.list(&ours).await?.items;
        pods.retain(|it| it.metadata.deletion_timestamp.is_none());
        Ok(pods)
    }

    /// Waits until one of the operator's pods leads that `wanted` accepts; its pod.
    pub async fn leader(&self, wanted: impl Fn(&Pod) -> bool) -> Result<Pod> {
        let leases = Api::<Lease>::namespaced(self.node.cluster().client().await?, RELEASE);
        wait::until("a leader", PATIENCE, async || {
            let lease = leases.get(RELEASE).await?;
            let holder = lease.spec.and_then(|it| it.holder_identity);
            let holder = holder.context("the Lease has no holder")?;
            // What follows the pod's name tells its containers apart.
            let name = holder.split('_').next().unwrap_or_default().to_owned();
            let pods = self.pods().await?;
            let pod = pods.into_iter().find(|it| it.name_any() == name);
            let pod = pod.with_context(|| format!("{name} leads, which is gone"))?;
            ensure!(wanted(&pod), "{name} leads");
            Ok(Some(pod))
        })
        .await
    }

    /// Replaces the operator's pods as an upgrade does, and waits until a new one leads.
    pub async fn restart(&self) -> Result<()> {
        let before: Vec<String> = self.pods().await?.iter().map(ResourceExt::name_any).collect();
        let deployment = format!("deployment/{RELEASE}");
        let namespace = format!("--namespace={RELEASE}");
        self.kubectl(&["rollout", "restart", &deployment, &namespace]).await?;
        let patience = format!("--timeout={}s", PATIENCE.as_secs());
        self.kubectl(&["rollout", "status", &deployment, &namespace, &patience])
            .await?;
        self.leader(|it| !before.contains(&it.name_any())).await?;
        Ok(())
    }

    /// Ends the leader as a crash of its machine would: its processes are killed, and its pod is gone. Waits until another
    /// leads; how long that took.
    pub async fn crash_leader(&self) -> Result<Duration> {
        let leader = self.leader(|_| true).await?;
        let uid = leader.uid().context("a pod without a uid")?;
        let crashed = Instant::now();
        self.node.kill_pod(&uid)?;
        let namespace = format!("--namespace={RELEASE}");
        let name = leader.name_any();
        self.kubectl(&["delete", "pod", &name, &namespace, "--grace-period=0", "--force"])
            .await?;
        self.leader(|it| it.name_any() != name).await?;
        Ok(crashed.elapsed())
    }
}

/// Runs a command to its end; what it says.
async fn run(mut command: Command, input: Option<String>) -> Result<String> {
    tokio::task::spawn_blocking(move || {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let mut stdin = child.stdin.take().context("no input")?;
        stdin.write_all(input.unwrap_or_default().as_bytes())?;
        drop(stdin);
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "{command:?} failed ({}): {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    })
    .await?
}
