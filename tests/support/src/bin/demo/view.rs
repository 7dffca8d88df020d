//! What is shown, in either form: tokens, what a pod reads, what users were given, and what happened so far.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Result;
use jiff::{Timestamp, tz::TimeZone};
use tokio::sync::watch;

use crate::{
    journal::{Change, Journal},
    look::{Observation, Observer, Token},
    reader::Reader,
    users::Given,
};

/// How long an API server may be out of reach, which a cluster of one's own may be for a moment.
const OUTAGE: Duration = Duration::from_secs(15);

pub(crate) struct View {
    observer: Observer,
    seen: Instant,
    pub(crate) given: watch::Receiver<Given>,
    pub(crate) reader: Reader,
    pub(crate) journal: Journal,
}

impl View {
    pub(crate) fn new(observer: Observer, given: watch::Receiver<Given>, files: PathBuf) -> Self {
        Self {
            observer,
            seen: Instant::now(),
            given,
            reader: Reader::new(files),
            journal: Journal::default(),
        }
    }

    /// Looks again: what is there, and what is new. None while the API server is out of reach for a moment.
    pub(crate) async fn update(&mut self) -> Result<Option<(Observation, Vec<Change>)>> {
        let observation = match self.observer.look().await {
            Ok(observation) => observation,
            Err(_) if self.seen.elapsed() < OUTAGE => return Ok(None),
            Err(error) => return Err(error),
        };
        self.seen = Instant::now();
        let changes = self.journal.update(&observation);
        Ok(Some((observation, changes)))
    }
}

/// What a first reader would take for a fault, explained.
pub(crate) fn remarks(tokens: &[Token]) -> impl Iterator<Item = String> {
    tokens.iter().filter_map(|token| {
        let condition = token.condition("FreshnessGuaranteed")?;
        let (name, reason) = (&token.name, condition.reason.as_str());
        let because = match reason {
            "LifetimeTooShort" => "40 s can't outlast a kubelet's delay; the default of 30 min does",
            _ if token.on_request => return None,
            "SingleUseToken" => "a conversation token serves one session; a signed URL can be shared",
            _ if condition.status == "True" => {
                return Some(format!(
                    "{name}: FreshnessGuaranteed=True: renewed in time for a provider in trouble for 60 s and a slow file."
                ));
            }
            _ => return None,
        };
        Some(format!("{name}: FreshnessGuaranteed=False ({reason}) is right: {because}."))
    })
}

/// The time of day.
pub(crate) fn clock(time: Timestamp) -> String {
    let local = time.to_zoned(TimeZone::system());
    local.strftime("%H:%M:%S").to_string()
}

/// Never negative: what is over has nothing left.
pub(crate) fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.duration_since(from).as_secs().max(0)
}
