//! The state behind /livez and /readyz: when the scheduler last made progress, and what the start still waits for.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Shared between the controller, the leader election, the requests' server and the server of the probes.
#[derive(Debug)]
pub struct Health {
    last_beat: Mutex<Instant>,
    waiting_for: Mutex<Option<String>>,
    /// What handing out tokens on request still waits for.
    requests_waiting_for: Mutex<Option<String>>,
    /// What its serving certificate still waits for.
    certificate_waiting_for: Mutex<Option<String>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            last_beat: Mutex::new(Instant::now()),
            waiting_for: Mutex::new(Some("the API server".to_owned())),
            requests_waiting_for: Mutex::default(),
            certificate_waiting_for: Mutex::default(),
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

    /// A watch of the requests' server failed. That changes readiness only until all objects were listed once.
    pub(crate) fn requests_wait_for_unless_ready(&self, what: &str) {
        if let Some(waiting_for) = &mut *self.requests_waiting_for.lock() {
            tracing::warn!("requests are waiting for {what}");
            what.clone_into(waiting_for);
        }
    }

    /// A watch failed. That changes readiness only until all objects were listed once.
    pub(crate) fn wait_for_unless_ready(&self, what: &str) {
        let mut waiting_for = self.waiting_for.lock();
        if waiting_for.is_some() {
            tracing::warn!("waiting for {what}");
            *waiting_for = Some(what.to_owned());
        }
    }

    /// Sets what keeps the first serving certificate from being loaded; `None`: one is.
    pub(crate) fn certificate_waits_for(&self, what: Option<String>) {
        *self.certificate_waiting_for.lock() = what;
    }

    /// What the start of the controller waits for; `None` if it has begun.
    pub(crate) fn waiting_for(&self) -> Option<String> {
        self.waiting_for.lock().clone()
    }

    /// What the start of the controller or of the requests' server waits for.
    pub(crate) fn unready(&self) -> Option<String> {
        let certificate = || self.certificate_waiting_for.lock().clone();
        let requests = || self.requests_waiting_for.lock().clone();
        self.waiting_for().or_else(certificate).or_else(requests)
    }
}
