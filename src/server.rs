//! /livez, /readyz and /metrics on one port.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::health::Health;
use crate::metrics::{Format, Metrics};

/// How long the scheduler may go without a sign of progress before the pod should be restarted.
const STALLED_AFTER: Duration = Duration::from_secs(60);

#[derive(Clone)]
struct Shared {
    health: Arc<Health>,
    metrics: Arc<Metrics>,
}

/// Serves until it is dropped.
///
/// # Errors
/// The address can't be bound.
pub async fn serve(address: SocketAddr, health: Arc<Health>, metrics: Arc<Metrics>) -> std::io::Result<()> {
    let app = Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(render))
        .with_state(Shared { health, metrics });
    let listener = TcpListener::bind(address).await?;
    tracing::info!(address = %listener.local_addr()?, "serving /livez, /readyz and /metrics");
    axum::serve(listener, app).await
}

/// Tied to the scheduler making progress: neither a provider nor the API server being away is cured by a restart.
async fn livez(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.health.stalled_for() {
        idle if idle < STALLED_AFTER => (StatusCode::OK, "ok\n".to_owned()),
        idle => (
            StatusCode::SERVICE_UNAVAILABLE,
            format!("the scheduler has stood still for {} s\n", idle.as_secs()),
        ),
    }
}

/// Ready once every watch has listed its objects. Says which one has not.
async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.health.waiting_for() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(what) => (StatusCode::SERVICE_UNAVAILABLE, format!("waiting for {what}\n")),
    }
}

async fn render(State(shared): State<Shared>, asked: HeaderMap) -> impl IntoResponse {
    let format = Format::accepted(&asked);
    let headers = [(header::CONTENT_TYPE, format.content_type()), (header::VARY, "Accept")];
    (headers, shared.metrics.render(format))
}
