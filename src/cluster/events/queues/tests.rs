use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Queues with a clock of their own, written to without a delay.
struct Clock {
    queues: Queues<String>,
    began: Instant,
    now: Instant,
}

impl Clock {
    fn new() -> Self {
        let now = Instant::now();
        Self {
            queues: Queues::default(),
            began: now,
            now,
        }
    }

    fn push(&mut self, namespace: &str, warning: bool, name: &str) -> Option<String> {
        self.queues.push(namespace, warning, name.to_owned())
    }

    fn push_many(&mut self, namespace: &str, count: usize) -> usize {
        let pushed = (0..count).filter(|n| self.push(namespace, false, &format!("{namespace}/{n}")).is_none());
        pushed.count()
    }

    /// Everything that is written from now on until nothing waits: when, and what.
    fn written(&mut self) -> Vec<(Duration, String)> {
        let mut written = Vec::new();
        loop {
            match self.queues.next(self.now) {
                Next::Write { namespace, item } => {
                    self.queues.written(namespace, self.now);
                    written.push((self.now - self.began, item));
                }
                Next::LookAgain(Some(at)) if self.queues.waiting > 0 => {
                    assert!(at > self.now, "it would look again and again");
                    self.now = at;
                }
                Next::LookAgain(_) => return written,
            }
        }
    }

    /// Writes what may be written now.
    fn write_now(&mut self) -> Vec<String> {
        let mut written = Vec::new();
        while let Next::Write { namespace, item } = self.queues.next(self.now) {
            self.queues.written(namespace, self.now);
            written.push(item);
        }
        written
    }
}

#[test]
fn a_burst_goes_out_at_once_and_the_rest_at_the_pace_of_its_namespace() {
    let mut clock = Clock::new();
    clock.push_many("a", 45);
    let times: Vec<Duration> = clock.written().into_iter().map(|(time, _)| time).collect();
    assert_eq!(times.len(), 45);
    assert_eq!(times[24], Duration::ZERO);
    for (nth, time) in times[25..].iter().enumerate() {
        assert_eq!(*time, PER_NAMESPACE.every * (nth as u32 + 1));
    }
}

#[test]
fn the_burst_comes_back_and_is_no_larger_after_a_long_time() {
    let mut clock = Clock::new();
    clock.push_many("a", 25);
    assert_eq!(clock.write_now().len(), 25);
    clock.push_many("a", 100);
    clock.now += PER_NAMESPACE.every * 5;
    assert_eq!(clock.write_now().len(), 5);
    clock.now += SECOND * 3600;
    assert_eq!(clock.write_now().len(), 25);
}

#[test]
fn a_namespace_in_trouble_does_not_hold_up_another() {
    let mut clock = Clock::new();
    clock.push_many("noisy", 1000);
    clock.now += SECOND;
    clock.write_now();
    clock.push("quiet", false, "quiet/0");
    assert_eq!(clock.write_now(), ["quiet/0"]);
}

/// Even with all of the overall rate in use, each namespace has its turn.
#[test]
fn namespaces_are_served_in_turn() {
    let mut clock = Clock::new();
    for n in 0..10 {
        clock.push_many(&format!("noisy-{n}"), 200);
    }
    let written = clock.write_now();
    assert_eq!(written.len(), 100, "the overall burst");
    for n in 0..10 {
        let own = format!("noisy-{n}/");
        assert_eq!(
            written.iter().filter(|item| item.starts_with(&own)).count(),
            10,
            "{own}"
        );
    }
    clock.push("quiet", false, "quiet/0");
    let began = clock.now - clock.began;
    let written = clock.written();
    let (time, _) = written.iter().find(|(_, item)| item == "quiet/0").unwrap();
    assert!(*time - began <= OVERALL.every * 11, "after all others once: {time:?}");
    assert_eq!(written.len(), 1901);
    let (last, _) = written.last().unwrap();
    assert_eq!(*last - began, OVERALL.every * 1901, "and the overall rate holds");
}

#[test]
fn warnings_come_first_within_their_namespace() {
    let mut clock = Clock::new();
    clock.push("a", false, "normal");
    clock.push("a", true, "first warning");
    clock.push("a", true, "second warning");
    clock.push("b", false, "other");
    assert_eq!(
        clock.write_now(),
        ["first warning", "other", "second warning", "normal"]
    );
}

#[test]
fn one_item_of_a_namespace_is_written_at_a_time() {
    let mut clock = Clock::new();
    clock.push_many("slow", 2);
    let Next::Write { namespace, .. } = clock.queues.next(clock.now) else {
        panic!("there is one")
    };
    assert_eq!(clock.queues.next(clock.now), Next::LookAgain(None));
    clock.push("quick", false, "quick/0");
    assert_eq!(clock.write_now(), ["quick/0"]);
    clock.queues.written(namespace, clock.now);
    assert_eq!(clock.write_now(), ["slow/1"]);
}

#[test]
fn a_full_namespace_loses_its_latest_and_keeps_its_warnings() {
    let mut clock = Clock::new();
    assert_eq!(clock.push_many("a", WAITING_IN_NAMESPACE + 5), WAITING_IN_NAMESPACE);
    let latest = format!("a/{}", WAITING_IN_NAMESPACE - 1);
    assert_eq!(clock.push("a", true, "warning"), Some(latest));
    assert_eq!(clock.push("b", false, "other"), None);
    for n in 1..WAITING_IN_NAMESPACE {
        clock.push("a", true, &n.to_string());
    }
    assert_eq!(
        clock.push("a", true, "last"),
        Some("last".to_owned()),
        "of warnings too"
    );
    assert_eq!(clock.write_now()[..2], ["warning", "other"]);
}

/// The bound of all namespaces together costs the largest, not whoever comes last.
#[test]
fn too_many_in_all_cost_the_namespace_with_the_most() {
    let mut clock = Clock::new();
    for n in 0..WAITING / WAITING_IN_NAMESPACE {
        clock.push_many(&n.to_string(), WAITING_IN_NAMESPACE - usize::from(n > 0));
    }
    clock.push_many("filler", WAITING - clock.queues.waiting);
    let dropped = clock.push("small", false, "small/0");
    assert_eq!(dropped, Some(format!("0/{}", WAITING_IN_NAMESPACE - 1)));
    assert_eq!(clock.queues.waiting, WAITING);
}

/// More namespaces than may wait in all: memory stays bounded, and nothing is kept of those whose item was dropped.
#[test]
fn many_namespaces_take_no_more_room_than_their_items() {
    let mut clock = Clock::new();
    for n in 0..2 * WAITING {
        clock.push(&n.to_string(), false, "only");
    }
    assert_eq!(clock.queues.waiting, WAITING);
    assert_eq!(clock.queues.namespaces.len(), WAITING);
    assert_eq!(clock.queues.turns.len(), WAITING);
    clock.written();
    assert!(clock.queues.namespaces.len() <= 60, "{}", clock.queues.namespaces.len());
}

#[test]
fn nothing_is_kept_of_a_quiet_namespace() {
    let mut clock = Clock::new();
    clock.push_many("a", 30);
    clock.push_many("b", 1);
    clock.written();
    assert_eq!(clock.queues.namespaces.len(), 2);
    // The loop is woken for it.
    while let Next::LookAgain(Some(at)) = clock.queues.next(clock.now) {
        assert!(at > clock.now);
        clock.now = at;
    }
    assert!(clock.queues.namespaces.is_empty());
    assert!(clock.queues.turns.is_empty() && clock.queues.recent.is_empty());
}
