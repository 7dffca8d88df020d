//! Events, best effort: a full queue or a failed write costs the Event, never the token.
//!
//! Callers hand an Event over and go on. Each namespace with Events has a task that publishes them at the namespace's
//! pace, warnings first, and ends once the namespace is idle. All tasks share an overall pace.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::{Instant, sleep, sleep_until};

use crate::text::escaped;
use crate::token::secret::annotations::MANAGER;

/// How many warnings, and how many normal Events, may wait in one namespace.
const WAITING: usize = 1000;
/// kube's recorder keeps each Event for six minutes, two kilobytes of it, to count repetitions. After so many Events
/// it begins anew: ten thousand first tokens would take up to 20 MB.
const REMEMBERED: u32 = 500;

type Message = (Event, ObjectReference);
/// Of warnings and of normal Events.
type Senders = (Sender<Message>, Sender<Message>);

/// Accepts Events to be published in the background.
#[derive(Clone)]
pub(crate) struct Events(Arc<Publisher>);

struct Publisher {
    client: Client,
    reporter: Reporter,
    recorder: Mutex<Remembering>,
    /// Ten thousand first tokens must not flood the API server with ten thousand Events.
    overall: tokio::sync::Mutex<Pace>,
    /// The namespaces that have a task. Objects without a namespace share the empty name.
    namespaces: Mutex<HashMap<String, Senders>>,
}

/// A recorder, and how many Events it was given.
struct Remembering(Recorder, u32);

impl Events {
    pub(crate) fn new(client: Client, instance: Option<String>) -> Self {
        let controller = MANAGER.to_owned();
        let reporter = Reporter { controller, instance };
        Self(Arc::new(Publisher {
            recorder: Mutex::new(Remembering(Recorder::new(client.clone(), reporter.clone()), 0)),
            client,
            reporter,
            overall: tokio::sync::Mutex::new(Pace::new(100, Duration::from_millis(50))),
            namespaces: Mutex::default(),
        }))
    }

    pub(crate) fn normal(&self, about: ObjectReference, reason: &str, note: String) {
        self.send(about, EventType::Normal, reason, note);
    }

    pub(crate) fn warning(&self, about: ObjectReference, reason: &str, note: String) {
        self.send(about, EventType::Warning, reason, note);
    }

    fn send(&self, about: ObjectReference, type_: EventType, reason: &str, note: String) {
        let namespace = about.namespace.clone().unwrap_or_default();
        let mut namespaces = self.0.namespaces.lock();
        let (warnings, normals) = namespaces
            .entry(namespace.clone())
            .or_insert_with(|| Arc::clone(&self.0).start(namespace));
        let queue = match type_ {
            EventType::Warning => warnings,
            EventType::Normal => normals,
        };
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(escaped(&note).into_owned()),
            action: "Mint".to_owned(),
            secondary: None,
        };
        if let Err(dropped) = queue.try_send((event, about)) {
            let (_, about) = dropped.into_inner();
            tracing::debug!(
                reason,
                namespace = about.namespace,
                "an event was dropped: too many wait"
            );
        }
    }
}

impl Publisher {
    fn start(self: Arc<Self>, namespace: String) -> Senders {
        let (warnings, warnings_out) = mpsc::channel(WAITING);
        let (normals, normals_out) = mpsc::channel(WAITING);
        tokio::spawn(self.publish_all(namespace, warnings_out, normals_out));
        (warnings, normals)
    }

    /// Publishes a namespace's Events, one at a time so that they stay in order, until none waits and its burst is back.
    async fn publish_all(
        self: Arc<Self>,
        namespace: String,
        mut warnings: Receiver<Message>,
        mut normals: Receiver<Message>,
    ) {
        // Below the overall pace, so that one namespace alone can't use all of it.
        let mut pace = Pace::new(25, Duration::from_millis(100));
        loop {
            pace.ready().await;
            let (event, about) = tokio::select! {
                biased;
                Some(warning) = warnings.recv() => warning,
                Some(normal) = normals.recv() => normal,
                () = sleep_until(pace.full_at) => {
                    // Under the lock that senders hold: an Event that comes now would be lost with the queues.
                    let mut namespaces = self.namespaces.lock();
                    if warnings.is_empty() && normals.is_empty() {
                        namespaces.remove(&namespace);
                        return;
                    }
                    continue;
                }
            };
            pace.take();
            self.take_overall().await;
            if let Err(problem) = super::bounded(self.recorder().publish(&event, &about)).await {
                tracing::debug!(%problem, "an event was not published");
            }
        }
    }

    fn recorder(&self) -> Recorder {
        let mut remembering = self.recorder.lock();
        if remembering.1 == REMEMBERED {
            *remembering = Remembering(Recorder::new(self.client.clone(), self.reporter.clone()), 0);
        }
        remembering.1 += 1;
        remembering.0.clone()
    }

    /// Holds the lock while it waits: tokio's mutex is fair, so namespaces are served in the order in which they ask.
    async fn take_overall(&self) {
        let mut overall = self.overall.lock().await;
        overall.ready().await;
        overall.take();
    }
}

/// A token bucket that refills evenly: so many at once, then one in this time.
struct Pace {
    burst: u32,
    every: Duration,
    full_at: Instant,
}

impl Pace {
    fn new(burst: u32, every: Duration) -> Self {
        let full_at = Instant::now();
        Self { burst, every, full_at }
    }

    async fn ready(&self) {
        let refill = self.full_at.saturating_duration_since(Instant::now());
        sleep(refill.saturating_sub(self.every * (self.burst - 1))).await;
    }

    fn take(&mut self) {
        self.full_at = self.full_at.max(Instant::now()) + self.every;
    }
}

#[cfg(test)]
mod tests;
