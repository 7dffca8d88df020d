//! The listener: TLS, HTTP/1.1 and 2, with a deadline on everything that a caller can be slow with.
//!
//! It shares the thread of the controller. What a caller can cost there without a bearer token is a TLS handshake, a
//! fraction of a millisecond; connections are bounded in all and for each peer, so that between two steps of the
//! controller there are never more than a few handshakes.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::serve::Listener;
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::{BoxError, Service};

use super::activity::{Activity, IDLE};
use super::connections::{Connections, Id};
use super::handler::{ANSWER_WITHIN, Handler};
use crate::metrics::Metrics;

/// From the connection to the end of the TLS handshake.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);
/// How long a connection that is to be closed may go on with the requests it has begun.
const CLOSES_WITHIN: Duration = Duration::from_secs(30);
/// So long it takes until the nodes no longer send new connections to a pod that is told to stop.
pub(super) const LINGERS: Duration = Duration::from_secs(3);
/// How long the connections that are open then may go on: as long as an answer may take. Together that is less than the
/// 30 s that Kubernetes grants (`terminationGracePeriodSeconds`).
const DRAIN: Duration = ANSWER_WITHIN;
/// Headers of a request. A ServiceAccount's token has one or two KiB.
const HEADERS: u32 = 16 * 1024;
/// Requests at a time on an HTTP/2 connection.
const STREAMS: u32 = 100;

/// TLS 1.2 and 1.3 with this certificate. Data is never accepted before the handshake is complete: it could be replayed.
pub(super) fn tls(certificate: Arc<dyn ResolvesServerCert>) -> TlsAcceptor {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

pub(super) struct Server {
    /// Without it, plain HTTP: on a loopback address only.
    pub(super) tls: Option<TlsAcceptor>,
    /// How long callers are still accepted once the process is told to stop.
    pub(super) lingers: Duration,
    pub(super) handler: Arc<Handler>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) shutdown: CancellationToken,
}

impl Server {
    /// Accepts connections until the shutdown and a little longer, and then ends once those are done, or after [`DRAIN`].
    pub(super) async fn serve(self, mut listener: TcpListener) {
        let server = Arc::new(self);
        let drain = CancellationToken::new();
        let mut lingered = pin!(async {
            server.shutdown.cancelled().await;
            tokio::time::sleep(server.lingers).await;
        });
        let connections: OpenConnections = Arc::default();
        let (open, abandon) = (TaskTracker::new(), CancellationToken::new());
        server.metrics.request_connections(0);
        loop {
            let (stream, peer): (TcpStream, SocketAddr) = tokio::select! {
                accepted = Listener::accept(&mut listener) => accepted,
                () = &mut lingered => break,
            };
            let (peer, close) = (peer.ip().to_canonical(), abandon.child_token());
            let Ok((id, evicted)) = connections.lock().open(peer, close.clone()) else {
                continue; // which closes it
            };
            if let Some(evicted) = evicted {
                evicted.cancel();
            }
            server.metrics.request_connections(connections.lock().len());
            let counted = Counted {
                connections: Arc::clone(&connections),
                metrics: Arc::clone(&server.metrics),
                id,
            };
            let (server, drain) = (Arc::clone(&server), drain.clone());
            open.spawn(async move {
                let _counted = counted;
                tokio::select! {
                    () = server.converse(stream, peer, &drain) => {}
                    () = close.cancelled() => {}
                }
            });
        }
        drop(listener);
        drain.cancel();
        open.close();
        if tokio::time::timeout(DRAIN, open.wait()).await.is_err() {
            tracing::warn!(connections = open.len(), "stopping with requests under way");
            abandon.cancel();
            open.wait().await;
        }
    }

    /// One connection, to its end.
    async fn converse(&self, stream: TcpStream, peer: IpAddr, drain: &CancellationToken) {
        let _ = stream.set_nodelay(true); // only slower without
        let Some(tls) = &self.tls else {
            return self.answer_all(stream, peer, drain).await;
        };
        let handshake = tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream));
        let stream = tokio::select! {
            handshake = handshake => match handshake {
                Ok(Ok(stream)) => stream,
                Ok(Err(problem)) => {
                    tracing::debug!(%peer, %problem, "no TLS connection");
                    return;
                }
                Err(_) => return,
            },
            () = drain.cancelled() => return,
        };
        self.answer_all(stream, peer, drain).await;
    }

    /// The requests of one connection.
    async fn answer_all<S>(&self, stream: S, peer: IpAddr, drain: &CancellationToken)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let activity = Activity::new();
        let service = TowerToHyperService::new(Answering {
            handler: Arc::clone(&self.handler),
            activity: activity.clone(),
            peer,
        });
        let http = http();
        let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            _ = connection.as_mut() => return, // the caller is gone
            () = activity.over() => {}
            () = drain.cancelled() => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(CLOSES_WITHIN, connection).await;
    }
}

type OpenConnections = Arc<Mutex<Connections<CancellationToken>>>;

/// Counts a connection out when it is dropped, also by a panic.
struct Counted {
    connections: OpenConnections,
    metrics: Arc<Metrics>,
    id: Id,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut connections = self.connections.lock();
        connections.closed(self.id);
        self.metrics.request_connections(connections.len());
    }
}

fn http() -> Builder<TokioExecutor> {
    let mut http = Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(2 * HEADERS as usize);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADERS)
        .max_concurrent_streams(STREAMS)
        .initial_stream_window_size(64 * 1024)
        .initial_connection_window_size(256 * 1024)
        .max_send_buf_size(64 * 1024)
        .keep_alive_interval(Some(Duration::from_secs(20)))
        .keep_alive_timeout(Duration::from_secs(10));
    http
}

/// Answers the requests of one connection.
#[derive(Clone)]
struct Answering {
    handler: Arc<Handler>,
    activity: Activity,
    peer: IpAddr,
}

impl<B> Service<Request<B>> for Answering
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let asking = self.activity.begin();
        let (handler, peer) = (Arc::clone(&self.handler), self.peer);
        async move {
            let response = handler.answer(request.map(Body::new), peer).await;
            drop(asking);
            Ok(response)
        }
        .boxed()
    }
}
