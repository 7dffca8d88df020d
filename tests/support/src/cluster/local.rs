//! The control plane that we start ourselves: etcd, kube-apiserver and, where asked for, kube-controller-manager.

use std::{
    env,
    ffi::OsString,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use kube::Client;
use tempfile::TempDir;
use tokio::sync::Mutex;

use super::{Options, audit, connect, crds, pki::Pki, server::Server};
use crate::{build::ControlPlaneBinary, fetch, ports};

/// What a cluster may come to write: two etcd segments of 64 MB, the database, logs.
const NEEDED_BYTES: u64 = 512 << 20;

/// Where pods look for the API server: the first address of the range of Services, which is from RFC 2544's block for
/// benchmarks, so that no network uses it.
pub(super) const SERVICE_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SERVICE_RANGE: &str = "198.18.0.0/24";

/// What tests need of a cluster without a node: owned objects go with their owner, namespaces go, service accounts come,
/// and the roles view, edit and admin take in what a chart adds to them.
const CONTROLLERS: &str = "clusterrole-aggregation-controller,garbage-collector-controller,namespace-controller,\
                           serviceaccount-controller,serviceaccount-token-controller";

/// API servers of one process start one after the other: each wants all cores for seconds, and gives up if its first roles
/// aren't written half a minute later.
static STARTING: Mutex<()> = Mutex::const_new(());

/// Fields drop from top to bottom: servers first, and what they depend on last.
pub(super) struct Local {
    controller_manager: Option<Server>,
    apiserver: Option<Server>,
    etcd: Option<Server>,
    binary: ControlPlaneBinary,
    options: Options,
    etcd_addr: SocketAddr,
    apiserver_addr: SocketAddr,
    pub(super) kubeconfig: PathBuf,
    pki: Pki,
    folder: TempDir,
}

impl Local {
    /// Starts the servers and waits until they are ready.
    pub(super) async fn start(binary: ControlPlaneBinary, options: Options) -> Result<Self> {
        // Another program may take a port before the server does.
        for _ in 0..2 {
            match Self::attempt(binary.clone(), options).await {
                Err(error) if format!("{error:#}").contains("address already in use") => {}
                other => return other,
            }
        }
        Self::attempt(binary, options).await
    }

    async fn attempt(binary: ControlPlaneBinary, options: Options) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("realtime-token-cluster-")
            .tempdir_in(fast_folder())?;
        let apiserver_addr = if options.node {
            SocketAddr::from((SERVICE_ADDRESS, 443))
        } else {
            ports::free()?
        };
        let pki = Pki::create(folder.path())?;
        let kubeconfig = pki.admin_kubeconfig(apiserver_addr)?;
        let etcd_addr = ports::free()?;
        let etcd = start_etcd(&binary, folder.path(), etcd_addr).await?;
        let mut local = Self {
            controller_manager: None,
            apiserver: None,
            etcd: Some(etcd),
            binary,
            options,
            etcd_addr,
            apiserver_addr,
            kubeconfig,
            pki,
            folder,
        };
        local.start_apiserver().await?;
        if let Some(folder) = options.crds {
            let client = Client::try_from(connect(&local.kubeconfig).await?)?;
            crds::apply(client, Path::new(folder)).await?;
        }
        if options.node {
            local.start_controller_manager("*").await?;
        } else if options.controller_manager {
            local.start_controller_manager(CONTROLLERS).await?;
        }
        Ok(local)
    }

    /// The pids of the servers that run.
    pub(super) fn pids(&self) -> Vec<u32> {
        self.servers().map(Server::pid).collect()
    }

    /// The kubeconfig of another user than the one with every right.
    pub(super) fn component_kubeconfig(&self, name: &str, user: &str, group: Option<&str>) -> Result<PathBuf> {
        self.pki.kubeconfig(name, user, group, self.apiserver_addr)
    }

    /// The end of each server's log.
    pub(super) fn log_tails(&self) -> String {
        self.servers()
            .map(|it| format!("{}: {}\n", it.name, it.log_tail()))
            .collect()
    }

    fn servers(&self) -> impl Iterator<Item = &Server> {
        let all = [&self.etcd, &self.apiserver, &self.controller_manager];
        all.into_iter().flatten()
    }

    pub(super) fn stop_apiserver(&mut self) -> Result<()> {
        match self.apiserver.take() {
            Some(server) => server.kill(),
            None => bail!("the API server is stopped already"),
        }
    }

    /// Stopped meanwhile, so that no file changes while it is copied. What it holds then is what a crash would leave.
    pub(super) fn snapshot_etcd(&self) -> Result<TempDir> {
        let etcd = self.etcd.as_ref().context("etcd is stopped")?;
        let snapshot = tempfile::Builder::new()
            .prefix("realtime-token-etcd-")
            .tempdir_in(fast_folder())?;
        etcd.freeze()?;
        let copied = copy_folder(&self.folder.path().join("etcd"), snapshot.path());
        etcd.thaw()?;
        copied?;
        Ok(snapshot)
    }

    /// Both servers are killed and start again with the data of the snapshot.
    pub(super) async fn restore_etcd(&mut self, snapshot: &TempDir) -> Result<()> {
        self.stop_apiserver()?;
        if let Some(etcd) = self.etcd.take() {
            etcd.kill()?;
        }
        let data = self.folder.path().join("etcd");
        fs::remove_dir_all(&data)?;
        copy_folder(snapshot.path(), &data)?;
        self.etcd = Some(start_etcd(&self.binary, self.folder.path(), self.etcd_addr).await?);
        self.start_apiserver().await
    }

    pub(super) async fn start_apiserver(&mut self) -> Result<()> {
        if self.apiserver.is_some() {
            bail!("the API server runs already");
        }
        let _alone = STARTING.lock().await;
        let file = |name: &str| self.folder.path().join(name);
        let mut flags = flags([
            ("etcd-servers", format!("http://{}", self.etcd_addr).into()),
            ("bind-address", self.apiserver_addr.ip().to_string().into()),
            ("secure-port", self.apiserver_addr.port().to_string().into()),
            // Or it would put its loopback address into the endpoints of the service `kubernetes`, and refuse to.
            ("endpoint-reconciler-type", "none".into()),
            ("authorization-mode", "Node,RBAC".into()),
            ("client-ca-file", file("ca.crt").into()),
            ("tls-cert-file", file("serving.crt").into()),
            ("tls-private-key-file", file("serving.key").into()),
            ("service-account-issuer", "https://kubernetes.default.svc".into()),
            ("service-account-key-file", file("service-accounts.pub").into()),
            ("service-account-signing-key-file", file("service-accounts.key").into()),
            ("service-cluster-ip-range", SERVICE_RANGE.into()),
            // For the logs of pods.
            ("kubelet-certificate-authority", file("ca.crt").into()),
            ("kubelet-client-certificate", file("admin.crt").into()),
            ("kubelet-client-key", file("admin.key").into()),
            ("kubelet-preferred-address-types", "Hostname".into()),
        ]);
        flags.extend(self.optional_flags()?);
        let server = Server::start(&self.binary, "kube-apiserver", self.folder.path(), flags)?;
        let config = connect(&self.kubeconfig).await?;
        let client = Client::try_from(config)?;
        self.apiserver
            .insert(server)
            .ready(|| ask(client.clone(), "/readyz"))
            .await
    }

    fn optional_flags(&self) -> Result<Vec<OsString>> {
        let mut optional: Vec<(&str, OsString)> = Vec::new();
        if let Some(log) = self.audit_log() {
            let policy = self.folder.path().join("audit-policy.yaml");
            fs::write(&policy, audit::POLICY)?;
            optional.push(("audit-policy-file", policy.into()));
            optional.push(("audit-log-path", log.into()));
        }
        if !self.options.admission_plugins.is_empty() {
            let plugins = self.options.admission_plugins.join(",");
            optional.push(("enable-admission-plugins", plugins.into()));
        }
        Ok(flags(optional))
    }

    /// Where the API server logs its requests, if it does.
    pub(super) fn audit_log(&self) -> Option<PathBuf> {
        let log = || self.folder.path().join("audit.log");
        self.options.audit.then(log)
    }

    async fn start_controller_manager(&mut self, controllers: &str) -> Result<()> {
        let addr = ports::free()?;
        let file = |name: &str| self.folder.path().join(name);
        let flags = flags([
            ("kubeconfig", self.kubeconfig.clone().into()),
            ("bind-address", addr.ip().to_string().into()),
            ("secure-port", addr.port().to_string().into()),
            ("tls-cert-file", file("serving.crt").into()),
            ("tls-private-key-file", file("serving.key").into()),
            ("leader-elect", "false".into()),
            ("root-ca-file", file("ca.crt").into()),
            ("service-account-private-key-file", file("service-accounts.key").into()),
            ("controllers", controllers.into()),
        ]);
        let name = "kube-controller-manager";
        let server = Server::start(&self.binary, name, self.folder.path(), flags)?;
        let mut config = connect(&self.kubeconfig).await?;
        config.cluster_url = format!("https://{addr}").parse()?;
        let client = Client::try_from(config)?;
        self.controller_manager
            .insert(server)
            .ready(|| ask(client.clone(), "/healthz"))
            .await
    }
}

async fn start_etcd(binary: &ControlPlaneBinary, folder: &Path, addr: SocketAddr) -> Result<Server> {
    let clients = format!("http://{addr}");
    let peers = format!("http://{}", ports::free()?);
    let flags = flags([
        ("data-dir", folder.join("etcd").into()),
        ("listen-client-urls", clients.clone().into()),
        ("advertise-client-urls", clients.into()),
        ("listen-peer-urls", peers.clone().into()),
        ("initial-advertise-peer-urls", peers.clone().into()),
        ("initial-cluster", format!("default={peers}").into()),
        ("log-level", "warn".into()),
        // The most that etcd is meant for: 2 GiB, its default, is too little for the bench with 100,000 tokens.
        ("quota-backend-bytes", (8_u64 << 30).to_string().into()),
        // The data is thrown away with the cluster: no need to wait for a disk.
        ("unsafe-no-fsync", "true".into()),
    ]);
    let mut etcd = Server::start(binary, "etcd", folder, flags)?;
    etcd.ready(|| async move { fetch::get(addr, "/health").await.map(drop) })
        .await?;
    Ok(etcd)
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn flags<'a>(flags: impl IntoIterator<Item = (&'a str, OsString)>) -> Vec<OsString> {
    let join = |(name, value): (&str, OsString)| {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        flag
    };
    flags.into_iter().map(join).collect()
}

async fn ask(client: Client, path: &str) -> Result<()> {
    client
        .request_text(http::Request::get(path).body(Vec::new())?)
        .await
        .with_context(|| format!("GET {path}"))?;
    Ok(())
}

/// Memory if there is enough of it (a container's /dev/shm may be as small as 64 MB), else the usual temporary folder.
fn fast_folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    match rustix::fs::statvfs(&memory) {
        Ok(it) if it.f_bavail * it.f_frsize >= NEEDED_BYTES => memory,
        _ => env::temp_dir(),
    }
}
