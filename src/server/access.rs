//! Who may read /metrics, with `--metrics-auth`: those whom RBAC allows to `get` the URL /metrics, as with the components
//! of Kubernetes itself. Over HTTPS, since a scraper sends its bearer token.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kube::Client;
use lru::LruCache;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsAcceptor;

use crate::cluster::ClusterError;
use crate::cluster::review::{self, Attributes};

/// For how long a reader is let in without asking again, and so goes on when the right is taken away.
const KEEP: Duration = Duration::from_secs(60);
/// Readers that are remembered.
const MOST: NonZeroUsize = NonZeroUsize::new(64).unwrap();
/// Reviews at a time for bearer tokens that were not let in before.
const AT_A_TIME: usize = 4;
/// How long one waits for such a review: less than Prometheus waits for an answer.
const WAITS: Duration = Duration::from_secs(5);
/// How long a refusal takes, so that guesses can't flood the API server.
const REFUSED_AFTER: Duration = Duration::from_secs(1);

/// Answers whether a bearer token may read metrics.
pub(super) struct Readers {
    client: Client,
    /// Until when a bearer token is let in, by its hash.
    admitted: Mutex<LruCache<[u8; 32], Instant>>,
    reviews: Semaphore,
}

impl Readers {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            admitted: Mutex::new(LruCache::new(MOST)),
            reviews: Semaphore::new(AT_A_TIME),
        }
    }

    async fn status(&self, token: &SecretString) -> StatusCode {
        let mut key = [0; 32];
        key.copy_from_slice(digest(&SHA256, token.expose_secret().as_bytes()).as_ref());
        let known = self.admitted.lock().get(&key).copied();
        if known.is_some_and(|until| Instant::now() < until) {
            return StatusCode::OK;
        }
        // One that was let in before doesn't wait for strangers.
        let permit = match known {
            Some(_) => None,
            None => match timeout(WAITS, self.reviews.acquire()).await {
                Ok(Ok(permit)) => Some(permit),
                _ => return StatusCode::SERVICE_UNAVAILABLE,
            },
        };
        let Ok(status) = self.review(token).await else {
            return StatusCode::SERVICE_UNAVAILABLE;
        };
        if status == StatusCode::OK {
            self.admitted.lock().put(key, Instant::now() + KEEP);
        } else {
            self.admitted.lock().pop(&key);
            tokio::time::sleep(REFUSED_AFTER).await;
        }
        drop(permit);
        status
    }

    async fn review(&self, token: &SecretString) -> Result<StatusCode, ClusterError> {
        let Some(reader) = review::authenticate(&self.client, token, None).await? else {
            return Ok(StatusCode::UNAUTHORIZED);
        };
        let get = Attributes::NonResource {
            verb: "get",
            path: "/metrics",
        };
        match review::authorize(&self.client, &reader, get).await? {
            true => Ok(StatusCode::OK),
            false => Ok(StatusCode::FORBIDDEN),
        }
    }
}

/// Lets a request pass whose bearer token may read metrics.
pub(super) async fn admit(State(readers): State<Arc<Readers>>, request: Request, next: Next) -> Response {
    let status = match bearer_token(request.headers()) {
        Some(token) => readers.status(&token).await,
        None => StatusCode::UNAUTHORIZED,
    };
    match status {
        StatusCode::OK => next.run(request).await,
        StatusCode::UNAUTHORIZED => (
            status,
            [(WWW_AUTHENTICATE, "Bearer")],
            "a bearer token that the API server knows is wanted\n",
        )
            .into_response(),
        StatusCode::FORBIDDEN => (
            status,
            "not allowed: RBAC has to grant `get` on the nonResourceURL /metrics\n",
        )
            .into_response(),
        _ => (status, "the API server does not say who may read metrics; try again\n").into_response(),
    }
}

fn bearer_token(headers: &HeaderMap) -> Option<SecretString> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then(|| token.into())
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error(transparent)]
    Rcgen(#[from] rcgen::Error),
    #[error(transparent)]
    Rustls(#[from] rustls::Error),
}

/// TLS with a certificate that is made at each start and that no client can verify: it keeps the scraper's bearer token
/// from those who only listen, as with controller-runtime's metrics.
pub(super) fn tls() -> Result<TlsAcceptor, CertificateError> {
    let made = rcgen::generate_simple_self_signed(["realtime-token-operator-metrics".to_owned()])?;
    let key =
        PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use serde_json::{Value, json};
    use tower::ServiceExt;

    use super::*;
    use crate::metrics::Metrics;

    /// An API server that knows `prometheus` and `stranger`, of whom the first may read metrics, and is away for others.
    fn api(asked: Arc<Mutex<Vec<Value>>>) -> Client {
        let service = tower::service_fn(move |request: axum::http::Request<kube::client::Body>| {
            let asked = Arc::clone(&asked);
            async move {
                let body = request.into_body().collect_bytes().await?;
                let mut review: Value = serde_json::from_slice(&body).unwrap();
                asked.lock().push(review.clone());
                let user = review["spec"]["token"].as_str().unwrap_or_default().to_owned();
                if user == "away" {
                    return Err(kube::Error::LinesCodecMaxLineLengthExceeded);
                }
                review["status"] = match review["kind"].as_str() {
                    Some("TokenReview") => json!({
                        "authenticated": (["prometheus", "stranger"].contains(&user.as_str())),
                        "user": {"username": user, "groups": ["system:authenticated"]},
                    }),
                    _ => json!({"allowed": review["spec"]["user"] == "prometheus"}),
                };
                let text = review.to_string();
                Ok::<_, kube::Error>(axum::http::Response::new(kube::client::Body::from(text.into_bytes())))
            }
        });
        Client::new(service, "default")
    }

    async fn ask(app: &axum::Router, authorization: Option<&str>) -> u16 {
        let request = authorization
            .into_iter()
            .fold(Request::get("/metrics"), |request, value| {
                request.header(AUTHORIZATION, value)
            });
        let response = app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        response.status().as_u16()
    }

    #[tokio::test(start_paused = true)]
    async fn metrics_are_for_those_whom_rbac_lets_read_them() {
        let asked = Arc::<Mutex<Vec<Value>>>::default();
        let readers = Readers::new(api(Arc::clone(&asked)));
        let app = super::super::metrics_router(Arc::new(Metrics::new(true)), Some(readers));
        for (authorization, status) in [
            (None, 401),
            (Some("Basic cHJvbWV0aGV1cw=="), 401),
            (Some("Bearer "), 401),
            (Some("Bearer nobody"), 401),
            (Some("Bearer stranger"), 403),
            (Some("Bearer away"), 503),
            (Some("bearer prometheus"), 200),
        ] {
            assert_eq!(ask(&app, authorization).await, status, "{authorization:?}");
        }
        let last = asked.lock().last().unwrap()["spec"].clone();
        assert_eq!(
            last["nonResourceAttributes"],
            json!({"verb": "get", "path": "/metrics"})
        );
        assert_eq!(last["groups"], json!(["system:authenticated"]));

        // A reader is remembered for a while.
        let before = asked.lock().len();
        assert_eq!(ask(&app, Some("Bearer prometheus")).await, 200);
        assert_eq!(asked.lock().len(), before);
        tokio::time::advance(KEEP).await;
        assert_eq!(ask(&app, Some("Bearer prometheus")).await, 200);
        assert_eq!(asked.lock().len(), before + 2);
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_flood_neither_the_api_server_nor_a_known_reader() {
        let asked = Arc::<Mutex<Vec<Value>>>::default();
        let readers = Readers::new(api(Arc::clone(&asked)));
        let app = super::super::metrics_router(Arc::new(Metrics::new(true)), Some(readers));
        assert_eq!(ask(&app, Some("Bearer prometheus")).await, 200);
        tokio::time::advance(KEEP).await;
        let before = asked.lock().len();
        let began = Instant::now();
        let guesses: Vec<String> = (0..100).map(|n| format!("Bearer guess-{n}")).collect();
        let guesses = futures::future::join_all(guesses.iter().map(|guess| ask(&app, Some(guess))));
        // Once all guesses wait: paused time goes on when nothing else does.
        let known = async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let asked = Instant::now();
            (ask(&app, Some("Bearer prometheus")).await, asked.elapsed())
        };
        let (statuses, (known, waited)) = tokio::join!(guesses, known);
        assert_eq!(known, 200);
        assert!(waited < REFUSED_AFTER, "waited {waited:?} for strangers");
        let count = |status: u16| statuses.iter().filter(|it| **it == status).count();
        // Within the time that one waits, and at its end.
        let reviewed = AT_A_TIME * 5..=AT_A_TIME * 6;
        assert!(reviewed.contains(&count(401)), "{}", count(401));
        assert_eq!(count(401) + count(503), 100);
        assert_eq!(asked.lock().len(), before + count(401) + 2);
        assert!(began.elapsed() >= WAITS, "the next ones wait");
    }

    /// Its token was renewed, so that it is a stranger too.
    #[tokio::test(start_paused = true)]
    async fn a_reader_that_is_not_known_gets_its_turn_among_guesses() {
        let readers = Readers::new(api(Arc::default()));
        let app = super::super::metrics_router(Arc::new(Metrics::new(true)), Some(readers));
        let guess = async |n: usize| {
            let guess = format!("Bearer guess-{n}");
            loop {
                ask(&app, Some(&guess)).await;
            }
        };
        let guesses = futures::future::join_all((0..2 * AT_A_TIME).map(guess));
        let reader = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            ask(&app, Some("Bearer prometheus")).await
        };
        tokio::select! {
            status = reader => assert_eq!(status, 200),
            _ = guesses => unreachable!("guesses never end"),
        }
    }
}
