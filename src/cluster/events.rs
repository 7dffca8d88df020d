//! Events, best effort: a full queue or a failed write costs the event, never the token.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use crate::token::metadata::MANAGER;

const QUEUE: usize = 1000;

/// Accepts events to be published in the background.
#[derive(Clone)]
pub struct Events(mpsc::Sender<(Event, ObjectReference)>);

impl Events {
    /// Starts the publisher; it ends when the last clone is dropped.
    #[must_use]
    pub fn start(client: Client, instance: Option<String>) -> Self {
        let (sender, mut queue) = mpsc::channel(QUEUE);
        let recorder = Recorder::new(
            client,
            Reporter {
                controller: MANAGER.to_owned(),
                instance,
            },
        );
        tokio::spawn(async move {
            while let Some((event, about)) = queue.recv().await {
                if let Err(problem) = super::bounded(recorder.publish(&event, &about)).await {
                    tracing::debug!(%problem, "an event was not published");
                }
            }
        });
        Self(sender)
    }

    /// Something that went as it should.
    pub fn normal(&self, about: ObjectReference, reason: &str, note: String) {
        self.send(about, EventType::Normal, reason, note);
    }

    /// Something that somebody should look at.
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
