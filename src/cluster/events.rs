//! Events, best effort: a full queue or a failed write costs the Event, never the token.
//!
//! Callers hand an Event over and go on. One task owns the [`Queues`], which keep a queue and a pace for each namespace,
//! and publishes what they say is next.

mod queues;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::queues::{Next, Queues};
use crate::token::secret::annotations::MANAGER;

/// Events that were handed over and not yet put into their namespace's queue. The task never waits for a write, so this
/// is only for the moment before it runs.
const HANDED_OVER: usize = 1000;
/// How many Events are written at a time, each of another namespace: a slow write holds up its own namespace only.
const WRITES: usize = 8;

type Message = (Event, ObjectReference);

/// Accepts Events to be published in the background, a namespace's warnings first.
#[derive(Clone)]
pub struct Events(mpsc::Sender<Message>);

impl Events {
    /// Starts the publisher; it ends when the last clone is dropped.
    #[must_use]
    pub fn start(client: Client, instance: Option<String>) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance,
        };
        let recorder = Recorder::new(client, reporter);
        let (sender, messages) = mpsc::channel(HANDED_OVER);
        tokio::spawn(publish_all(messages, move |(event, about): Message| {
            let recorder = recorder.clone();
            async move {
                if let Err(problem) = super::bounded(recorder.publish(&event, &about)).await {
                    tracing::debug!(%problem, "an event was not published");
                }
            }
        }));
        Self(sender)
    }

    /// Something that went as it should.
    pub fn normal(&self, about: ObjectReference, reason: &str, note: String) {
        self.send(about, EventType::Normal, reason, note);
    }

    /// Something that needs attention.
    pub fn warning(&self, about: ObjectReference, reason: &str, note: String) {
        self.send(about, EventType::Warning, reason, note);
    }

    fn send(&self, about: ObjectReference, type_: EventType, reason: &str, note: String) {
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: "Mint".to_owned(),
            secondary: None,
        };
        if self.0.try_send((event, about)).is_err() {
            tracing::debug!(reason, "an event was dropped: too many at once");
        }
    }
}

/// Publishes messages in the order that the queues give them, until the last sender is gone.
async fn publish_all<F>(mut messages: mpsc::Receiver<Message>, publish: impl Fn(Message) -> F)
where
    F: Future<Output = ()>,
{
    let mut queues = Queues::default();
    let mut writes = FuturesUnordered::new();
    loop {
        let mut look_again = None;
        while writes.len() < WRITES {
            match queues.next(Instant::now()) {
                Next::Write { namespace, item } => {
                    let write = publish(item);
                    writes.push(async move {
                        write.await;
                        namespace
                    });
                }
                Next::LookAgain(at) => {
                    look_again = at;
                    break;
                }
            }
        }
        tokio::select! {
            message = messages.recv() => match message {
                Some(message) => push(&mut queues, message),
                None => return,
            },
            Some(namespace) = writes.next() => queues.written(namespace, Instant::now()),
            () = sleep_until(look_again) => {}
        }
    }
}

fn push(queues: &mut Queues<Message>, (event, about): Message) {
    let warning = matches!(event.type_, EventType::Warning);
    let namespace = about.namespace.clone().unwrap_or_default();
    if let Some((dropped, about)) = queues.push(&namespace, warning, (event, about)) {
        let (reason, namespace) = (dropped.reason, about.namespace);
        tracing::debug!(reason, namespace, "an event was dropped: too many wait");
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests;
