//! What changed between two looks.
//!
//! A routine rotation writes no Event, by design, so a new revision is news of its own; Events tell of the rest.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;

use crate::look::{Scene, Token};

/// Events that are no news here: the first revision says as much, and the demo explains these two short lives.
const TOLD_OTHERWISE: [&str; 3] = ["Issued", "LifetimeTooShort", "SingleUseToken"];

/// How many changes are kept.
const RECENT: usize = 4;

/// A piece of news about one token.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) time: Timestamp,
    /// As it was then.
    pub(crate) token: Token,
    /// In one word.
    pub(crate) what: String,
    /// The rest of the story, if there is more to tell.
    pub(crate) note: Option<String>,
}

/// All that happened so far.
#[derive(Default)]
pub(crate) struct Journal {
    known: HashMap<String, Known>,
    /// How often each Event was seen to have happened, by uid.
    events: HashMap<String, i32>,
    recent: VecDeque<Change>,
}

struct Known {
    revision: i64,
    since: Instant,
    trouble: Option<(String, String)>,
    last: Option<Change>,
}

impl Journal {
    /// The last thing that happened to a token.
    pub(crate) fn last(&self, name: &str) -> Option<&Change> {
        self.known.get(name)?.last.as_ref()
    }

    /// The last few changes of all tokens, oldest first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &Change> {
        self.recent.iter()
    }

    /// A token that has kept its revision for longer than that.
    pub(crate) fn overdue<'s>(&self, scene: &'s Scene, patience: Duration) -> Option<&'s Token> {
        let waits = |token: &&Token| {
            let known = self.known.get(&token.name);
            known.is_some_and(|it| it.since.elapsed() > patience)
        };
        scene.tokens.iter().filter(|it| it.rotates_soon()).find(waits)
    }

    /// Compares with what was known, and returns what is new.
    pub(crate) fn take_in(&mut self, scene: &Scene) -> Vec<Change> {
        let mut news = Vec::new();
        for token in &scene.tokens {
            let known = self.known.entry(token.name.clone()).or_insert_with(|| Known {
                revision: 0,
                since: Instant::now(),
                trouble: None,
                last: None,
            });
            let mut tell = |time: Timestamp, what: String, note: Option<String>| {
                let change = Change {
                    time,
                    token: token.clone(),
                    what,
                    note,
                };
                // A condition and an Event often say the same.
                let repeats = |it: &Change| it.what == change.what && it.note == change.note;
                let twice = change.note.is_some() && known.last.as_ref().is_some_and(repeats);
                if !twice {
                    known.last = Some(change.clone());
                    news.push(change);
                }
            };

            for event in about(&token.name, &scene.events) {
                let uid = event.metadata.uid.clone().unwrap_or_default();
                let times = event.series.as_ref().map_or(1, |it| it.count);
                if self.events.insert(uid, times) == Some(times) {
                    continue;
                }
                let reason = event.reason.clone().unwrap_or_default();
                if !TOLD_OTHERWISE.contains(&reason.as_str()) {
                    tell(Timestamp::now(), reason, event.note.clone());
                }
            }
            if token.revision != known.revision {
                let what = if token.revision == 1 { "Issued" } else { "Renewed" };
                let time = token.issued_at.unwrap_or_else(Timestamp::now);
                tell(time, what.to_owned(), None);
                known.revision = token.revision;
                known.since = Instant::now();
            }
            let trouble = token.trouble();
            if trouble != known.trouble {
                if let Some((reason, message)) = trouble.clone() {
                    tell(Timestamp::now(), reason, Some(message));
                }
                known.trouble = trouble;
            }
        }
        self.recent.extend(news.iter().cloned());
        while self.recent.len() > RECENT {
            self.recent.pop_front();
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
