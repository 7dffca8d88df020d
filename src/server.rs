//! /livez, /readyz and /metrics on one port.

mod connections;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::health::Health;
use crate::metrics::{CONTENT_TYPE, Metrics};

/// For how long the scheduler may make no progress before the kubelet should restart the pod.
const STALLED_AFTER: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves until it is dropped, or returns why the address can't be bound.
pub async fn serve(address: SocketAddr, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let app = router(health, metrics);
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    connections::serve(listener, app).await;
    Ok(())
}

fn router(health: Arc<Health>, metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Shared { health, metrics })
}

/// Fails only if the scheduler makes no progress: a restart cures neither a provider nor an API server that is down.
async fn livez(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.health.stalled_for() {
        idle if idle < STALLED_AFTER => (StatusCode::OK, "ok\n".to_owned()),
        idle => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the scheduler has stood still for {} s\n", idle.as_secs()),
        ),
    }
}

/// Ready once every watch has listed its objects. The text names one that has not.
async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.health.unready() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {what}\n")),
    }
}

async fn render(State(shared): State<Shared>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], shared.metrics.render())
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
            let app = router(Arc::default(), Arc::new(Metrics::new(true)));
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
        let app = router(Arc::clone(&health), Arc::new(Metrics::new(true)));
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
