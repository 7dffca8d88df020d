//! What the probes ask: does the scheduler move, have the watches listed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Shared between the controller and the server.
#[derive(Debug)]
pub struct Health {
    last_beat: Mutex<Instant>,
    waiting_for: Mutex<Option<String>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            last_beat: Mutex::new(Instant::now()),
            waiting_for: Mutex::new(Some("the API server".to_owned())),
        }
    }
}

impl Health {
    /// The scheduler has just served somebody.
    pub fn beat(&self) {
        *self.last_beat.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// How long ago that was.
    #[must_use]
    pub fn stalled_for(&self) -> Duration {
        self.last_beat.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// The start waits for this; `None` once it is through.
    pub fn wait_for(&self, what: Option<String>) {
        *self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    /// A watch fails. That matters to readiness only until everything was listed once.
    pub fn wait_for_unless_ready(&self, what: &str) {
        let mut waiting_for = self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting_for.is_some() {
            tracing::warn!("waiting for {what}");
            *waiting_for = Some(what.to_owned());
        }
    }

    /// What the start waits for.
    #[must_use]
    pub fn waiting_for(&self) -> Option<String> {
        self.waiting_for.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
