//! Logs what is wrong with the cluster once when it begins and once a minute while it lasts, however often and by however
//! many watches it is met.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

const REPEAT_AFTER: Duration = Duration::from_secs(60);
const AGAIN: &str = "the API server answers every watch again";

#[derive(Debug, Default)]
pub(crate) struct Problems(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When each was last logged, for a minute.
    logged: HashMap<String, Instant>,
    /// How many watches fail.
    failing: usize,
}

impl Problems {
    /// Logs a sentence, unless it was logged less than a minute ago.
    pub(crate) fn report(&self, problem: &str) {
        if self.0.lock().is_due(problem) {
            tracing::warn!("{problem}");
        }
    }

    pub(super) fn watch_fails(&self) {
        self.0.lock().failing += 1;
    }

    /// A watch that failed works again, or is no longer needed.
    pub(super) fn watch_recovers(&self) {
        let mut state = self.0.lock();
        state.failing = state.failing.saturating_sub(1);
        // One that lists and may not watch recovers every few seconds.
        if state.failing == 0 && !state.logged.is_empty() && state.is_due(AGAIN) {
            tracing::info!("{AGAIN}");
        }
    }
}

impl State {
    fn is_due(&mut self, problem: &str) -> bool {
        self.logged.retain(|_, at| at.elapsed() < REPEAT_AFTER);
        let due = !self.logged.contains_key(problem);
        if due {
            self.logged.insert(problem.to_owned(), Instant::now());
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_problem_is_due_when_it_begins_and_once_a_minute_while_it_lasts() {
        let mut state = State::default();
        let mut lines = 0;
        for second in 0..180 {
            assert_eq!(state.is_due("down"), second % 60 == 0, "{second}");
            lines += usize::from(state.is_due("down, seen by another watch"));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(lines, 3);
        assert!(state.logged.len() <= 2, "what is over is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn what_comes_and_goes_is_said_once_a_minute_and_so_is_its_end() {
        let problems = Problems::default();
        for _ in 0..2 {
            problems.watch_fails();
            problems.report("down");
        }
        problems.watch_recovers();
        assert!(
            !problems.0.lock().logged.contains_key(AGAIN),
            "another watch still fails"
        );
        problems.watch_recovers();
        let logged_at = |what: &str| problems.0.lock().logged[what];
        let began = logged_at("down");
        for second in 1..=60 {
            tokio::time::advance(Duration::from_secs(1)).await;
            problems.watch_fails();
            problems.report("down");
            problems.watch_recovers();
            let again = if second < 60 { began } else { Instant::now() };
            assert_eq!((logged_at("down"), logged_at(AGAIN)), (again, again), "{second}");
        }
    }
}
