//! An hour of a credential with 60 mints a minute that namespaces share with hostile ones: who edits RealtimeTokens all the
//! time, whether their mints succeed or not, delays its own. In simulated time, with the schedule of a life of 600 s.

use std::collections::{BTreeMap, BTreeSet};

use super::fairness::{Token, token};
use super::*;

const KEY: &str = "key";
const LATENCY: SignedDuration = SignedDuration::from_millis(200);
const LIMIT: RateLimit = limit(60, 10);
const HOUR: i64 = 3600;
/// At most one mint of a RealtimeToken in this time, whatever changes.
const MIN_INTERVAL: i64 = 10;
/// How often a queued token of a hostile namespace is edited.
const EDITED_EVERY: SignedDuration = SignedDuration::from_secs(5);

/// What a RealtimeToken does to the credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    /// Renews its token in time.
    Renews,
    /// Its spec changes all the time.
    Edited,
    /// The same, and the provider refuses each.
    EditedAndRefused,
    /// The same, and each has the provider fail.
    EditedAndFails,
    /// Its tokens are so short that it is always near its deadline.
    ShortLived,
}

const HOSTILE: [Behaviour; 4] = [
    Behaviour::Edited,
    Behaviour::EditedAndRefused,
    Behaviour::EditedAndFails,
    Behaviour::ShortLived,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Rests,
    Queues,
    Mints { began: Timestamp },
}

#[derive(Debug)]
struct Life {
    behaviour: Behaviour,
    doing: Doing,
    /// When it does something by itself.
    next: Timestamp,
    /// By when the successor of its token must be stored.
    swap_by: Option<Timestamp>,
}

struct Hour {
    budgets: Budgets<&'static str, Token>,
    now: Timestamp,
    tokens: BTreeMap<Token, Life>,
    /// The tokens by when they do something by themselves.
    due: BTreeSet<(Timestamp, Token)>,
    began: Vec<Timestamp>,
    /// Renewals that were late, by namespace.
    late: BTreeMap<String, usize>,
    /// First tokens, by namespace, and after how many seconds the last of them came.
    issued: BTreeMap<String, (usize, i64)>,
    mints: BTreeMap<String, usize>,
}

impl Hour {
    fn new(limit: RateLimit) -> Self {
        let hour = Self {
            budgets: Budgets::new(16),
            now: at(0),
            tokens: BTreeMap::new(),
            due: BTreeSet::new(),
            began: Vec::new(),
            late: BTreeMap::new(),
            issued: BTreeMap::new(),
            mints: BTreeMap::new(),
        };
        hour.set_limit(limit);
        hour
    }

    fn set_limit(&self, limit: RateLimit) {
        self.budgets.set_limits(HashMap::from([(KEY, limit)]), self.now);
    }

    /// So many RealtimeTokens, all created now.
    fn create(&mut self, namespace: impl ToString, count: usize, behaviour: impl Fn(usize) -> Behaviour) {
        for number in 0..count {
            let name = token(namespace.to_string(), number);
            self.due.insert((self.now, name.clone()));
            let life = Life {
                behaviour: behaviour(number),
                doing: Doing::Rests,
                next: self.now,
                swap_by: None,
            };
            self.tokens.insert(name, life);
        }
    }

    fn pass(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while self.now < end {
            while let Some((at, name)) = self.due.first().cloned().filter(|(at, _)| *at <= self.now) {
                self.due.remove(&(at, name.clone()));
                match self.tokens[&name].doing {
                    Doing::Mints { began } => self.end(&name, began),
                    Doing::Rests | Doing::Queues => self.ask(&name),
                }
            }
            let (woken, poll_at) = self.budgets.poll(self.now);
            for name in &woken {
                if !matches!(self.tokens[name].doing, Doing::Mints { .. }) {
                    self.ask(name);
                }
            }
            if woken.is_empty() {
                let due = self.due.first().map(|(at, _)| *at);
                let next = due.into_iter().chain(poll_at).filter(|next| *next > self.now).min();
                self.now = next.map_or(end, |next| next.min(end));
            }
        }
    }

    fn set(&mut self, name: &Token, doing: Doing, next: Timestamp) {
        let life = self.tokens.get_mut(name).unwrap();
        self.due.remove(&(life.next, name.clone()));
        (life.doing, life.next) = (doing, next);
        self.due.insert((next, name.clone()));
    }

    fn ask(&mut self, name: &Token) {
        let life = &self.tokens[name];
        let priority = match (life.behaviour, life.swap_by) {
            (Behaviour::Renews, Some(by)) => Priority::Renewal { by },
            (Behaviour::ShortLived, Some(_)) => Priority::Renewal { by: at(0) },
            (Behaviour::Edited, Some(_)) => Priority::Renewal {
                by: self.now + SignedDuration::from_mins(6),
            },
            _ => Priority::FirstIssue { since: self.now },
        };
        match self.budgets.acquire(&KEY, name, priority, self.now) {
            Admission::Go => {
                self.began.push(self.now);
                *self.mints.entry(name.namespace.clone()).or_default() += 1;
                self.set(name, Doing::Mints { began: self.now }, self.now + LATENCY);
            }
            _ if life.behaviour == Behaviour::Renews => self.set(name, Doing::Queues, Timestamp::MAX),
            _ => self.set(name, Doing::Queues, self.now + EDITED_EVERY),
        }
    }

    fn end(&mut self, name: &Token, began: Timestamp) {
        let now = self.now;
        let after = |seconds: i64| now + SignedDuration::from_secs(seconds);
        let life = self.tokens.get_mut(name).unwrap();
        let mut next = after(MIN_INTERVAL);
        let ending = match life.behaviour {
            Behaviour::EditedAndRefused => Ending::Refused,
            Behaviour::EditedAndFails => {
                let slot = self.budgets.slot(&KEY, now);
                next = slot.map_or(next, |slot| next.max(slot));
                Ending::Unavailable { began }
            }
            Behaviour::Edited | Behaviour::ShortLived => {
                life.swap_by = Some(after(390));
                Ending::Granted
            }
            Behaviour::Renews => {
                match life.swap_by {
                    Some(by) if by < now => *self.late.entry(name.namespace.clone()).or_default() += 1,
                    Some(_) => {}
                    None => {
                        let (count, last) = self.issued.entry(name.namespace.clone()).or_default();
                        (*count, *last) = (*count + 1, now.duration_since(at(0)).as_secs());
                    }
                }
                // A life of 600 s is renewed after 300 to 330 s, and is to be replaced by 390 s.
                let jitter = i64::try_from(name.number * 7 % 30).unwrap();
                life.swap_by = Some(began + SignedDuration::from_secs(390));
                next = began + SignedDuration::from_secs(330 - jitter);
                Ending::Granted
            }
        };
        self.set(name, Doing::Rests, next);
        self.budgets.release(&KEY, name, ending, now);
    }

    /// Never more than the rate, and nearly all of it while someone wants it.
    #[track_caller]
    fn assert_rate(&self, seconds: i64) {
        let began = i64::try_from(self.began.len()).unwrap();
        assert!(began >= seconds * 99 / 100, "{began} mints in {seconds} s");
        for window in self.began.windows(71) {
            let took = window[70].duration_since(window[0]).as_millis();
            assert!(took >= 60_000, "71 mints within {took} ms");
        }
    }
}

/// Twenty RealtimeTokens that are edited all the time would take twice the rate.
#[test]
fn a_hostile_namespace_delays_only_itself() {
    for behaviour in HOSTILE {
        let mut hour = Hour::new(LIMIT);
        hour.create("hostile", 20, |_| behaviour);
        hour.pass(600);
        hour.create("victim", 10, |_| Behaviour::Renews);
        hour.pass(HOUR);
        assert_eq!(hour.late, BTreeMap::new(), "{behaviour:?}");
        let (issued, last) = hour.issued["victim"];
        assert!(
            issued == 10 && last <= 620,
            "{behaviour:?}: {issued} first tokens, the last after {last} s"
        );
        let rest = hour.mints["hostile"];
        assert!(rest > 3900, "{behaviour:?}: it has the rest: {rest}");
        hour.assert_rate(HOUR + 600);
    }
}

/// Thirty hostile namespaces beside one whose renewals need no more than its share, a thirty-first: the worst case that
/// the documentation states.
#[test]
fn hostile_namespaces_delay_no_namespace_within_its_share() {
    let mut hour = Hour::new(LIMIT);
    for hostile in 0..30 {
        hour.create(format!("hostile-{hostile}"), 20, move |number| {
            HOSTILE[(hostile + number) % HOSTILE.len()]
        });
    }
    hour.create("victim", 10, |_| Behaviour::Renews);
    hour.pass(HOUR);
    assert_eq!(hour.late, BTreeMap::new());
    assert_eq!(hour.issued["victim"].0, 10);
    assert!(hour.mints["victim"] >= 10 * 10, "{}", hour.mints["victim"]);
    hour.assert_rate(HOUR);
}

/// The limit is lowered, and there are more renewals than it allows: those of the namespace that has too many are late.
#[test]
fn when_renewals_alone_exceed_the_rate_those_within_their_share_keep_the_floor() {
    let mut hour = Hour::new(limit(6000, 100));
    hour.create("huge", 500, |_| Behaviour::Renews);
    for small in 0..3 {
        hour.create(format!("small-{small}"), 16, |_| Behaviour::Renews);
    }
    hour.pass(60);
    assert_eq!(hour.issued["huge"].0, 500);
    hour.set_limit(LIMIT);
    hour.pass(HOUR);
    let late: Vec<_> = hour.late.keys().collect();
    assert_eq!(late, ["huge"], "{:?}", hour.late);
}

/// Otherwise a namespace that grows too large would lose what it has.
#[test]
fn a_namespace_that_grows_beyond_the_rate_keeps_the_tokens_that_it_has() {
    let mut hour = Hour::new(LIMIT);
    hour.create("huge", 500, |_| Behaviour::Renews);
    hour.pass(HOUR);
    assert_eq!(hour.late, BTreeMap::new());
    let (issued, _) = hour.issued["huge"];
    assert!((280..=330).contains(&issued), "{issued} of 500 have a token");
}

/// All have what they want while that is less than the rate.
#[test]
fn no_renewal_is_late_while_the_rate_suffices() {
    let mut hour = Hour::new(LIMIT);
    for namespace in 0..15 {
        hour.create(namespace, 16, |_| Behaviour::Renews);
    }
    hour.pass(HOUR);
    assert_eq!(hour.late, BTreeMap::new());
    assert!(hour.issued.values().all(|(issued, _)| *issued == 16));
}
