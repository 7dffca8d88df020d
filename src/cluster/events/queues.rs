//! Which Event is written next: a queue and a pace for each namespace, and the namespaces in turn.
//!
//! A plain value with the time as an argument. It owns what waits and knows nothing of the API server. Of a namespace
//! that has been quiet for a while nothing is kept.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Ten thousand first tokens must not flood the API server with ten thousand Events.
const OVERALL: Rate = Rate {
    burst: 100,
    every: Duration::from_millis(50),
};
/// Below the overall rate, so that one namespace alone can't use all of it.
const PER_NAMESPACE: Rate = Rate {
    burst: 25,
    every: Duration::from_millis(100),
};
/// How many may wait in one namespace.
const WAITING_IN_NAMESPACE: usize = 1000;
/// How many may wait in all namespaces together.
const WAITING: usize = 5000;

/// Items that wait to be written, by namespace. Objects without a namespace have one of their own: the empty name.
#[derive(Debug)]
pub(super) struct Queues<T> {
    namespaces: HashMap<String, Namespace<T>>,
    /// The namespaces in which something waits; the first one's turn comes first.
    turns: VecDeque<String>,
    waiting: usize,
    pace: Pace,
    /// When what was written last, oldest first: a namespace is forgotten once its burst is back.
    recent: VecDeque<(Instant, String)>,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<T> {
    /// Write this, and call [`Queues::written`] afterwards.
    Write { namespace: String, item: T },
    /// Nothing before this time, unless something is added or written.
    LookAgain(Option<Instant>),
}

#[derive(Debug)]
struct Namespace<T> {
    warnings: VecDeque<T>,
    normals: VecDeque<T>,
    pace: Pace,
    /// An item of this namespace is being written. One at a time, so that they stay in order.
    writing: bool,
}

/// So many at once, then one in this time.
#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: u32,
    every: Duration,
}

/// A token bucket that refills evenly: the whole state is when it is full again.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    full_at: Option<Instant>,
}

impl<T> Queues<T> {
    /// Adds an item. If it is one too many, the latest of the namespace that is full, or in which most wait, comes back.
    pub(super) fn push(&mut self, namespace: &str, warning: bool, item: T) -> Option<T> {
        let queue = self.namespaces.entry(namespace.to_owned()).or_default();
        if queue.is_empty() {
            self.turns.push_back(namespace.to_owned());
        }
        match warning {
            true => queue.warnings.push_back(item),
            false => queue.normals.push_back(item),
        }
        let full = queue.len() > WAITING_IN_NAMESPACE;
        self.waiting += 1;
        if full {
            return self.drop_latest(namespace);
        }
        if self.waiting <= WAITING {
            return None;
        }
        let longest = self.namespaces.iter().max_by_key(|(_, queue)| queue.len());
        let longest = longest.map(|(namespace, _)| namespace.clone())?;
        self.drop_latest(&longest)
    }

    /// The next item, if its namespace and all of them together may write one now.
    pub(super) fn next(&mut self, now: Instant) -> Next<T> {
        self.forget_quiet(now);
        if self.turns.is_empty() {
            let first = self.recent.front();
            return Next::LookAgain(first.map(|(written, _)| *written + PER_NAMESPACE.refill()));
        }
        let overall = self.pace.ready_at(OVERALL, now);
        if overall > now {
            return Next::LookAgain(Some(overall));
        }
        let mut earliest: Option<Instant> = None;
        for turn in 0..self.turns.len() {
            let queue = self.namespaces.get_mut(&self.turns[turn]);
            let Some(queue) = queue.filter(|queue| !queue.writing) else {
                continue;
            };
            let ready_at = queue.pace.ready_at(PER_NAMESPACE, now);
            if ready_at > now {
                earliest = Some(earliest.map_or(ready_at, |earlier| earlier.min(ready_at)));
            } else if let Some(item) = queue.take(now) {
                let more = !queue.is_empty();
                return self.write(turn, item, more, now);
            }
        }
        Next::LookAgain(earliest)
    }

    /// The item that [`Queues::next`] gave last of this namespace is written, or could not be.
    pub(super) fn written(&mut self, namespace: String, now: Instant) {
        if let Some(queue) = self.namespaces.get_mut(&namespace) {
            queue.writing = false;
            self.recent.push_back((now, namespace));
        }
    }

    /// Takes the namespace from its turn, and puts it last if more waits in it.
    fn write(&mut self, turn: usize, item: T, more: bool, now: Instant) -> Next<T> {
        self.pace.take(OVERALL, now);
        self.waiting -= 1;
        let namespace = self.turns.remove(turn).unwrap_or_default();
        if more {
            self.turns.push_back(namespace.clone());
        }
        Next::Write { namespace, item }
    }

    fn drop_latest(&mut self, namespace: &str) -> Option<T> {
        let queue = self.namespaces.get_mut(namespace)?;
        let dropped = queue.normals.pop_back().or_else(|| queue.warnings.pop_back())?;
        self.waiting -= 1;
        if queue.is_empty() {
            self.turns.retain(|other| other != namespace);
            // A namespace that was written to lately goes with its entry in `recent`.
            if !queue.writing && queue.pace.full_at.is_none() {
                self.namespaces.remove(namespace);
            }
        }
        Some(dropped)
    }

    /// A namespace whose burst is back needs no entry.
    fn forget_quiet(&mut self, now: Instant) {
        let old = |written: Instant| written + PER_NAMESPACE.refill() <= now;
        while self.recent.front().is_some_and(|(written, _)| old(*written)) {
            let Some((_, namespace)) = self.recent.pop_front() else {
                return;
            };
            let quiet = |queue: &Namespace<T>| queue.is_empty() && !queue.writing && queue.pace.is_full(now);
            if self.namespaces.get(&namespace).is_some_and(quiet) {
                self.namespaces.remove(&namespace);
            }
        }
    }
}

// By hand, since the derived ones would want a `T: Default`.
impl<T> Default for Queues<T> {
    fn default() -> Self {
        Self {
            namespaces: HashMap::new(),
            turns: VecDeque::new(),
            waiting: 0,
            pace: Pace::default(),
            recent: VecDeque::new(),
        }
    }
}

impl<T> Default for Namespace<T> {
    fn default() -> Self {
        Self {
            warnings: VecDeque::new(),
            normals: VecDeque::new(),
            pace: Pace::default(),
            writing: false,
        }
    }
}

impl<T> Namespace<T> {
    fn len(&self) -> usize {
        self.warnings.len() + self.normals.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(&mut self, now: Instant) -> Option<T> {
        let item = self.warnings.pop_front().or_else(|| self.normals.pop_front())?;
        self.pace.take(PER_NAMESPACE, now);
        self.writing = true;
        Some(item)
    }
}

impl Rate {
    /// How long an empty bucket takes to be full again.
    fn refill(self) -> Duration {
        self.every * self.burst
    }
}

impl Pace {
    /// From when on one can be taken.
    fn ready_at(self, rate: Rate, now: Instant) -> Instant {
        let full_at = self.full_at.unwrap_or(now);
        full_at.checked_sub(rate.every * (rate.burst - 1)).unwrap_or(now)
    }

    fn is_full(self, now: Instant) -> bool {
        self.full_at.is_none_or(|full_at| full_at <= now)
    }

    fn take(&mut self, rate: Rate, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + rate.every);
    }
}

#[cfg(test)]
mod tests;
