//! Events, best effort: a full queue or a failed write costs the event, never the token.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::token::secret::annotations::MANAGER;

/// How many of each type may wait.
const QUEUE: usize = 1000;
/// So many at once, then one in this time: ten thousand first tokens must not wait for their ten thousand events.
const BURST: u32 = 100;
const EVERY: Duration = Duration::from_millis(100);

type Message = (Event, ObjectReference);

/// Accepts events to be published in the background, warnings first.
#[derive(Clone)]
pub struct Events {
    warnings: mpsc::Sender<Message>,
    normals: mpsc::Sender<Message>,
}

impl Events {
    /// Starts the publisher; it ends when the last clone is dropped.
    #[must_use]
    pub fn start(client: Client, instance: Option<String>) -> Self {
        let (warnings, mut warned) = mpsc::channel(QUEUE);
        let (normals, mut told) = mpsc::channel(QUEUE);
        let recorder = Recorder::new(
            client,
            Reporter {
                controller: MANAGER.to_owned(),
                instance,
            },
        );
        tokio::spawn(async move {
            let mut pace = Pace::default();
            loop {
                pace.turn().await;
                let (event, about): Message = tokio::select! {
                    biased;
                    Some(message) = warned.recv() => message,
                    Some(message) = told.recv() => message,
                    else => return,
                };
                pace.taken();
                if let Err(problem) = super::bounded(recorder.publish(&event, &about)).await {
                    tracing::debug!(%problem, "an event was not published");
                }
            }
        });
        Self { warnings, normals }
    }

    /// Something that went as it should.
    pub fn normal(&self, about: ObjectReference, reason: &str, note: String) {
        send(&self.normals, about, EventType::Normal, reason, note);
    }

    /// Something that somebody should look at.
    pub fn warning(&self, about: ObjectReference, reason: &str, note: String) {
        send(&self.warnings, about, EventType::Warning, reason, note);
    }
}

fn send(queue: &mpsc::Sender<Message>, about: ObjectReference, type_: EventType, reason: &str, note: String) {
    let event = Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Mint".to_owned(),
        secondary: None,
    };
    if queue.try_send((event, about)).is_err() {
        tracing::debug!(reason, "an event was dropped: too many at once");
    }
}

/// The time at which the events so far would have been published one by one.
#[derive(Default)]
struct Pace(Option<Instant>);

impl Pace {
    async fn turn(&self) {
        if let Some(even) = self.0 {
            tokio::time::sleep_until(even - EVERY * BURST).await;
        }
    }

    fn taken(&mut self) {
        let now = Instant::now();
        self.0 = Some(self.0.map_or(now, |even| even.max(now)) + EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_out_at_once_and_a_flood_ten_a_second() {
        let (mut pace, began) = (Pace::default(), Instant::now());
        let mut times = Vec::new();
        for _ in 0..150 {
            pace.turn().await;
            pace.taken();
            times.push(began.elapsed());
        }
        assert_eq!(times[99], Duration::ZERO);
        assert_eq!(times[149], EVERY * 49);
        tokio::time::sleep(EVERY * 200).await; // quiet for long enough: all may go at once again
        let later = Instant::now();
        for _ in 0..100 {
            pace.turn().await;
            pace.taken();
        }
        assert_eq!(later.elapsed(), Duration::ZERO);
    }
}
