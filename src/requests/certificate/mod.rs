//! The serving certificate of the requests' server, and the CAs that its clients are to trust.
//!
//! Both are in one Secret of the operator's namespace. By default it is the operator's own: the leader makes and renews a
//! CA and a certificate in it ([`plan`]: when, [`make`]: how, [`content`]: in what form, [`keep`]: the loop). With
//! `--requests-tls-secret` it is kept by others, such as cert-manager, and only read. Every replica watches the Secret and
//! loads it without a restart ([`follow`]).

mod content;
mod follow;
mod keep;
mod loaded;
mod make;
mod plan;
mod served;

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::BoxFuture;
use jiff::SignedDuration;
use kube::Client;
use rustls::server::ResolvesServerCert;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use self::follow::{Follower, Observed};
use self::keep::Keeper;
use self::served::Served;
use crate::cluster::certificate_secret::CertificateSecret;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::token::Connection;

/// Where pods find the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Without a slash at its end.
    pub url: String,
    /// The URL's host, for which the certificate must be.
    pub host: String,
}

/// Who keeps the Secret, and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The operator, with a CA of its own.
    Own {
        secret: String,
        /// The DNS names and IP addresses of the certificate.
        names: BTreeSet<String>,
        ca_life: SignedDuration,
    },
    /// Others.
    Given { secret: String },
}

pub struct Options {
    pub client: Client,
    pub namespace: String,
    pub address: Address,
    pub source: Source,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

/// Follows the Secret for as long as it lives.
pub struct Certificate {
    secret: Arc<CertificateSecret>,
    source: Source,
    served: Arc<Served>,
    observed: watch::Receiver<Observed>,
    connection: watch::Receiver<Option<Connection>>,
    _follow: AbortOnDropHandle<()>,
}

impl Certificate {
    /// Begins to follow the Secret.
    pub fn follow(options: Options) -> Self {
        let (own, secret) = match &options.source {
            Source::Own { secret, .. } => (true, secret),
            Source::Given { secret } => (false, secret),
        };
        let secret = Arc::new(CertificateSecret::new(options.client, &options.namespace, secret));
        let served = Arc::<Served>::default();
        let (observed_sender, observed) = watch::channel(Observed::Unknown);
        let (connection_sender, connection) = watch::channel(None);
        let waiting = format!("Secret {} with the serving certificate", secret.name());
        options.health.certificate_waits_for(Some(waiting));
        let follower = Follower {
            secret: Arc::clone(&secret),
            address: options.address,
            own,
            served: Arc::clone(&served),
            observed: observed_sender,
            connection: connection_sender,
            health: options.health,
            metrics: options.metrics,
        };
        Self {
            secret,
            source: options.source,
            served,
            observed,
            connection,
            _follow: AbortOnDropHandle::new(tokio::spawn(follower.run())),
        }
    }

    /// Presents the certificate as it is at each handshake; none until one is loaded.
    pub fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.served) as Arc<dyn ResolvesServerCert>
    }

    /// Where to ask and whom to trust, `None` until a certificate is loaded.
    pub fn connection(&self) -> watch::Receiver<Option<Connection>> {
        self.connection.clone()
    }

    /// Resolves once a certificate is loaded.
    pub fn loaded(&self) -> BoxFuture<'static, ()> {
        let mut connection = self.connection.clone();
        Box::pin(async move {
            // Fails only without a follower, which lives as long as the server.
            let _ = connection.wait_for(Option::is_some).await;
        })
    }

    /// Makes and renews the operator's own CA and certificate. For the leader. Ends only if the Secret is no longer
    /// followed, and the process should end then.
    pub fn keep(&self) -> impl Future<Output = ()> + Send + 'static {
        let keeper = match &self.source {
            Source::Given { .. } => None,
            Source::Own { names, ca_life, .. } => Some(Keeper::new(
                Arc::clone(&self.secret),
                names.clone(),
                *ca_life,
                self.observed.clone(),
            )),
        };
        async move {
            match keeper {
                Some(keeper) => keeper.run().await,
                None => std::future::pending().await,
            }
        }
    }
}

#[cfg(test)]
mod tests;
