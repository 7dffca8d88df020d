//! The connections to the API server, given up together when one of them seems dead.
//!
//! A connection can die without a word: a node goes down, a firewall or a proxy forgets it. The pool of kube's client
//! gives up only the connection whose request got no answer, and the next request waits in vain on the next dead one. So
//! after a request without an answer new requests get a new pool. Requests and watches in the old one go on.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tower::{BoxError, Service};

use super::client::ClientError;

/// A request that was given up after less time says nothing of its connection: its sender may have changed its mind.
/// Shorter than every limit on a request.
const SUSPICIOUS: Duration = Duration::from_secs(4);

type MakeClient = dyn Fn() -> Result<Client, ClientError> + Send + Sync;

#[derive(Clone)]
pub(super) struct Connections {
    make: Arc<MakeClient>,
    /// Where the connections are driven, whichever thread asks.
    runtime: Handle,
    current: Arc<Mutex<Pool>>,
}

#[derive(Clone)]
struct Pool {
    client: Client,
    /// Counts the pools.
    number: u64,
}

impl Connections {
    /// To be called within a runtime.
    pub(super) fn new(
        make: impl Fn() -> Result<Client, ClientError> + Send + Sync + 'static,
    ) -> Result<Self, ClientError> {
        let client = make()?;
        Ok(Self {
            make: Arc::new(make),
            runtime: Handle::current(),
            current: Arc::new(Mutex::new(Pool { client, number: 0 })),
        })
    }

    /// Of many requests that got no answer from one pool, the first replaces it.
    fn replace(&self, number: u64) {
        let mut current = self.current.lock();
        if current.number != number {
            return;
        }
        let _runtime = self.runtime.enter();
        match (self.make)() {
            Ok(client) => {
                tracing::info!("a request got no answer from the API server; new connections are opened");
                *current = Pool {
                    client,
                    number: number + 1,
                };
            }
            Err(problem) => tracing::warn!(%problem, "no new connections to the API server"),
        }
    }
}

impl Service<http::Request<Body>> for Connections {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let pool = self.current.lock().clone();
        let unanswered = Unanswered {
            connections: Some(self.clone()),
            pool: pool.number,
            since: Instant::now(),
        };
        Box::pin(async move {
            let answer = pool.client.send(request).await;
            unanswered.answered();
            answer.map_err(Into::into)
        })
    }
}

/// A request under way. Who sent it limits its time by dropping it.
struct Unanswered {
    /// `None` once there is an answer.
    connections: Option<Connections>,
    pool: u64,
    since: Instant,
}

impl Unanswered {
    /// By an error too: that a connection is reset or refused is no silence.
    fn answered(mut self) {
        self.connections = None;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.take()
            && self.since.elapsed() >= SUSPICIOUS
        {
            connections.replace(self.pool);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::future::join_all;
    use tower::ServiceExt;

    use super::*;

    /// In the pools before `alive` no request is answered; later ones answer with their number.
    fn connections(alive: usize) -> (Connections, Arc<AtomicUsize>) {
        let made = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&made);
        let make = move || {
            let number = count.fetch_add(1, Ordering::Relaxed);
            let answer = move |_: http::Request<Body>| async move {
                if number < alive {
                    std::future::pending::<()>().await;
                }
                Ok::<_, BoxError>(http::Response::new(Body::from(number.to_string().into_bytes())))
            };
            Ok(Client::new(tower::service_fn(answer), "default"))
        };
        (Connections::new(make).unwrap(), made)
    }

    async fn ask(connections: &Connections, limit: u64) -> Option<String> {
        let request = http::Request::new(Body::empty());
        let answer = connections.clone().oneshot(request);
        let answer = tokio::time::timeout(Duration::from_secs(limit), answer).await.ok()?;
        let body = answer.unwrap().into_body().collect_bytes().await.unwrap();
        Some(String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_request_without_an_answer_the_next_has_new_connections() {
        let (connections, made) = connections(1);
        // Many at a time, as a pool has many connections: one new pool for all of them.
        let all = join_all((0..20).map(|_| ask(&connections, 5))).await;
        assert!(all.iter().all(Option::is_none));
        assert_eq!(ask(&connections, 5).await.as_deref(), Some("1"));
        assert_eq!(made.load(Ordering::Relaxed), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_was_dropped_soon_and_one_that_was_answered_change_nothing() {
        let (connections, made) = connections(0);
        assert_eq!(ask(&connections, 5).await.as_deref(), Some("0"));
        let (dead, made_dead) = self::connections(1);
        assert_eq!(ask(&dead, 3).await, None);
        assert_eq!([made, made_dead].map(|made| made.load(Ordering::Relaxed)), [1, 1]);
    }
}
