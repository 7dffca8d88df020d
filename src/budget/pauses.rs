//! RealtimeTokens whose requests are refused without asking, since the last ones failed: a rejected key and a provider that
//! is out of order are tried again now and then, by one request. Secrets have a backoff of their own.

use std::collections::HashMap;
use std::hash::Hash;

use jiff::{SignedDuration, Timestamp};

use super::outage::PROBE_EVERY;
use crate::token::MintError;

/// Between two requests that are let ask although the credential was rejected.
const CREDENTIAL_PROBE_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// A single failure may be chance; after so many in a row requests are let ask one at a time.
const PAUSED_AT: u32 = 2;
/// An older failure says nothing of now.
const FORGET_AFTER: SignedDuration = SignedDuration::from_mins(5);

#[derive(Debug)]
pub(super) struct Pauses<K>(HashMap<K, Pause>);

#[derive(Debug)]
struct Pause {
    cause: Cause,
    last: Timestamp,
    /// The first request from then on asks the provider, for all.
    next: Timestamp,
}

#[derive(Debug)]
enum Cause {
    /// The credential was rejected when its key had this revision.
    Credential { revision: String, error: MintError },
    /// The provider was out of order so many times in a row.
    Unavailable { failed: u32 },
}

/// Why a request is not to ask now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Paused {
    Rejected(MintError),
    Unavailable { until: Timestamp },
}

impl<K: Clone + Eq + Hash> Pauses<K> {
    pub(super) fn new() -> Self {
        Self(HashMap::new())
    }

    /// Whether a request for `token` with the key of this revision is not to ask now.
    pub(super) fn paused(&self, token: &K, revision: &str, now: Timestamp) -> Option<Paused> {
        let pause = self
            .0
            .get(token)
            .filter(|pause| pause.is_recent(now) && pause.next > now)?;
        match &pause.cause {
            Cause::Credential { revision: of, error } if of == revision => Some(Paused::Rejected(error.clone())),
            Cause::Unavailable { failed } if *failed >= PAUSED_AT => Some(Paused::Unavailable { until: pause.next }),
            _ => None,
        }
    }

    /// A request asks; others wait for its answer.
    pub(super) fn began(&mut self, token: &K, now: Timestamp) {
        if let Some(pause) = self.0.get_mut(token) {
            pause.next = now + pause.interval();
        }
    }

    pub(super) fn rejected(&mut self, token: &K, revision: &str, error: &MintError, now: Timestamp) {
        let cause = Cause::Credential {
            revision: revision.to_owned(),
            error: error.clone(),
        };
        self.insert(token, cause, now);
    }

    pub(super) fn unavailable(&mut self, token: &K, now: Timestamp) {
        let failed = match self.0.get(token).filter(|pause| pause.is_recent(now)) {
            Some(Pause {
                cause: Cause::Unavailable { failed },
                ..
            }) => *failed,
            _ => 0,
        };
        let failed = failed.saturating_add(1);
        self.insert(token, Cause::Unavailable { failed }, now);
    }

    /// The provider has answered otherwise.
    pub(super) fn end(&mut self, token: &K) {
        self.0.remove(token);
    }

    /// Whether nothing is remembered that holds.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        !self.0.values().any(|pause| pause.is_recent(now))
    }

    pub(super) fn forget_old(&mut self, now: Timestamp) {
        self.0.retain(|_, pause| pause.is_recent(now));
    }

    fn insert(&mut self, token: &K, cause: Cause, now: Timestamp) {
        let mut pause = Pause {
            cause,
            last: now,
            next: now,
        };
        pause.next = now + pause.interval();
        self.0.insert(token.clone(), pause);
    }
}

impl Pause {
    const fn interval(&self) -> SignedDuration {
        match self.cause {
            Cause::Credential { .. } => CREDENTIAL_PROBE_EVERY,
            Cause::Unavailable { .. } => PROBE_EVERY,
        }
    }

    /// A time in the future is of a clock that has been set back since.
    fn is_recent(&self, now: Timestamp) -> bool {
        self.last <= now && now.duration_since(self.last) < FORGET_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_failure_is_forgotten_after_five_minutes() {
        let mut pauses = Pauses::new();
        assert!(pauses.is_idle(at(0)));
        pauses.unavailable(&"a", at(0));
        assert!(!pauses.is_idle(at(299)) && pauses.is_idle(at(300)));
        pauses.forget_old(at(299));
        assert_eq!(pauses.0.len(), 1);
        pauses.forget_old(at(300));
        assert!(pauses.0.is_empty());
    }
}
