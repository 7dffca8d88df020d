//! One log line for each token that is handed out, and lines on refusals that can't flood the log. They hold no token, no
//! bearer token, and nothing of a request's body as it was sent.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;
use tracing::info;

use super::problem::Problem;
use crate::cluster::Name;
use crate::cluster::review::Caller;
use crate::token::secret::content_hash;
use crate::token::{Minted, hash};

/// One line for each RealtimeToken and reason in this time.
const REFUSALS_EVERY: Duration = Duration::from_secs(10);
/// RealtimeTokens and reasons that are remembered.
const MOST: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Where a token came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Pool,
    Minted,
}

impl Source {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Pool => "pool",
            Self::Minted => "minted",
        }
    }
}

/// Logs that a token is handed out.
pub(super) fn handed_out(caller: &Caller, token: &Name, subject: Option<&str>, minted: &Minted, source: Source) {
    info!(
        target: "realtime_token_operator::audit",
        caller = printable(&caller.username),
        pod = caller.pod().map(printable),
        token = %token,
        subject_hash = subject.map(|subject| hash::short(subject.as_bytes())),
        content_hash = content_hash(minted),
        expires_at = %minted.expires_at,
        provider = %minted.provider,
        source = source.as_str(),
        "handed out"
    );
}

/// The API server's word, on one line.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(256).collect()
}

/// What was logged of refusals.
pub(super) struct Refusals(Mutex<LruCache<Key, Logged>>);

type Key = (Option<Name>, &'static str);

struct Logged {
    at: Instant,
    /// Refusals since.
    more: u64,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MOST)))
    }
}

impl Refusals {
    /// Logs a refusal, or counts it. `token` names a RealtimeToken that exists.
    pub(super) fn log(&self, problem: &Problem, caller: Option<&Caller>, token: Option<&Name>) {
        let Some(more) = self.count((token.cloned(), problem.reason)) else {
            return;
        };
        info!(
            target: "realtime_token_operator::audit",
            caller = caller.map(|caller| printable(&caller.username)),
            pod = caller.and_then(Caller::pod).map(printable),
            token = token.map(tracing::field::display),
            status = problem.status.as_u16(),
            reason = problem.reason,
            more_of_these_before = (more > 0).then_some(more),
            "refused"
        );
    }

    /// How many were not logged, if one is to be logged now.
    fn count(&self, key: Key) -> Option<u64> {
        let now = Instant::now();
        let mut logged = self.0.lock();
        match logged.get_mut(&key) {
            Some(last) if now.duration_since(last.at) < REFUSALS_EVERY => {
                last.more += 1;
                None
            }
            last => {
                let more = last.map_or(0, |last| last.more);
                logged.put(key, Logged { at: now, more: 0 });
                Some(more)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_refusals_is_a_line_every_ten_seconds() {
        let refusals = Refusals::default();
        let key = |name: &str| (Some(Name::new("shop", name)), "Forbidden");
        assert_eq!(refusals.count(key("a")), Some(0));
        assert_eq!(refusals.count(key("b")), Some(0));
        for _ in 0..99 {
            assert_eq!(refusals.count(key("a")), None);
        }
        tokio::time::advance(REFUSALS_EVERY).await;
        assert_eq!(refusals.count(key("a")), Some(99));
        assert_eq!(refusals.count(key("b")), Some(0));
    }
}
