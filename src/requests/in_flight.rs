//! How many requests are being answered, in all and for each caller.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::problem::Problem;

/// Requests of all callers.
const MOST: usize = 1024;
/// Requests of one caller, by its user name.
const MOST_OF_CALLER: usize = 64;

/// Counts requests by user name. The empty name stands for all.
#[derive(Clone, Default)]
pub(super) struct InFlight(Arc<Mutex<HashMap<String, usize>>>);

/// Counts a request out when it is dropped.
pub(super) struct Counted {
    counts: InFlight,
    username: String,
}

impl InFlight {
    /// Counts a request in, whoever it comes from.
    pub(super) fn begin(&self) -> Result<Counted, Problem> {
        self.count("", MOST).ok_or_else(Problem::busy)
    }

    /// Counts a request of a caller in.
    pub(super) fn begin_of(&self, username: &str) -> Result<Counted, Problem> {
        self.count(username, MOST_OF_CALLER)
            .ok_or_else(|| Problem::too_many_of_caller(MOST_OF_CALLER))
    }

    fn count(&self, username: &str, most: usize) -> Option<Counted> {
        let mut counts = self.0.lock();
        let count = counts.entry(username.to_owned()).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Counted {
            counts: self.clone(),
            username: username.to_owned(),
        })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.0.lock();
        if let Some(count) = counts.get_mut(&self.username) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.username);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_and_leaves_nothing_behind() {
        let all = InFlight::default();
        let begun: Vec<_> = (0..MOST_OF_CALLER).map(|_| all.begin_of("a").ok().unwrap()).collect();
        assert_eq!(all.begin_of("a").err().unwrap().status, 429);
        assert!(all.begin_of("b").is_ok());
        drop(begun);
        assert!(all.begin_of("a").is_ok());
        let begun: Vec<_> = (0..MOST).map(|_| all.begin().ok().unwrap()).collect();
        assert_eq!(all.begin().err().unwrap().status, 503);
        drop(begun);
        assert!(all.0.lock().is_empty());
    }
}
