//! The Events that wait to be published: how many are kept, and which is next. Pure, but for the type of its clock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType};
use tokio::time::Instant;

/// How many warnings, and how many normal Events, wait in one namespace.
pub(super) const OF_NAMESPACE: usize = 250;
/// How many of either type wait in all, beyond one in each namespace. Each takes about a kilobyte.
pub(super) const OF_ALL: usize = 2000;

/// Boxed: a queue begins with room for four.
pub(super) type Message = Box<(Event, ObjectReference)>;

/// Whatever is published is spread over time: by namespace, so that one alone can't use all of the overall pace, and
/// overall, so that ten thousand first tokens don't flood the API server with ten thousand Events.
pub(super) struct Waiting {
    namespaces: HashMap<String, Lane>,
    /// The namespaces in which Events wait, in the order of their turns.
    turns: VecDeque<String>,
    warnings: usize,
    normals: usize,
    overall: Pace,
}

/// The Events of one namespace. Objects without a namespace share the empty name.
struct Lane {
    warnings: VecDeque<Message>,
    normals: VecDeque<Message>,
    pace: Pace,
    /// One at a time, so that they stay in order.
    is_publishing: bool,
}

pub(super) enum Next {
    /// To be followed by [`Waiting::published`].
    Publish(String, Message),
    /// None may be published for so long, or until another has been.
    Wait(Duration),
    /// None waits, and nothing has to be remembered of any namespace.
    Nothing,
}

impl Waiting {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            namespaces: HashMap::new(),
            turns: VecDeque::new(),
            warnings: 0,
            normals: 0,
            overall: Pace::new(100, Duration::from_millis(50), now),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }

    /// Returns whether its namespace had none. Gives the Event back if too many wait.
    pub(super) fn push(&mut self, message: Message, now: Instant) -> Result<bool, Message> {
        let namespace = message.1.namespace.clone().unwrap_or_default();
        let lane = self.namespaces.entry(namespace.clone());
        let lane = lane.or_insert_with(|| Lane::new(now));
        let had_some = !lane.is_empty();
        let (queue, of_all) = match message.0.type_ {
            EventType::Warning => (&mut lane.warnings, &mut self.warnings),
            EventType::Normal => (&mut lane.normals, &mut self.normals),
        };
        if !queue.is_empty() && (*of_all >= OF_ALL || queue.len() >= OF_NAMESPACE) {
            return Err(message);
        }
        queue.push_back(message);
        *of_all += 1;
        if !had_some {
            self.turns.push_back(namespace);
        }
        Ok(!had_some)
    }

    pub(super) fn next(&mut self, now: Instant) -> Next {
        self.namespaces.retain(|_, lane| !lane.is_idle(now));
        if self.namespaces.is_empty() {
            return Next::Nothing;
        }
        let wait = self.overall.wait(now);
        if !wait.is_zero() && !self.turns.is_empty() {
            return Next::Wait(wait);
        }
        let is_ready = |namespace: &String| {
            self.namespaces
                .get(namespace)
                .is_some_and(|lane| lane.wait(now).is_zero())
        };
        let turn = self.turns.iter().position(is_ready);
        let Some(namespace) = turn.and_then(|turn| self.turns.remove(turn)) else {
            return Next::Wait(
                self.namespaces
                    .values()
                    .map(|lane| lane.wait(now))
                    .min()
                    .unwrap_or_default(),
            );
        };
        let lane = self.namespaces.get_mut(&namespace);
        let Some((lane, message)) = lane.and_then(|lane| lane.pop().map(|message| (lane, message))) else {
            return Next::Wait(Duration::ZERO);
        };
        lane.is_publishing = true;
        lane.pace.take(now);
        self.overall.take(now);
        match message.0.type_ {
            EventType::Warning => self.warnings -= 1,
            EventType::Normal => self.normals -= 1,
        }
        if !lane.is_empty() {
            self.turns.push_back(namespace.clone());
        }
        Next::Publish(namespace, message)
    }

    /// An Event of this namespace has been published, or not.
    pub(super) fn published(&mut self, namespace: &str) {
        if let Some(lane) = self.namespaces.get_mut(namespace) {
            lane.is_publishing = false;
        }
    }
}

impl Lane {
    fn new(now: Instant) -> Self {
        Self {
            warnings: VecDeque::new(),
            normals: VecDeque::new(),
            // Below the overall pace.
            pace: Pace::new(25, Duration::from_millis(100), now),
            is_publishing: false,
        }
    }

    fn is_empty(&self) -> bool {
        self.warnings.is_empty() && self.normals.is_empty()
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.is_empty() && !self.is_publishing && self.pace.full_at <= now
    }

    /// How long until its next Event may be published, or, if none waits, until it may be forgotten.
    fn wait(&self, now: Instant) -> Duration {
        if self.is_publishing {
            return Duration::MAX;
        }
        if self.is_empty() {
            return self.pace.full_at.saturating_duration_since(now);
        }
        self.pace.wait(now)
    }

    fn pop(&mut self) -> Option<Message> {
        self.warnings.pop_front().or_else(|| self.normals.pop_front())
    }
}

/// A token bucket that refills evenly: so many at once, then one in this time.
struct Pace {
    burst: u32,
    every: Duration,
    full_at: Instant,
}

impl Pace {
    const fn new(burst: u32, every: Duration, now: Instant) -> Self {
        Self {
            burst,
            every,
            full_at: now,
        }
    }

    fn wait(&self, now: Instant) -> Duration {
        let refill = self.full_at.saturating_duration_since(now);
        refill.saturating_sub(self.every * (self.burst - 1))
    }

    fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(now) + self.every;
    }
}
