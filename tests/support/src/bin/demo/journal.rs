//! What happened, told from one look to the next.
//!
//! A routine rotation writes no Event, by design, so a new revision is news of its own; Events tell of the rest.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;

use crate::look::{Scene, Token};

/// Events that are no news here: the first revision says as much, and the demo explains these two short lives.
const TOLD_OTHERWISE: [&str; 3] = ["Issued", "LifetimeTooShort", "SingleUseToken"];

/// A piece of news about one token.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) time: Timestamp,
    /// As it was then.
    pub(crate) token: Token,
    pub(crate) text: String,
}

/// All that happened so far.
#[derive(Default)]
pub(crate) struct Journal {
    known: HashMap<String, Known>,
    /// How often each Event was seen to have happened, by uid.
    events: HashMap<String, i32>,
}

struct Known {
    revision: i64,
    since: Instant,
    trouble: Option<String>,
    /// The reason of an Event since the last revision: why the next one comes early.
    cause: Option<String>,
    last: Option<Change>,
}

impl Journal {
    /// The last thing that happened to a token.
    pub(crate) fn last(&self, name: &str) -> Option<&Change> {
        self.known.get(name)?.last.as_ref()
    }

    /// A token that has kept its revision for longer than that.
    pub(crate) fn overdue<'s>(&self, scene: &'s Scene, patience: Duration) -> Option<&'s Token> {
        let waits = |token: &&Token| {
            let known = self.known.get(&token.name);
            known.is_some_and(|it| it.since.elapsed() > patience)
        };
        scene.tokens.iter().find(waits)
    }

    /// Compares with what was known, and returns what is new.
    pub(crate) fn take_in(&mut self, scene: &Scene) -> Vec<Change> {
        let mut news = Vec::new();
        for token in &scene.tokens {
            let known = self
                .known
                .entry(token.name.clone())
                .or_insert_with(|| Known {
                    revision: 0,
                    since: Instant::now(),
                    trouble: None,
                    cause: None,
                    last: None,
                });
            let before = news.len();
            let mut tell = |time: Timestamp, text: String| {
                let token = token.clone();
                news.push(Change { time, token, text });
            };

            for event in about(&token.name, &scene.events) {
                let uid = event.metadata.uid.clone().unwrap_or_default();
                let times = event.series.as_ref().map_or(1, |it| it.count);
                if self.events.insert(uid, times) == Some(times) {
                    continue;
                }
                let reason = event.reason.clone().unwrap_or_default();
                if !TOLD_OTHERWISE.contains(&reason.as_str()) {
                    let note = event.note.as_deref().unwrap_or_default();
                    tell(Timestamp::now(), format!("{reason}: {note}"));
                    known.cause = Some(reason);
                }
            }
            if token.revision != known.revision {
                let cause = known.cause.take();
                let text = match (token.revision, cause) {
                    (1, _) => "Issued".to_owned(),
                    (_, None) => "Renewed".to_owned(),
                    (_, Some(cause)) => format!("Renewed ({cause})"),
                };
                tell(token.issued_at.unwrap_or_else(Timestamp::now), text);
                known.revision = token.revision;
                known.since = Instant::now();
            }
            let trouble = token.trouble();
            if trouble != known.trouble {
                if let Some(trouble) = &trouble {
                    tell(Timestamp::now(), trouble.clone());
                }
                known.trouble = trouble;
            }
            if news.len() > before {
                known.last = news.last().cloned();
            }
        }
        news
    }
}

fn about<'e>(name: &str, events: &'e [Event]) -> impl Iterator<Item = &'e Event> {
    events.iter().filter(move |event| {
        let regarding = event.regarding.as_ref();
        regarding.is_some_and(|it| it.name.as_deref() == Some(name))
    })
}
