//! The state behind /livez and /readyz: when the scheduler last made progress, what the start still waits for, and which
//! watches on the API server work.

mod problems;

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use self::problems::Problems;

/// A watch that works is opened anew more often than this. One that was not may have missed objects and edits.
const UNSEEN_AFTER: Duration = Duration::from_secs(60);

/// Shared between the controller, the leader election, the requests' server and the server of the probes.
#[derive(Debug)]
pub struct Health {
    last_beat: Mutex<Instant>,
    waiting_for: Mutex<Option<String>>,
    /// What handing out tokens on request still waits for.
    requests_waiting_for: Mutex<Option<String>>,
    /// What its serving certificate still waits for.
    certificate_waiting_for: Mutex<Option<String>>,
    /// Those that are followed.
    watches: Mutex<Vec<Weak<WatchHealth>>>,
    problems: Arc<Problems>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            last_beat: Mutex::new(Instant::now()),
            waiting_for: Mutex::new(Some("the API server".to_owned())),
            requests_waiting_for: Mutex::default(),
            certificate_waiting_for: Mutex::default(),
            watches: Mutex::default(),
            problems: Arc::default(),
        }
    }
}

impl Health {
    /// Records that the scheduler made progress.
    pub(crate) fn beat(&self) {
        *self.last_beat.lock() = Instant::now();
    }

    pub(crate) fn stalled_for(&self) -> Duration {
        self.last_beat.lock().elapsed()
    }

    /// Sets what the start of the controller or of its standing by waits for; `None`: of that, nothing more.
    pub(crate) fn wait_for(&self, what: Option<String>) {
        *self.waiting_for.lock() = what;
    }

    /// Sets what the start of the requests' server waits for; `None` makes it ready.
    pub(crate) fn requests_wait_for(&self, what: Option<String>) {
        *self.requests_waiting_for.lock() = what;
    }

    /// A request that the start needs has failed. That changes readiness only until the start is over.
    pub(crate) fn wait_for_unless_ready(&self, what: &str) {
        let mut waiting_for = self.waiting_for.lock();
        if waiting_for.is_some() {
            *waiting_for = Some(what.to_owned());
        }
    }

    /// Logs what is wrong with the cluster, at most once a minute.
    pub(crate) fn report(&self, problem: &str) {
        self.problems.report(problem);
    }

    /// Sets what keeps the first serving certificate from being loaded; `None`: one is.
    pub(crate) fn certificate_waits_for(&self, what: Option<String>) {
        *self.certificate_waiting_for.lock() = what;
    }

    /// What the start of the controller waits for; `None` if it has begun.
    pub(crate) fn waiting_for(&self) -> Option<String> {
        self.waiting_for.lock().clone()
    }

    /// Adds a watch on what `title` names. Readiness depends on it until the result is dropped.
    pub(crate) fn follow(&self, title: String) -> Arc<WatchHealth> {
        let watch = Arc::new(WatchHealth {
            title,
            problems: Arc::clone(&self.problems),
            seen: Mutex::new(Seen {
                answered_at: Instant::now(),
                listed: false,
                problem: None,
            }),
        });
        self.watches.lock().push(Arc::downgrade(&watch));
        watch
    }

    /// What the start of the controller or of the requests' server waits for, or which watch has stopped working since.
    pub(crate) fn unready(&self) -> Option<String> {
        let certificate = || self.certificate_waiting_for.lock().clone();
        let requests = || self.requests_waiting_for.lock().clone();
        let watches = self.watches();
        match self.waiting_for().or_else(certificate).or_else(requests) {
            Some(what) => Some(watches.iter().find_map(|watch| watch.unlisted()).unwrap_or(what)),
            None => watches.iter().find_map(|watch| watch.unseen()),
        }
    }

    fn watches(&self) -> Vec<Arc<WatchHealth>> {
        let mut watches = self.watches.lock();
        watches.retain(|watch| watch.strong_count() > 0);
        watches.iter().filter_map(Weak::upgrade).collect()
    }
}

/// Whether one watch works, by the answers of the API server: a watch without events says nothing by itself.
#[derive(Debug)]
pub(crate) struct WatchHealth {
    title: String,
    problems: Arc<Problems>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    /// When the API server last accepted a request of the watch, or sent an event.
    answered_at: Instant,
    /// Everything was listed once.
    listed: bool,
    /// What went wrong since the last answer.
    problem: Option<String>,
}

impl WatchHealth {
    /// The API server has accepted a list or a watch, or has sent an event.
    pub(crate) fn answered(&self) {
        let mut seen = self.seen.lock();
        seen.answered_at = Instant::now();
        if seen.problem.take().is_some() {
            self.problems.watch_recovers();
        }
    }

    pub(crate) fn answered_at(&self) -> Instant {
        self.seen.lock().answered_at
    }

    pub(crate) fn listed(&self) {
        self.seen.lock().listed = true;
    }

    /// A list or a watch has failed. It will be tried again.
    pub(crate) fn failed(&self, problem: String) {
        self.problems.report(&problem);
        if self.seen.lock().problem.replace(problem).is_none() {
            self.problems.watch_fails();
        }
    }

    /// Why nothing was listed yet.
    fn unlisted(&self) -> Option<String> {
        let seen = self.seen.lock();
        let problem = seen.problem.as_ref().filter(|_| !seen.listed)?;
        Some(format!("{}: {problem}", self.title))
    }

    /// That objects and edits may have been missed, and why.
    fn unseen(&self) -> Option<String> {
        let seen = self.seen.lock();
        let since = seen.answered_at.elapsed();
        if since < UNSEEN_AFTER {
            return None;
        }
        let problem = seen.problem.as_deref().unwrap_or("no answer from the API server");
        Some(format!("{}, not seen for {} s: {problem}", self.title, since.as_secs()))
    }
}

impl Drop for WatchHealth {
    fn drop(&mut self) {
        if self.seen.get_mut().problem.is_some() {
            self.problems.watch_recovers();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_not_answered_makes_the_replica_unready_until_it_is() {
        let health = Health::default();
        health.wait_for(None);
        let watch = health.follow("Secrets".to_owned());
        tokio::time::advance(UNSEEN_AFTER - Duration::from_secs(1)).await;
        assert_eq!(health.unready(), None);
        tokio::time::advance(Duration::from_secs(1)).await;
        let silent = "Secrets, not seen for 60 s: no answer from the API server";
        assert_eq!(health.unready().as_deref(), Some(silent));
        watch.failed("connection refused".to_owned());
        let broken = "Secrets, not seen for 60 s: connection refused";
        assert_eq!(health.unready().as_deref(), Some(broken));
        watch.answered();
        assert_eq!(health.unready(), None);
        tokio::time::advance(UNSEEN_AFTER).await;
        assert!(health.unready().is_some());
        // A replica that leads no longer follows nothing.
        drop(watch);
        assert_eq!(health.unready(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn the_start_names_the_watch_that_it_waits_for() {
        let health = Health::default();
        let (listed, other) = (
            health.follow("Secrets".to_owned()),
            health.follow("Namespaces".to_owned()),
        );
        listed.listed();
        listed.failed("reset".to_owned());
        assert_eq!(health.unready().as_deref(), Some("the API server"));
        other.failed("403".to_owned());
        assert_eq!(health.unready().as_deref(), Some("Namespaces: 403"));
        health.wait_for(None);
        assert_eq!(health.unready(), None, "it works, or has not been broken for long");
    }
}
