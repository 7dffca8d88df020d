//! Whether the Kubernetes API answers, as all reconciles see it together.
//!
//! Each RealtimeToken whose request failed waits for its own backoff, of up to a minute. That the API server is back must
//! be noticed sooner: while it is away one of those that wait is tried every few seconds, and when it answers a write all
//! of them go on. An API server that says how long to wait is obeyed by all reconciles.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cluster::Name;

/// So many failures, with no write answered in between, are an outage and no trouble of a single object.
const OUTAGE_AFTER: u32 = 3;
/// While other writes are answered, what fails fails for reasons of its own: a webhook that is down, or a key that can't be
/// read.
const SILENT_FOR: Duration = Duration::from_secs(5);
/// The API server's own limits on how long it tells clients to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(32);

#[derive(Default)]
pub(super) struct ApiServer(Mutex<State>);

#[derive(Default)]
struct State {
    /// Since a write was last answered.
    failures: u32,
    answered_at: Option<Instant>,
    waiting: Waiting,
    /// No reconcile begins before this time.
    paused_until: Option<Instant>,
}

/// RealtimeTokens whose last request failed, in the order in which they failed.
#[derive(Default)]
struct Waiting {
    order: VecDeque<Name>,
    names: HashSet<Name>,
}

impl ApiServer {
    /// A request for this RealtimeToken got no answer, or the API server's failure.
    pub(super) fn failed(&self, name: &Name) {
        let mut state = self.0.lock();
        state.failures = state.failures.saturating_add(1);
        if state.waiting.names.insert(name.clone()) {
            state.waiting.order.push_back(name.clone());
        }
    }

    /// A write was answered, if only with a refusal. Returns the RealtimeTokens that an outage has held up.
    pub(super) fn answered(&self) -> Vec<Name> {
        let mut state = self.0.lock();
        let before = state.answered_at.replace(Instant::now());
        let was_silent = before.is_none_or(|before| before.elapsed() >= SILENT_FOR);
        let was_away = std::mem::take(&mut state.failures) >= OUTAGE_AFTER && was_silent;
        // Without an outage they failed for reasons of their own, or will soon be tried again anyway.
        let waiting = std::mem::take(&mut state.waiting);
        if was_away { waiting.order.into() } else { Vec::new() }
    }

    /// All that wait: they are tried again for a reason of the caller's.
    pub(super) fn release_all(&self) -> Vec<Name> {
        std::mem::take(&mut self.0.lock().waiting).order.into()
    }

    /// During an outage, the RealtimeToken that has waited longest.
    pub(super) fn next_to_try(&self) -> Option<Name> {
        let mut state = self.0.lock();
        if state.failures < OUTAGE_AFTER {
            return None;
        }
        let name = state.waiting.order.pop_front()?;
        state.waiting.names.remove(&name);
        Some(name)
    }

    /// The API server has too many requests.
    pub(super) fn pause(&self, time: Duration) {
        let until = Instant::now() + time.min(LONGEST_PAUSE);
        let mut state = self.0.lock();
        state.paused_until = state.paused_until.max(Some(until));
    }

    /// Resolves when the API server takes requests again, as far as it has said.
    pub(super) async fn ready(&self) {
        loop {
            let paused_until = self.0.lock().paused_until;
            match paused_until.filter(|until| *until > Instant::now()) {
                Some(until) => tokio::time::sleep_until(until).await,
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> Name {
        Name::new("shop", name)
    }

    #[tokio::test(start_paused = true)]
    async fn after_an_outage_all_that_wait_go_on_and_without_one_nobody_does() {
        let api = ApiServer::default();
        for waits in ["a", "b"] {
            api.failed(&name(waits));
        }
        assert_eq!(api.next_to_try(), None);
        assert_eq!(api.answered(), [], "two failures among successes are no outage");
        for waits in ["a", "b", "a", "c"] {
            api.failed(&name(waits));
        }
        assert_eq!(api.next_to_try(), Some(name("a")), "the oldest is tried");
        api.failed(&name("a"));
        tokio::time::advance(SILENT_FOR).await;
        assert_eq!(api.answered(), ["b", "c", "a"].map(name));
        assert_eq!(api.answered(), [], "once");
        for waits in ["a", "b", "c"] {
            api.failed(&name(waits));
        }
        assert_eq!(api.answered(), [], "others were answered just now");
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_pause_counts_and_none_is_longer_than_the_api_servers_own() {
        let api = ApiServer::default();
        let began = Instant::now();
        api.ready().await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        for seconds in [7, 3] {
            api.pause(Duration::from_secs(seconds));
        }
        api.ready().await;
        assert_eq!(began.elapsed(), Duration::from_secs(7));
        api.pause(Duration::from_secs(86_400));
        api.ready().await;
        assert_eq!(began.elapsed(), Duration::from_secs(7) + LONGEST_PAUSE);
    }
}
