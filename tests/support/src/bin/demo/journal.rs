//! What changed between two looks.
//!
//! A routine rotation writes no Event, by design, so a new revision is a change of its own; Events tell of the rest.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::api::events::v1::Event;

use crate::look::{Observation, Token};

/// Events that say what another line says: the first revision, and the remarks on these two short lives.
const SAID_OTHERWISE: [&str; 3] = ["Issued", "LifetimeTooShort", "SingleUseToken"];

/// How many changes are kept.
const RECENT: usize = 5;

/// What happened to one token.
#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) time: Timestamp,
    /// As it was then.
    pub(crate) token: Token,
    /// In one word.
    pub(crate) what: String,
    /// The message, if there is one.
    pub(crate) note: Option<String>,
}

impl Change {
    /// Without time and name.
    pub(crate) fn text(&self) -> String {
        match &self.note {
            Some(note) => format!("{}: {note}", self.what),
            None => self.what.clone(),
        }
    }
}

/// All that happened so far.
#[derive(Default)]
pub(crate) struct Journal {
    known: HashMap<String, Known>,
    /// How often each Event was seen to have happened, by uid.
    events: HashMap<String, i32>,
    recent: VecDeque<(Timestamp, String)>,
}

struct Known {
    revision: i64,
    since: Instant,
    trouble: Option<(String, String)>,
    last: Option<Change>,
}

impl Journal {
    /// The last few changes, oldest first.
    pub(crate) fn recent(&self) -> impl Iterator<Item = &(Timestamp, String)> {
        self.recent.iter()
    }

    /// Adds what didn't happen to a token by itself.
    pub(crate) fn note(&mut self, time: Timestamp, text: String) {
        self.recent.push_back((time, text));
        while self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// A token that has kept its revision for longer than that.
    pub(crate) fn overdue<'s>(&self, observation: &'s Observation, patience: Duration) -> Option<&'s Token> {
        let waits = |token: &&Token| {
            let known = self.known.get(&token.name);
            known.is_some_and(|it| it.since.elapsed() > patience)
        };
        observation.tokens.iter().filter(|it| it.rotates_soon()).find(waits)
    }

    /// Compares with what was known, and returns what is new.
    pub(crate) fn update(&mut self, observation: &Observation) -> Vec<Change> {
        let mut changes = Vec::new();
        for token in &observation.tokens {
            let known = self.known.entry(token.name.clone()).or_insert_with(|| Known {
                revision: 0,
                since: Instant::now(),
                trouble: None,
                last: None,
            });
            let mut add = |time: Timestamp, what: String, note: Option<String>| {
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
                    changes.push(change);
                }
            };

            for event in about(&token.name, &observation.events) {
                let uid = event.metadata.uid.clone().unwrap_or_default();
                let times = event.series.as_ref().map_or(1, |it| it.count);
                if self.events.insert(uid, times) == Some(times) {
                    continue;
                }
                let reason = event.reason.clone().unwrap_or_default();
                if !SAID_OTHERWISE.contains(&reason.as_str()) {
                    add(Timestamp::now(), reason, event.note.clone());
                }
            }
            if token.revision != known.revision {
                let what = if token.revision == 1 { "Issued" } else { "Renewed" };
                let time = token.issued_at.unwrap_or_else(Timestamp::now);
                add(time, what.to_owned(), None);
                known.revision = token.revision;
                known.since = Instant::now();
            }
            let trouble = token.trouble();
            if trouble != known.trouble {
                if let Some((reason, message)) = trouble.clone() {
                    add(Timestamp::now(), reason, Some(message));
                }
                known.trouble = trouble;
            }
        }
        for change in &changes {
            if change.note.is_some() {
                // Each attempt has a message of its own: the last one will do.
                let again = format!("{}: {}:", change.token.name, change.what);
                self.recent.retain(|(_, text)| !text.starts_with(&again));
            }
            self.note(change.time, format!("{}: {}", change.token.name, change.text()));
        }
        changes
    }
}

fn about<'e>(name: &str, events: &'e [Event]) -> impl Iterator<Item = &'e Event> {
    events.iter().filter(move |event| {
        let regarding = event.regarding.as_ref();
        regarding.is_some_and(|it| it.name.as_deref() == Some(name))
    })
}
