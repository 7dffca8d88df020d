//! The Secrets that were looked up and not found.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Name;

/// How long such a Secret counts as absent: most often it does from the look before a mint to the write after it. Should
/// others create it meanwhile, our own creation is answered with a conflict.
const ABSENT_FOR: Duration = Duration::from_secs(30);

#[derive(Default)]
pub(super) struct Absent {
    since: HashMap<Name, Instant>,
    /// The same, in the order in which they came, and some that are in `since` no more.
    oldest: VecDeque<(Name, Instant)>,
}

impl Absent {
    pub(super) fn contains(&self, name: &Name, now: Instant) -> bool {
        self.since.get(name).is_some_and(|since| !is_over(*since, now))
    }

    pub(super) fn insert(&mut self, name: &Name, asked: Instant) {
        while let Some((oldest, since)) = self.oldest.front().filter(|(_, since)| is_over(*since, asked)) {
            if self.since.get(oldest) == Some(since) {
                self.since.remove(oldest);
            }
            self.oldest.pop_front();
        }
        self.since.insert(name.clone(), asked);
        self.oldest.push_back((name.clone(), asked));
    }

    pub(super) fn remove(&mut self, name: &Name) {
        self.since.remove(name);
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= ABSENT_FOR
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_was_not_found_is_absent_for_a_while_and_then_forgotten() {
        let (first, second) = (Name::new("shop", "first"), Name::new("shop", "second"));
        let mut absent = Absent::default();
        absent.insert(&first, Instant::now());
        tokio::time::advance(Duration::from_secs(20)).await;
        absent.insert(&second, Instant::now());
        assert!(absent.contains(&first, Instant::now()));
        tokio::time::advance(Duration::from_secs(10)).await;
        let now = Instant::now();
        assert!(!absent.contains(&first, now) && absent.contains(&second, now));
        absent.insert(&second, now);
        assert_eq!((absent.since.len(), absent.oldest.len()), (1, 2), "the first is gone");
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(absent.contains(&second, Instant::now()), "looked up again meanwhile");
        absent.remove(&second);
        assert!(!absent.contains(&second, Instant::now()));
    }
}
