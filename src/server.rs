//! /livez and /readyz on one port, for the kubelet; /metrics on another, for Prometheus.
//!
//! Both are served by a thread of their own: a client that floods them takes no time from the controller, and probes
//! are answered while the controller is busy.

mod access;
mod connections;

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Router, middleware};
use kube::Client;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use self::access::Readers;
use crate::health::Health;
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::text::without_number;

/// For how long the scheduler may make no progress before the kubelet should restart the pod.
const STALLED_AFTER: Duration = Duration::from_secs(60);

/// What to serve, and where.
pub struct Options {
    pub health_listen: SocketAddr,
    pub health: Arc<Health>,
    pub metrics_listen: SocketAddr,
    pub metrics: Arc<Metrics>,
    /// Asks the API server who may read metrics, which are then served over HTTPS; `None`: every client may.
    pub metrics_readers: Option<Client>,
}

#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error("{flag} {address}: {}", cannot_listen(problem))]
    Bind {
        flag: &'static str,
        address: SocketAddr,
        problem: io::Error,
    },
    #[error("probes and metrics can't be served: {0}")]
    Thread(#[from] io::Error),
    #[error("metrics can't be served over HTTPS: {0}")]
    Tls(#[from] access::CertificateError),
}

/// Why an address can't be listened on, and what to do.
pub fn cannot_listen(problem: &io::Error) -> String {
    match problem.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; choose another port, or end it".to_owned(),
        io::ErrorKind::AddrNotAvailable => "no interface of this machine has that address; choose 0.0.0.0".to_owned(),
        io::ErrorKind::PermissionDenied => "not permitted; choose a port above 1023".to_owned(),
        _ => without_number(&problem.to_string()).to_owned(),
    }
}

/// Binds both ports and serves them until the process ends, so that they are answered during a shutdown too.
pub fn start(options: Options) -> Result<(), ServerError> {
    let health_port = bind("--health-listen", options.health_listen)?;
    let metrics_port = bind("--metrics-listen", options.metrics_listen)?;
    let tls = options.metrics_readers.is_some().then(access::tls).transpose()?;
    tracing::info!(address = %health_port.local_addr()?, "serving /livez and /readyz");
    tracing::info!(address = %metrics_port.local_addr()?, https = tls.is_some(), "serving /metrics");
    let metrics = metrics_router(options.metrics, options.metrics_readers.map(Readers::new));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("server".to_owned()).spawn(move || {
        runtime.block_on(async {
            tokio::join!(
                serve(health_port, health_router(options.health), None),
                serve(metrics_port, metrics, tls)
            )
        })
    })?;
    Ok(())
}

fn bind(flag: &'static str, address: SocketAddr) -> Result<StdTcpListener, ServerError> {
    let bound = StdTcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok(listener)
    });
    bound.map_err(|problem| ServerError::Bind { flag, address, problem })
}

async fn serve(listener: StdTcpListener, app: Router, tls: Option<TlsAcceptor>) {
    // Fails only outside of a runtime.
    match TcpListener::from_std(listener) {
        Ok(listener) => connections::serve(listener, app, tls).await,
        Err(problem) => tracing::error!(%problem, "a port is not served"),
    }
}

fn health_router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(health)
}

fn metrics_router(metrics: Arc<Metrics>, readers: Option<Readers>) -> Router {
    let router = Router::new().route("/metrics", get(render)).with_state(metrics);
    match readers {
        Some(readers) => router.layer(middleware::from_fn_with_state(Arc::new(readers), access::admit)),
        None => router,
    }
}

/// Fails only if the scheduler makes no progress: a restart cures neither a provider nor an API server that is down.
async fn livez(State(health): State<Arc<Health>>) -> impl IntoResponse {
    match health.stalled_for() {
        idle if idle < STALLED_AFTER => (StatusCode::OK, "ok\n".to_owned()),
        idle => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the scheduler has stood still for {} s\n", idle.as_secs()),
        ),
    }
}

/// Ready once every watch has listed its objects. The text names one that has not.
async fn readyz(State(health): State<Arc<Health>>) -> impl IntoResponse {
    match health.unready() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {what}\n")),
    }
}

async fn render(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], metrics.render())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::http::Request;
    use tower::ServiceExt;

    use super::*;

    /// Also for a client that names no format or another one: every Prometheus since 2.5 asks for OpenMetrics.
    #[tokio::test]
    async fn metrics_are_open_metrics_whatever_is_accepted() {
        for accept in [
            "application/openmetrics-text;version=1.0.0;q=0.6,*/*;q=0.1",
            "*/*",
            "text/plain",
        ] {
            let app = metrics_router(Arc::new(Metrics::new(true)), None);
            let request = Request::get("/metrics").header("accept", accept).body(Body::empty());
            let response = app.oneshot(request.unwrap()).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.headers()[header::CONTENT_TYPE], CONTENT_TYPE);
            let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            assert!(text.ends_with(b"# EOF\n"), "{text:?}");
        }
    }

    #[tokio::test]
    async fn probes_say_what_is_wrong() {
        let health = Arc::new(Health::default());
        let app = health_router(Arc::clone(&health));
        let probe = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, String::from_utf8(text.to_vec()).unwrap())
        };
        assert_eq!(probe("/readyz").await, (503, "waiting for the API server\n".to_owned()));
        health.wait_for(None);
        assert_eq!(probe("/readyz").await, (200, "ok\n".to_owned()));
        assert_eq!(probe("/metrics").await.0, 404, "the kubelet's port tells nothing else");

        tokio::time::pause();
        assert_eq!(probe("/livez").await, (200, "ok\n".to_owned()));
        tokio::time::advance(STALLED_AFTER + Duration::from_secs(1)).await;
        let (status, text) = probe("/livez").await;
        assert!(
            status == 503 && text.starts_with("the scheduler has stood still for 6"),
            "{text}"
        );
        health.beat();
        assert_eq!(probe("/livez").await.0, 200);
    }
}
