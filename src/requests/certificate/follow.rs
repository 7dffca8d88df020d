//! Loads the Secret at each change, in every replica, and publishes the CA bundle.

use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt;
use tokio::sync::watch;

use super::Address;
use super::loaded::Loaded;
use super::served::Served;
use crate::clock::now;
use crate::cluster::certificate_secret::{CertificateSecret, SeenSecret};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::token::Connection;

/// The Secret as the watch shows it.
#[derive(Clone, Debug)]
pub(super) enum Observed {
    Unknown,
    Absent,
    Present(Arc<SeenSecret>),
}

pub(super) struct Follower {
    pub(super) secret: Arc<CertificateSecret>,
    pub(super) address: Address,
    /// The operator keeps the Secret.
    pub(super) own: bool,
    pub(super) served: Arc<Served>,
    pub(super) observed: watch::Sender<Observed>,
    pub(super) connection: watch::Sender<Option<Connection>>,
    pub(super) health: Arc<Health>,
    pub(super) metrics: Arc<Metrics>,
}

impl Follower {
    /// Never ends.
    pub(super) async fn run(self) {
        let mut events = pin!(self.secret.watch(&self.health));
        while let Some(event) = events.next().await {
            match event {
                Ok(Some(secret)) => {
                    self.load(&secret);
                    self.observed.send_replace(Observed::Present(Arc::new(secret)));
                }
                Ok(None) => {
                    self.report_missing();
                    self.observed.send_replace(Observed::Absent);
                }
                // What was loaded is served further. The watch says in the log what is wrong.
                Err(_) => self.wait("can't be watched"),
            }
        }
    }

    fn load(&self, secret: &SeenSecret) {
        if self.own && !secret.is_own() {
            self.wait("is not the operator's: delete it, or name another with --requests-ca-secret");
            return;
        }
        match Loaded::read(&secret.data, now()) {
            Ok(loaded) => self.serve(loaded),
            Err(problem) => {
                tracing::warn!(
                    secret = %self.secret.name(), %problem,
                    "the serving certificate can't be used; what was served before is served further"
                );
                self.wait(&format!("can't be used: {problem}"));
            }
        }
    }

    fn serve(&self, loaded: Loaded) {
        let until = loaded.not_after;
        if !loaded.covers(&self.address.host) {
            tracing::warn!(
                secret = %self.secret.name(), host = self.address.host,
                "the serving certificate has no name for the host that pods connect to; they will refuse it"
            );
        }
        if self.served.replace(loaded.key) {
            tracing::info!(secret = %self.secret.name(), %until, "serving certificate loaded");
        }
        self.metrics.serving_certificate_ends(until);
        self.health.certificate_waits_for(None);
        let connection = Some(Connection {
            url: self.address.url.clone(),
            ca_bundle: loaded.ca_bundle,
        });
        self.connection.send_if_modified(|before| {
            let differs = *before != connection;
            *before = connection;
            differs
        });
    }

    fn report_missing(&self) {
        if self.own {
            self.wait("does not exist yet; the leader creates it");
        } else {
            tracing::warn!(secret = %self.secret.name(), "the Secret with the serving certificate does not exist");
            self.wait("does not exist; --requests-tls-secret names it");
        }
    }

    /// Keeps this replica from being ready until a certificate is loaded. One that is loaded already is served further.
    fn wait(&self, why: &str) {
        if self.connection.borrow().is_none() {
            let what = format!("a serving certificate: Secret {} {why}", self.secret.name());
            self.health.certificate_waits_for(Some(what));
        }
    }
}
