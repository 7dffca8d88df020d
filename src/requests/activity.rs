//! Since when a connection has nothing to do, and so when it is to be closed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// From the end of the TLS handshake to the first request's headers.
pub(super) const FIRST_REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// From an answer to the next request's headers.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// The age at which a connection takes no more requests, so that callers spread over the replicas.
const OLD: Duration = Duration::from_secs(600);

/// The requests of one connection. Cheap to clone.
#[derive(Clone)]
pub(super) struct Activity {
    opened_at: Instant,
    state: Arc<Mutex<State>>,
}

struct State {
    in_flight: usize,
    /// When the connection was opened, or its last answer was given.
    idle_since: Instant,
    has_asked: bool,
}

/// Counts a request out when it is dropped.
pub(super) struct Asking(Activity);

impl Activity {
    /// Of a connection that is opened now.
    pub(super) fn new() -> Self {
        let opened_at = Instant::now();
        let state = State {
            in_flight: 0,
            idle_since: opened_at,
            has_asked: false,
        };
        Self {
            opened_at,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The headers of a request have come.
    pub(super) fn begin(&self) -> Asking {
        let mut state = self.state.lock();
        state.in_flight += 1;
        state.has_asked = true;
        Asking(self.clone())
    }

    /// Waits until the connection has been idle for too long, or is old.
    pub(super) async fn over(&self) {
        loop {
            let at = self.ends_at();
            if at <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(at).await;
        }
    }

    /// When the connection is over if nothing happens. While a request is being answered that is no earlier than [`IDLE`]
    /// from now, whenever the answer is given.
    fn ends_at(&self) -> Instant {
        let state = self.state.lock();
        let end = match (state.in_flight, state.has_asked) {
            (0, false) => state.idle_since + FIRST_REQUEST_WITHIN,
            (0, true) => state.idle_since + IDLE,
            _ => Instant::now() + IDLE,
        };
        end.min(self.opened_at + OLD)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.in_flight -= 1;
        state.idle_since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn seconds(activity: &Activity) -> u64 {
        let start = Instant::now();
        activity.over().await;
        start.elapsed().as_secs()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_over_after_its_idle_time() {
        assert_eq!(seconds(&Activity::new()).await, FIRST_REQUEST_WITHIN.as_secs());
        let activity = Activity::new();
        let asking = activity.begin();
        let late = activity.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(asking);
            tokio::time::sleep(Duration::from_secs(30)).await;
            drop(late.begin());
        });
        assert_eq!(seconds(&activity).await, 100 + 30 + IDLE.as_secs());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_always_asks_is_over_when_it_is_old() {
        let activity = Activity::new();
        let _asking = activity.begin();
        assert_eq!(seconds(&activity).await, OLD.as_secs());
    }
}
