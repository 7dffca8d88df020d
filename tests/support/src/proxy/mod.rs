//! A proxy that disturbs: between an operator and a real API server, or between an operator and a provider.
//!
//! It ends TLS with a certificate of its own, which the kubeconfig it writes trusts, and asks the API server as the user
//! that it was given. What it does to whom is a list of [`Rule`]s about requests, and what [`link`] does to connections.
//! Which requests a rule of less than all hits is a function of the seed, of the object and of the how-manyth request for
//! it this is: a seed repeats a run, whatever order the threads of that run take.
//!
//! The proxy has a thread and a runtime of its own.

mod asked;
mod link;
mod relay;
mod rules;
#[cfg(test)]
mod tests;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
};

use anyhow::{Context, Result};
use kube::{Client, Config};
use tokio::{
    net::TcpListener,
    sync::{oneshot, watch},
};
use tokio_rustls::TlsAcceptor;

pub use rules::{Effect, Rule};

use crate::{
    cluster::{Cluster, RequestCounts},
    front, ports,
};
use link::Link;
use relay::Relay;

/// A running proxy. Dropping it cuts its connections and frees its port.
pub struct Proxy {
    addr: SocketAddr,
    kubeconfig: Option<PathBuf>,
    relay: Arc<Relay>,
    link: watch::Sender<Link>,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Proxy {
    /// In front of a cluster's API server. `kubeconfig` says as whom it asks there; the operator's own kubeconfig, which
    /// leads through the proxy and holds no credential, is written into `folder`.
    pub async fn before_api(kubeconfig: &Path, folder: &Path, seed: u64) -> Result<Self> {
        let config = Cluster::named(kubeconfig)?.config().await?;
        let tls = front::Certificate::new("127.0.0.1", &["h2", "http/1.1"])?;
        let mut proxy = Self::start(config, Some(tls.acceptor), seed)?;
        let file = folder.join("through-proxy.kubeconfig");
        std::fs::write(&file, kubeconfig_text(proxy.addr, &tls.ca))?;
        proxy.kubeconfig = Some(file);
        Ok(proxy)
    }

    /// In front of a provider that speaks plain HTTP.
    pub fn before_provider(provider: SocketAddr, seed: u64) -> Result<Self> {
        let mut config = Config::new(format!("http://{provider}").parse()?);
        config.default_retry = false;
        Self::start(config, None, seed)
    }

    fn start(config: Config, tls: Option<TlsAcceptor>, seed: u64) -> Result<Self> {
        let addr = ports::free()?;
        let listener =
            std::net::TcpListener::bind(addr).with_context(|| format!("the proxy cannot listen on {addr}"))?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (listener, client) = {
            let _entered = runtime.enter();
            (TcpListener::from_std(listener)?, Client::try_from(config)?)
        };
        let relay = Arc::new(Relay::new(client, seed));
        let link = watch::Sender::new(Link::default());
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("proxy".to_owned()).spawn({
            let (relay, link) = (Arc::clone(&relay), link.clone());
            move || {
                runtime.block_on(async {
                    tokio::select! {
                        _ = stopped => {}
                        () = link::accept(listener, tls, link, relay) => {}
                    }
                });
            }
        })?;
        Ok(Self {
            addr,
            kubeconfig: None,
            relay,
            link,
            thread: Some((stop, thread)),
        })
    }

    /// The kubeconfig that leads through it.
    pub fn kubeconfig(&self) -> Result<&Path> {
        self.kubeconfig
            .as_deref()
            .context("only a proxy of an API server has one")
    }

    /// Its base URL, without a trailing slash.
    pub fn url(&self) -> String {
        let scheme = if self.kubeconfig.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// From now on also this rule. A rule that was added earlier comes first.
    pub fn add(&self, rule: Rule) {
        self.relay.rules().add(rule);
    }

    /// Forgets every rule, lets connections through again, and ends those that were frozen. Requests that were left
    /// without an answer stay so until their connections are cut.
    pub fn heal(&self) {
        self.relay.rules().clear();
        self.link.send_modify(Link::heal);
    }

    /// Requests that got an answer, by its status, and those that got none, by 0.
    pub fn requests(&self) -> RequestCounts {
        self.relay.counts().clone()
    }

    /// Ends every connection there is, with a TCP reset.
    pub fn cut(&self) {
        self.link.send_modify(Link::cut);
    }

    /// Resets every connection, those that are there and new ones, until [`heal`](Self::heal).
    pub fn refuse(&self) {
        self.link.send_modify(Link::refuse);
    }

    /// Nothing comes through the connections that are there any more, and nobody says that they are dead. New ones work.
    pub fn freeze(&self) {
        self.link.send_modify(Link::freeze);
    }

    /// As [`freeze`](Self::freeze), for new connections too.
    pub fn freeze_all(&self) {
        self.link.send_modify(Link::freeze_all);
    }

    /// The watches that are open now stay open and never say anything again. All else works.
    pub fn silence_watches(&self) {
        self.relay.silence_watches();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            // Both fail only if the thread is gone already.
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}

fn kubeconfig_text(addr: SocketAddr, ca: &str) -> String {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let ca = BASE64_STANDARD.encode(ca);
    format!(
        "apiVersion: v1
kind: Config
clusters: [{{name: test, cluster: {{server: 'https://{addr}', certificate-authority-data: {ca}}}}}]
users: [{{name: user, user: {{}}}}]
contexts: [{{name: test, context: {{cluster: test, user: user}}}}]
current-context: test
"
    )
}

/// A test that panicked while it held the lock has failed anyway; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
