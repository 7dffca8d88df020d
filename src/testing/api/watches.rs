//! Watches: what has changed since a version, until their time is over or a test breaks them.

use std::time::Duration;

use axum::body::Body;
use futures::stream;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::Instant;
use tower::BoxError;

use super::{FakeApi, shown};
use crate::testing::objects::{Change, Refusal};
use crate::testing::request::Request;

impl FakeApi {
    pub(super) fn watch(&self, request: Request) -> Body {
        let state = self.0.state.lock();
        let watch = Watch {
            position: state
                .objects
                .history
                .partition_point(|change| change.version <= request.version),
            breaks: state.breaks.get(request.resource).copied().unwrap_or(0),
            silences: state.silences.get(request.resource).copied().unwrap_or(0),
            ends: Instant::now() + Duration::from_secs(request.seconds),
            changed: self.0.changed.subscribe(),
            api: self.clone(),
            expired: false,
            request,
        };
        drop(state);
        let lines = stream::unfold(watch, |mut watch| async move {
            let event = watch.next().await?;
            Some((Ok::<_, BoxError>(format!("{event}\n")), watch))
        });
        Body::from_stream(lines)
    }
}

struct Watch {
    api: FakeApi,
    request: Request,
    /// The next change in the history.
    position: usize,
    breaks: u64,
    silences: u64,
    ends: Instant,
    changed: watch::Receiver<()>,
    /// It has been said that the history is gone.
    expired: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if self.is_silent() {
                std::future::pending::<()>().await;
            }
            if let Some(result) = self.step() {
                return result;
            }
            tokio::select! {
                changed = self.changed.changed() => changed.ok()?,
                () = tokio::time::sleep_until(self.ends) => return None,
            }
        }
    }

    fn is_silent(&self) -> bool {
        let state = self.api.0.state.lock();
        state.silences.get(self.request.resource).copied().unwrap_or(0) != self.silences
    }

    /// An event, or `Some(None)` at the end of the stream, or `None` while there is nothing new.
    fn step(&mut self) -> Option<Option<Value>> {
        let state = self.api.0.state.lock();
        let resource = self.request.resource;
        let oldest = state.oldest.get(resource).copied().unwrap_or(0);
        if self.expired {
            return Some(None);
        }
        if self.request.version + 1 < oldest {
            self.expired = true;
            let gone = Refusal::of_code(410);
            return Some(Some(json!({"type": "ERROR", "object": gone.body()})));
        }
        if state.breaks.get(resource).copied().unwrap_or(0) != self.breaks {
            return Some(None);
        }
        if state.paused.contains(resource) {
            return None;
        }
        while let Some(change) = state.objects.history.get(self.position) {
            self.position += 1;
            if change.version > self.request.version
                && let Some(event) = event(change, &self.request)
            {
                return Some(Some(event));
            }
        }
        None
    }
}

/// What a change is to a watch that sees only what a selector matches.
fn event(change: &Change, request: &Request) -> Option<Value> {
    if change.resource != request.resource {
        return None;
    }
    let before = change.before.as_ref();
    let was_seen = before.is_some_and(|before| request.selector.matches(before));
    let is_seen = !change.deleted && request.selector.matches(&change.after);
    let type_ = match (was_seen, is_seen) {
        (false, true) => "ADDED",
        (true, true) => "MODIFIED",
        (true, false) => "DELETED",
        (false, false) => return None,
    };
    Some(json!({"type": type_, "object": shown(&change.after, request)}))
}
