//! A real Kubernetes API server for tests.
//!
//! [`Cluster::start`] gives a cluster of one's own, which may be stopped and broken; [`shared`] one that all tests of a
//! binary share. Either way each test makes a namespace and a client of its own: a client belongs to the runtime it was
//! made in, and each `#[tokio::test]` has another one.

#[cfg(test)]
mod alone;
mod audit;
mod crds;
mod identity;
mod local;
mod namespace;
mod pki;
mod requests;
mod server;

use std::{
    env,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, anyhow, bail};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub use audit::Audited;
pub use namespace::Namespace;
pub use requests::{Request, RequestCounts};

use crate::{build, kubectl};

/// What to start beside etcd and the API server.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Deletes owned objects and namespaces, and makes service accounts and their tokens. Costs 120 MB and a few seconds.
    pub controller_manager: bool,
    /// A folder of CRDs to apply before the controllers start. The garbage collector looks for new kinds only every half
    /// a minute.
    pub crds: Option<&'static str>,
    /// Keeps a log of every request: see [`Cluster::audit`].
    pub audit: bool,
    /// Admission plugins beside those that are on by default.
    pub admission_plugins: &'static [&'static str],
    /// Every controller, for a cluster with a node, and an API server where pods look for it. [`Cluster::NODE_ADDRESS`]
    /// must be an address of this machine already.
    pub node: bool,
}

/// An API server and a kubeconfig with every right on it. Dropping it kills the servers that it started.
pub struct Cluster {
    kubeconfig: PathBuf,
    local: Option<local::Local>,
}

/// The cluster that the tests of this process share: the one that `CLUSTER` names, else one of our own with a controller
/// manager. `KUBECONFIG` is never read: it may name a cluster in production.
pub async fn shared(crds: Option<&'static str>) -> Result<&'static Cluster> {
    // A failure is kept too: one message, not one attempt of minutes per test.
    static SHARED: OnceCell<Result<Cluster, String>> = OnceCell::const_new();
    let start = async {
        let named = env::var_os("CLUSTER").filter(|it| !it.is_empty());
        let options = Options {
            controller_manager: true,
            crds,
            ..Options::default()
        };
        let cluster = match named {
            Some(kubeconfig) => Cluster::named(kubeconfig),
            None => Cluster::start(options).await,
        };
        cluster.map_err(|error| format!("{error:#}"))
    };
    SHARED
        .get_or_init(|| start)
        .await
        .as_ref()
        .map_err(|error| anyhow!("no shared cluster: {error}"))
}

impl Cluster {
    /// Where the API server of a cluster with a node listens: an address that pods and this machine share.
    pub const NODE_ADDRESS: Ipv4Addr = local::SERVICE_ADDRESS;

    /// Starts etcd and an API server on free ports, and waits until they are ready.
    pub async fn start(options: Options) -> Result<Self> {
        if env::var_os("CLUSTER").is_some_and(|it| !it.is_empty()) {
            bail!(
                "CLUSTER is set, but this stops, counts or breaks things and needs a control plane of its own: unset \
                 CLUSTER, or leave such tests out with `cargo test -- --skip alone::`"
            );
        }
        // May build for minutes, which is no work for a thread of the runtime.
        let binary = tokio::task::spawn_blocking(build::control_plane).await??;
        let local = local::Local::start(binary, options)
            .await
            .context("start a test cluster")?;
        Ok(Self {
            kubeconfig: local.kubeconfig.clone(),
            local: Some(local),
        })
    }

    /// A cluster that runs already and that we only use.
    pub fn named(kubeconfig: impl Into<PathBuf>) -> Result<Self> {
        let kubeconfig = kubeconfig.into();
        if !kubeconfig.is_file() {
            bail!(
                "CLUSTER names {}, which isn't a file: name a kubeconfig, or unset it to start a test cluster",
                kubeconfig.display()
            );
        }
        Ok(Self {
            kubeconfig,
            local: None,
        })
    }

    /// The file to reach it by, with every right.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig of a user with a certificate, as the components of a cluster have one, written as `<name>.kubeconfig` beside the one with every right, where also `ca.crt`
    /// and the servers' `serving.crt` and `serving.key` are. Only a cluster of our own can make users.
    pub fn component_kubeconfig(&self, name: &str, user: &str, group: Option<&str>) -> Result<PathBuf> {
        let local = self.local.as_ref();
        let local = local.context("the cluster that CLUSTER names makes no users for us")?;
        local.component_kubeconfig(name, user, group)
    }

    /// How to reach it. Requests aren't retried, so that tests see what happened.
    pub async fn config(&self) -> Result<Config> {
        connect(&self.kubeconfig).await
    }

    /// A new client, for the runtime of the caller.
    pub async fn client(&self) -> Result<Client> {
        Ok(Client::try_from(self.config().await?)?)
    }

    /// A kubectl that talks to it: add what it should do.
    pub fn kubectl(&self) -> Result<Command> {
        let mut command = Command::new(kubectl::kubectl()?);
        command.arg("--kubeconfig").arg(&self.kubeconfig);
        if self.local.is_some() {
            // The environment's proxy is for the world outside.
            command.env("NO_PROXY", "*");
        }
        Ok(command)
    }

    /// A new namespace, named `prefix` and something unique.
    pub async fn namespace(&self, prefix: &str) -> Result<Namespace> {
        self.labelled_namespace(prefix, &[]).await
    }

    /// A new namespace with labels.
    pub async fn labelled_namespace(&self, prefix: &str, labels: &[(&str, &str)]) -> Result<Namespace> {
        let config = self.config().await?;
        let sweep = self.local.is_none().then(|| config.clone());
        Namespace::create(Client::try_from(config)?, prefix, labels, sweep).await
    }

    /// Applies the CRDs in `folder` (`*.yaml`) and waits until they are served.
    pub async fn apply_crds(&self, folder: impl AsRef<Path>) -> Result<()> {
        crds::apply(self.client().await?, folder.as_ref()).await
    }

    /// The issuer of ServiceAccounts' tokens and the keys that they are signed with, as the API server publishes them.
    pub async fn issuer(&self) -> Result<(String, serde_json::Value)> {
        let client = self.client().await?;
        let get = async |path: &str| -> Result<serde_json::Value> {
            let request = http::Request::get(path).body(Vec::new())?;
            Ok(client.request(request).await?)
        };
        let configuration = get("/.well-known/openid-configuration").await?;
        let issuer = configuration["issuer"].as_str().unwrap_or_default().to_owned();
        Ok((issuer, get("/openid/v1/jwks").await?))
    }

    /// How many requests of which kind the API server has answered.
    pub async fn apiserver_requests(&self) -> Result<RequestCounts> {
        let request = http::Request::get("/metrics").body(Vec::new())?;
        let metrics = self
            .client()
            .await?
            .request_text(request)
            .await
            .context("read the API server's metrics")?;
        RequestCounts::parse(&metrics)
    }

    /// Every request that the API server has answered, and the watches that have begun. For a cluster with
    /// [`Options::audit`].
    pub fn audit(&self) -> Result<Vec<Audited>> {
        let local = self.local.as_ref();
        let log = local.and_then(local::Local::audit_log);
        audit::read(&log.context("this cluster keeps no audit log: start one with Options::audit")?)
    }

    /// Kills the API server, as a crash would: connections break, and its port refuses new ones. For a cluster of your own.
    pub async fn stop_apiserver(&mut self) -> Result<()> {
        self.own()?.stop_apiserver()
    }

    /// Starts it again, on the same port and with the same data, and waits until it is ready.
    pub async fn start_apiserver(&mut self) -> Result<()> {
        self.own()?.start_apiserver().await
    }

    /// A copy of what etcd holds, in a folder of its own. For a cluster of your own.
    pub fn snapshot_etcd(&mut self) -> Result<TempDir> {
        self.own()?.snapshot_etcd()
    }

    /// Sets etcd back to an earlier snapshot, as people do after a disaster: resourceVersions go back too. Waits until
    /// the API server is ready again.
    pub async fn restore_etcd(&mut self, snapshot: &TempDir) -> Result<()> {
        self.own()?.restore_etcd(snapshot).await
    }

    /// The pids of the servers that this cluster runs.
    pub fn pids(&self) -> Vec<u32> {
        self.local.as_ref().map(local::Local::pids).unwrap_or_default()
    }

    /// The end of each server's log, for the message of a test that fails.
    pub fn log_tails(&self) -> String {
        self.local.as_ref().map(local::Local::log_tails).unwrap_or_default()
    }

    fn own(&mut self) -> Result<&mut local::Local> {
        self.local
            .as_mut()
            .context("the cluster that CLUSTER names isn't ours to stop; unset CLUSTER for this test")
    }
}

async fn connect(kubeconfig: &Path) -> Result<Config> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("use the kubeconfig {}", kubeconfig.display()))?;
    config.default_retry = false;
    // The environment's proxy is for the world outside, not for this machine.
    let here = ["127.0.0.1", &local::SERVICE_ADDRESS.to_string()];
    if config.cluster_url.host().is_some_and(|it| here.contains(&it)) {
        config.proxy_url = None;
    }
    Ok(config)
}
