//! Events, best effort: if too many wait or a write fails, that costs the Event, never the token.
//!
//! Callers hand an Event over and go on. While any waits, one task publishes them in turn, each namespace at its own pace
//! and warnings first; a namespace whose writes are slow holds up no other.

mod waiting;

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use self::waiting::{Message, Next, Waiting};
use crate::text::escaped;
use crate::token::secret::annotations::MANAGER;

/// kube's recorder keeps each Event for six minutes, two kilobytes of it, to count repetitions. After so many Events
/// it begins anew: ten thousand first tokens would take up to 20 MB.
const REMEMBERED: u32 = 500;

/// Accepts Events to be published in the background.
#[derive(Clone)]
pub(crate) struct Events(Arc<Publisher>);

struct Publisher {
    client: Client,
    reporter: Reporter,
    recorder: Mutex<Remembering>,
    waiting: Mutex<Waiting>,
    /// An Event has come, or one has been published.
    changed: Notify,
}

/// A recorder, and how many Events it was given.
struct Remembering(Recorder, u32);

/// Its namespace publishes no other Event until this is dropped.
struct Publishing {
    publisher: Arc<Publisher>,
    namespace: String,
}

impl Events {
    pub(crate) fn new(client: Client, instance: Option<String>) -> Self {
        let controller = MANAGER.to_owned();
        let reporter = Reporter { controller, instance };
        Self(Arc::new(Publisher {
            recorder: Mutex::new(Remembering(Recorder::new(client.clone(), reporter.clone()), 0)),
            client,
            reporter,
            waiting: Mutex::new(Waiting::new(Instant::now())),
            changed: Notify::new(),
        }))
    }

    pub(crate) fn normal(&self, about: ObjectReference, reason: &str, note: String) {
        self.send(about, EventType::Normal, reason, note);
    }

    pub(crate) fn warning(&self, about: ObjectReference, reason: &str, note: String) {
        self.send(about, EventType::Warning, reason, note);
    }

    fn send(&self, about: ObjectReference, type_: EventType, reason: &str, note: String) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(escaped(&note).into_owned()),
            action: "Mint".to_owned(),
            secondary: None,
        };
        let mut waiting = self.0.waiting.lock();
        let is_first = waiting.is_empty();
        let pushed = waiting.push(Box::new((event, about)), Instant::now());
        drop(waiting);
        match pushed {
            Ok(true) => self.0.changed.notify_one(),
            Ok(false) => {} // one that came before is still to be published, and then this one
            Err(dropped) => {
                let namespace = dropped.1.namespace;
                tracing::debug!(reason, namespace, "an event was dropped: too many wait");
            }
        }
        if is_first {
            tokio::spawn(Arc::clone(&self.0).publish_all());
        }
    }
}

impl Publisher {
    /// Runs until nothing waits and nothing has to be remembered.
    async fn publish_all(self: Arc<Self>) {
        loop {
            let next = self.waiting.lock().next(Instant::now());
            match next {
                Next::Publish(namespace, message) => {
                    let publisher = Arc::clone(&self);
                    tokio::spawn(Publishing { publisher, namespace }.publish(message));
                }
                Next::Wait(time) => {
                    let _ = timeout(time, self.changed.notified()).await;
                }
                Next::Nothing => return,
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
}

impl Publishing {
    async fn publish(self, message: Message) {
        let (event, about) = *message;
        if let Err(problem) = super::bounded(self.publisher.recorder().publish(&event, &about)).await {
            tracing::debug!(%problem, "an event was not published");
        }
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        self.publisher.waiting.lock().published(&self.namespace);
        self.publisher.changed.notify_one();
    }
}

#[cfg(test)]
mod tests;
