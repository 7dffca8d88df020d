//! The state behind /livez and /readyz: when the scheduler last made progress, and what the start still waits for.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Shared between the controller, the leader election, the requests' server and the server of the probes.
#[derive(Debug)]
pub struct Health {
    last_beat: Mutex<Instant>,
    waiting_for: Mutex<Option<String>>,
    /// What the requests' server still waits for, by the part of it that waits.
    requests: Mutex<BTreeMap<&'static str, String>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            last_beat: Mutex::new(Instant::now()),
            waiting_for: Mutex::new(Some("the API server".to_owned())),
            requests: Mutex::default(),
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

    /// A watch failed. That changes readiness only until all objects were listed once.
    pub(crate) fn wait_for_unless_ready(&self, what: &str) {
        let mut waiting_for = self.waiting_for.lock();
        if waiting_for.is_some() {
            tracing::warn!("waiting for {what}");
            *waiting_for = Some(what.to_owned());
        }
    }

    /// Sets what a part of the requests' server waits for. It has no part in liveness.
    pub(crate) fn requests_wait_for(&self, part: &'static str, what: Option<String>) {
        let mut requests = self.requests.lock();
        match what {
            Some(what) => drop(requests.insert(part, what)),
            None => drop(requests.remove(part)),
        }
    }

    /// Whether the controller has nothing to schedule yet.
    pub(crate) fn is_starting(&self) -> bool {
        self.waiting_for.lock().is_some()
    }

    /// What the start waits for; `None` if this replica is ready.
    pub(crate) fn waiting_for(&self) -> Option<String> {
        let own = self.waiting_for.lock().clone();
        own.or_else(|| self.requests.lock().values().next().cloned())
    }
}
