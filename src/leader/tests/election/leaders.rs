//! Who of the replicas leads; never two.

use parking_lot::Mutex;

use super::*;

/// Who leads, and since when.
#[derive(Default)]
pub(super) struct Leaders(Mutex<Log>);

#[derive(Default)]
struct Log {
    now: Option<String>,
    changes: Vec<(Instant, Option<String>)>,
    /// Whose work was begun.
    begun: Vec<String>,
}

impl Leaders {
    /// The work of a leader: it never ends by itself. Panics if another leads.
    pub(super) async fn work(&self, me: &str, leadership: Leadership) {
        self.0.lock().begun.push(me.to_owned());
        let _end = End(self, me);
        loop {
            leadership.held().await;
            self.change(None, Some(me));
            leadership.lost().await;
            self.change(Some(me), None);
        }
    }

    fn change(&self, from: Option<&str>, to: Option<&str>) {
        let mut log = self.0.lock();
        let changes = &log.changes;
        assert_eq!(log.now.as_deref(), from, "{to:?} is to lead; so far: {changes:?}");
        log.now = to.map(str::to_owned);
        let change = (Instant::now(), log.now.clone());
        log.changes.push(change);
    }

    pub(super) fn now(&self) -> Option<String> {
        self.0.lock().now.clone()
    }

    /// The leaders so far.
    pub(super) fn names(&self) -> Vec<String> {
        let log = self.0.lock();
        log.changes.iter().filter_map(|(_, name)| name.clone()).collect()
    }

    pub(super) fn begun(&self) -> Vec<String> {
        self.0.lock().begun.clone()
    }

    /// The share of the time since this one in which there was a leader.
    pub(super) fn led_since(&self, since: Instant) -> f64 {
        let log = self.0.lock();
        let ends = log.changes.iter().skip(1).map(|(at, _)| *at).chain([Instant::now()]);
        let led = log.changes.iter().zip(ends).filter(|((_, leader), _)| leader.is_some());
        let led: Duration = led
            .map(|((from, _), to)| to.saturating_duration_since((*from).max(since)))
            .sum();
        led.as_secs_f64() / since.elapsed().as_secs_f64()
    }

    /// When the leader last changed.
    pub(super) fn last_change(&self) -> Instant {
        self.0.lock().changes.last().unwrap().0
    }
}

/// Ends the work when it is dropped.
struct End<'a>(&'a Leaders, &'a str);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() && self.0.now().as_deref() == Some(self.1) {
            self.0.change(Some(self.1), None);
        }
    }
}
