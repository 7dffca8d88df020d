//! Tokens on request: a token of its own for each caller, over HTTPS (`docs/concepts.md`).
//!
//! Every replica serves, leading or not, over watches of its own ([`world`]). A request in order: `server` accepts it;
//! `target` reads its path; `reviews` asks the API server who the caller is and whether they may; `body` reads what they
//! want; `limits` counts; then the token comes out of a `pool`, or the [`Issuer`](crate::issuer::Issuer) mints one.
//! What stands in the way becomes a `problem`, and every token is a line of `audit`. What TLS presents is
//! [`certificate`]'s. On a machine without a cluster [`loopback`] stands for reviews and TLS.
//!
//! `limits`, `pool` and `connections` are pure.

mod access;
mod activity;
mod audit;
pub(crate) mod body;
pub mod certificate;
mod connections;
mod handed_out;
mod handler;
mod in_flight;
mod limits;
pub(crate) mod loopback;
mod pool;
mod pools;
mod problem;
mod refused;
mod reviews;
mod server;
mod strict_json;
mod target;
mod unproven;
mod world;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use kube::Client;
use rustls::server::ResolvesServerCert;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::access::Access;
use self::handler::Handler;
use self::pools::Pools;
use self::reviews::Reviews;
use self::server::Server;
use self::world::World;
use crate::clock::now;
use crate::cluster::Scope;
use crate::health::Health;
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::mint::EndpointPolicy;
use crate::resolve::MetadataPolicy;

/// How often what is no longer needed is dropped.
const TIDY_EVERY: Duration = Duration::from_secs(5);

pub struct Options {
    pub listen: SocketAddr,
    pub client: Client,
    /// The controller's, so that a credential has one budget.
    pub issuer: Arc<Issuer>,
    pub endpoints: EndpointPolicy,
    /// Which labels and annotations Secrets may be given.
    pub metadata: MetadataPolicy,
    /// Where ClusterRealtimeProviders' keys live.
    pub operator_namespace: String,
    pub scope: Scope,
    /// The serving certificate, which may change.
    pub certificate: Arc<dyn ResolvesServerCert>,
    /// Resolves once there is a certificate: until then this replica is not ready.
    pub has_certificate: BoxFuture<'static, ()>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

/// Serves until `shutdown` is cancelled, then finishes what was begun and returns. The error is the address's.
pub async fn run(options: Options, shutdown: CancellationToken) -> std::io::Result<()> {
    let listener = TcpListener::bind(options.listen).await?;
    serve(options, listener, shutdown).await;
    Ok(())
}

async fn serve(options: Options, listener: TcpListener, shutdown: CancellationToken) {
    let tls = server::tls(Arc::clone(&options.certificate));
    let metrics = Arc::clone(&options.metrics);
    let (handler, background) = prepare(options, shutdown.clone());
    let server = Server {
        tls: Some(tls),
        lingers: server::LINGERS,
        handler,
        metrics,
        shutdown,
    };
    tokio::select! {
        () = server.serve(listener) => {}
        () = background => {}
    }
}

/// What answers requests, and what must run for it. That never ends.
fn prepare(options: Options, shutdown: CancellationToken) -> (Arc<Handler>, impl Future<Output = ()> + Send) {
    let Options {
        client,
        metrics,
        health,
        ..
    } = options;
    health.requests_wait_for(Some("the watches of the requests' server".to_owned()));
    let (world, writers) = World::new(
        options.issuer,
        options.scope,
        options.operator_namespace,
        options.endpoints,
        options.metadata,
    );
    let world = Arc::new(world);
    let pools = Pools::new(Arc::clone(&world), Arc::clone(&metrics), shutdown.clone());
    let reviews = Reviews::new(client.clone());
    let handler = Arc::new(Handler::new(
        Arc::clone(&world),
        Access::Reviewed(reviews),
        pools.clone(),
        metrics,
    ));
    let (of_background, ends) = (Arc::clone(&handler), shutdown);
    let background = async move {
        let handler = of_background;
        let is_ready = async {
            world.listed().await;
            handler.set_ready();
            health.requests_wait_for(Some("the serving certificate".to_owned()));
            options.has_certificate.await;
            health.requests_wait_for(None);
            tracing::info!(address = %options.listen, "tokens are handed out on request");
            std::future::pending().await
        };
        // A replica that stops because it has lost the Lease is no pod that Kubernetes stops: only this takes it out of the
        // Service while it finishes what it has begun.
        let readiness = async {
            tokio::select! {
                () = ends.cancelled() => health.requests_wait_for(Some("the end of this process".to_owned())),
                () = is_ready => {}
            }
        };
        let tidy = async {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                handler.sweep();
                // The controller does the same where it runs.
                world.issuer.tidy(now());
            }
        };
        let follow = world.follow(&client, writers, &health, |name| pools.changed(name));
        tokio::join!(follow, readiness, tidy);
    };
    (handler, background)
}

#[cfg(test)]
mod tests;
