//! One watch, taken up again after whatever breaks it, and reported to [`WatchHealth`].
//!
//! The API server ends a watch after [`REOPEN_AFTER`], so that one that works is opened anew that often: an answer shows
//! that it works though nothing changes. A connection that dies silently sends neither events nor that end, which kube
//! notices five seconds later. So whatever was missed is seen within a minute, though some attempts to open it anew meet
//! other dead connections.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use backon::ExponentialBuilder;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use http::StatusCode;
use kube::client::Body;
use kube::runtime::watcher::{Config, Error, Event, ExponentialBackoff, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::super::remedy;
use super::Events;
use crate::health::WatchHealth;

/// A request of each watch in this time is next to nothing for the API server.
const REOPEN_AFTER: Duration = Duration::from_secs(30);
/// After an outage of this length everything is listed anew: while the API server was away, its data may have been
/// replaced by a backup. A watch that goes on from a version that the backup has not reached shows nothing.
const LIST_ANEW_AFTER: Duration = Duration::from_secs(1);
/// A watch that fails again within this time waits longer than before, although it was answered in between: a server that
/// answers each list and ends each watch would be asked twice a second.
const CALM_AFTER: Duration = Duration::from_secs(20);

/// How many objects one answer to a list has. A page is in memory as a whole, twice while it arrives, and a tenant may
/// make each object as large as etcd takes it, 1.5 MiB. The price is a few requests more at a start.
const PAGE: u32 = 20;

/// Between attempts at one page.
const PAGE_PAUSES: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
];

/// The events of a watch. `api` gets the client to ask with.
pub(super) fn lasting<K>(
    client: &Client,
    api: impl FnOnce(Client) -> Api<K>,
    config: Config,
    health: Arc<WatchHealth>,
) -> Events<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let api = api(noting_answers(client.clone(), Arc::clone(&health)));
    let seconds = u32::try_from(REOPEN_AFTER.as_secs()).unwrap_or(u32::MAX);
    let config = config.timeout(seconds).page_size(PAGE);
    let begin = Box::new(move || watcher(api.clone(), config.clone()).boxed());
    let lasting = Lasting {
        events: begin(),
        begin,
        health,
        outage_since: None,
        failed_at: None,
        delays: delays(),
        failed: false,
    };
    stream::unfold(lasting, |mut lasting| async move {
        let event = lasting.next().await?;
        Some((event, lasting))
    })
    .boxed()
}

/// A client whose answers are reported.
fn noting_answers(client: Client, health: Arc<WatchHealth>) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request| {
        let (client, health) = (client.clone(), Arc::clone(&health));
        async move {
            let answer = send(&client, request).await?;
            if answer.status().is_success() {
                health.answered();
            }
            Ok::<_, kube::Error>(answer)
        }
        .boxed()
    });
    Client::new(service, namespace)
}

/// Sends a request. A further page of a list is asked for again if it fails: kube begins the whole list anew, and one of
/// hundreds of pages would never come to its end where a few answers in a hundred fail.
async fn send(client: &Client, request: http::Request<Body>) -> Result<http::Response<Body>, kube::Error> {
    let is_further_page = request.uri().query().is_some_and(|query| query.contains("continue="));
    if !is_further_page {
        return client.send(request).await;
    }
    let (head, _) = request.into_parts(); // a list has no body
    let mut pauses = PAGE_PAUSES.into_iter();
    loop {
        let answer = client
            .send(http::Request::from_parts(head.clone(), Body::empty()))
            .await;
        let fails = |status: StatusCode| status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        match (answer.as_ref().map(http::Response::status), pauses.next()) {
            (Ok(status), _) if !fails(status) => return answer,
            (_, None) => return answer,
            (_, Some(pause)) => tokio::time::sleep(pause).await,
        }
    }
}

struct Lasting<K> {
    begin: Box<dyn Fn() -> Events<K> + Send>,
    events: BoxStream<'static, Result<Event<K>, Error>>,
    health: Arc<WatchHealth>,
    /// Since when nothing was answered.
    outage_since: Option<Instant>,
    failed_at: Option<Instant>,
    delays: ExponentialBackoff,
    /// The last event was an error.
    failed: bool,
}

impl<K: Resource<DynamicType = ()>> Lasting<K> {
    /// kube's watcher never ends.
    async fn next(&mut self) -> Option<Result<Event<K>, Error>> {
        if std::mem::take(&mut self.failed) {
            tokio::time::sleep(self.delays.next().unwrap_or_default()).await;
            if self
                .outage_since
                .is_some_and(|since| since.elapsed() >= LIST_ANEW_AFTER)
            {
                self.events = (self.begin)();
            }
        }
        let event = self.events.next().await?;
        match &event {
            Err(problem) => {
                let answered_at = self.health.answered_at();
                let (group, plural) = (K::group(&()), K::plural(&()));
                self.health.failed(remedy::of_watch(problem, &group, &plural));
                self.failed = true;
                if self.outage_since.is_none_or(|since| since < answered_at) {
                    self.outage_since = Some(Instant::now());
                }
                if self.failed_at.is_none_or(|at| at.elapsed() > CALM_AFTER) {
                    self.delays = delays();
                }
                self.failed_at = Some(Instant::now());
            }
            // Says nothing about the API server: kube is about to ask it.
            Ok(Event::Init) => {}
            Ok(event) => {
                self.outage_since = None;
                self.health.answered();
                if matches!(event, Event::InitDone) {
                    self.health.listed();
                }
            }
        }
        Some(event)
    }
}

/// kube's default grows to 30 s and more, during which the operator would see nothing new after the API server has come
/// back.
fn delays() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(500))
        .with_max_delay(Duration::from_secs(5))
        .with_factor(2.0)
        .without_max_times()
        .into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// The status of the answer and the number of requests, where the first `failures` requests fail.
    async fn asked(path: &str, failures: usize) -> (u16, usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let service = tower::service_fn(move |_: http::Request<Body>| {
            let status = if counted.fetch_add(1, Ordering::Relaxed) < failures {
                503
            } else {
                200
            };
            let answer = http::Response::builder().status(status).body(Body::empty());
            async move { Ok::<_, tower::BoxError>(answer.unwrap()) }
        });
        let client = Client::new(service, "default");
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        let answer = send(&client, request).await.unwrap();
        (answer.status().as_u16(), count.load(Ordering::Relaxed))
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_page_of_a_list_is_asked_for_again() {
        assert_eq!(asked("/secrets?limit=20&continue=x", 3).await, (200, 4));
        assert_eq!(
            asked("/secrets?limit=20&continue=x", 9).await,
            (503, 5),
            "not without end"
        );
        assert_eq!(
            asked("/secrets?limit=20", 3).await,
            (503, 1),
            "kube tries a list again by itself"
        );
    }
}
