//! Tokens on request on a machine without a cluster: plain HTTP on a loopback address, to every program of the machine.
//!
//! Browsers are programs of the machine, too, and pages of strangers run in them. A page can't read an answer of another
//! origin, but it could have tokens minted, and with a name of its own that leads to 127.0.0.1 it could read them. So a
//! request must name a loopback address as its host, and may not come from a page.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use http::header::{HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::TIDY_EVERY;
use super::access::Access;
use super::handler::Handler;
use super::pools::Pools;
use super::problem::Problem;
use super::server::Server;
use super::world::{World, WorldWriters};
use crate::api::RealtimeToken;
use crate::cluster::is_this_machine;
use crate::cluster::review::Caller;
use crate::cluster::{Name, Scope};
use crate::issuer::Issuer;
use crate::metrics::Metrics;
use crate::mint::EndpointPolicy;
use crate::resolve::MetadataPolicy;

/// How callers are named in the log.
const CALLER: &str = "this machine";

/// Hands out tokens of one RealtimeToken.
pub(crate) struct Loopback {
    handler: Arc<Handler>,
    metrics: Arc<Metrics>,
    pools: Pools,
    writers: WorldWriters,
    shutdown: CancellationToken,
}

impl Loopback {
    pub(crate) fn new(
        issuer: Arc<Issuer>,
        endpoints: EndpointPolicy,
        metrics: Arc<Metrics>,
        shutdown: CancellationToken,
    ) -> Self {
        let scope = Scope {
            namespaces: Vec::new(),
            cluster_providers: false,
        };
        let (world, writers) = World::new(issuer, scope, String::new(), endpoints, MetadataPolicy::default());
        let world = Arc::new(world);
        let pools = Pools::new(Arc::clone(&world), Arc::clone(&metrics), shutdown.clone());
        let handler = Handler::new(world, Access::OfThisMachine, pools.clone(), Arc::clone(&metrics));
        handler.set_ready();
        Self {
            handler: Arc::new(handler),
            metrics,
            pools,
            writers,
            shutdown,
        }
    }

    /// Takes in the RealtimeToken as it is now.
    pub(crate) fn show(&mut self, token: RealtimeToken) {
        let name = Name::of(&token);
        World::show(&mut self.writers, token);
        self.pools.changed(&name);
    }

    /// What serves until the shutdown, and ends once what was begun is answered.
    pub(crate) fn serve(&self, listener: TcpListener) -> impl Future<Output = ()> + Send + 'static {
        let server = Server {
            tls: None,
            lingers: std::time::Duration::ZERO,
            handler: Arc::clone(&self.handler),
            metrics: Arc::clone(&self.metrics),
            shutdown: self.shutdown.clone(),
        };
        let handler = Arc::clone(&self.handler);
        let tidy = async move {
            loop {
                tokio::time::sleep(TIDY_EVERY).await;
                handler.sweep();
            }
        };
        async move {
            tokio::select! {
                () = server.serve(listener) => {}
                () = tidy => {}
            }
        }
    }
}

/// Who asks, unless it is a page in a browser.
pub(super) fn caller(Parts { headers, uri, .. }: &Parts) -> Result<Arc<Caller>, Problem> {
    let refused = |detail: &str| Err(Problem::new(StatusCode::FORBIDDEN, "Forbidden", detail));
    if headers.contains_key(ORIGIN) {
        return refused(
            "a page in a browser may not ask for tokens here: ask from the server of your application, which hands the \
             token to its page",
        );
    }
    let of_header = headers
        .get(HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok());
    // HTTP/2 has it in the URI.
    if !uri
        .authority()
        .or(of_header.as_ref())
        .is_some_and(|it| is_this_machine(it.host()))
    {
        return refused("ask at 127.0.0.1, [::1] or localhost: the request names another host");
    }
    Ok(Arc::new(Caller {
        username: CALLER.to_owned(),
        ..Caller::default()
    }))
}

/// An address that only programs of this machine reach.
pub(crate) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text
        .parse()
        .map_err(|_| "give an address and a port, such as 127.0.0.1:8099".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err(
            "tokens are handed out without authentication here, so only a loopback address will do, such as \
                      127.0.0.1:8099; for other machines run the operator in a cluster"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests;
