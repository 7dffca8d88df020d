//! An hour of a credential with 60 mints a minute that namespaces share with hostile ones: who edits RealtimeTokens all the
//! time, whether their mints succeed or not, delays its own. In simulated time, with the schedule of a life of 600 s.

use std::collections::BTreeMap;

use super::fairness::{Token, token};
use super::*;

const KEY: &str = "key";
const LATENCY: SignedDuration = SignedDuration::from_millis(200);
const LIMIT: RateLimit = limit(60, 10);
const HOUR: i64 = 3600;
/// At most one mint of a RealtimeToken in this time, whatever changes.
const MIN_INTERVAL: i64 = 10;
/// How often a queued token of a hostile namespace is edited.
const EDITED_EVERY: SignedDuration = SignedDuration::from_millis(500);

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

#[derive(Clone, Copy, Debug)]
enum Doing {
    Rests { until: Timestamp },
    Queues { edited: Timestamp },
    Mints { began: Timestamp },
}

#[derive(Debug)]
struct Life {
    behaviour: Behaviour,
    doing: Doing,
    /// By when the successor of its token must be stored.
    swap_by: Option<Timestamp>,
}

struct Hour {
    budgets: Budgets<&'static str, Token>,
    now: Timestamp,
    tokens: BTreeMap<Token, Life>,
    began: Vec<Timestamp>,
    /// Renewals that were late, by namespace.
    late: BTreeMap<String, usize>,
    /// First tokens, by namespace, and after how many seconds the last of them came.
    issued: BTreeMap<String, (usize, i64)>,
    mints: BTreeMap<String, usize>,
}

impl Hour {
    fn new(concurrency: usize) -> Self {
        let budgets = Budgets::new(concurrency);
        budgets.set_limits(HashMap::from([(KEY, LIMIT)]), at(0));
        Self {
            budgets,
            now: at(0),
            tokens: BTreeMap::new(),
            began: Vec::new(),
            late: BTreeMap::new(),
            issued: BTreeMap::new(),
            mints: BTreeMap::new(),
        }
    }

    /// So many RealtimeTokens, all created now.
    fn create(&mut self, namespace: impl ToString, count: usize, behaviour: impl Fn(usize) -> Behaviour) {
        for number in 0..count {
            let doing = Doing::Rests { until: self.now };
            let behaviour = behaviour(number);
            let swap_by = None;
            let life = Life {
                behaviour,
                doing,
                swap_by,
            };
            self.tokens.insert(token(namespace.to_string(), number), life);
        }
    }

    fn pass(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while self.now < end {
            let names: Vec<_> = self.tokens.keys().cloned().collect();
            for name in &names {
                match self.tokens[name].doing {
                    Doing::Mints { began } if began + LATENCY <= self.now => self.end(name, began),
                    Doing::Rests { until } if until <= self.now => self.ask(name),
                    Doing::Queues { edited }
                        if self.tokens[name].behaviour != Behaviour::Renews && edited + EDITED_EVERY <= self.now =>
                    {
                        self.ask(name);
                    }
                    _ => {}
                }
            }
            let (woken, poll_at) = self.budgets.poll(self.now);
            for name in &woken {
                if !matches!(self.tokens[name].doing, Doing::Mints { .. }) {
                    self.ask(name);
                }
            }
            if woken.is_empty() {
                let own = self.tokens.values().filter_map(|life| match life.doing {
                    Doing::Rests { until } => Some(until),
                    Doing::Mints { began } => Some(began + LATENCY),
                    Doing::Queues { edited } => (life.behaviour != Behaviour::Renews).then(|| edited + EDITED_EVERY),
                });
                let next = own.chain(poll_at).filter(|next| *next > self.now).min();
                self.now = next.map_or(end, |next| next.min(end));
            }
        }
    }

    fn ask(&mut self, name: &Token) {
        let life = self.tokens.get_mut(name).unwrap();
        let priority = match (life.behaviour, life.swap_by) {
            (Behaviour::Renews, Some(by)) => Priority::Renewal { by },
            (Behaviour::ShortLived, Some(_)) => Priority::Renewal { by: at(0) },
            (Behaviour::Edited, Some(_)) => Priority::Renewal {
                by: self.now + SignedDuration::from_mins(6),
            },
            _ => Priority::FirstIssue { since: self.now },
        };
        life.doing = match self.budgets.acquire(&KEY, name, priority, self.now) {
            Admission::Go => {
                self.began.push(self.now);
                *self.mints.entry(name.namespace.clone()).or_default() += 1;
                Doing::Mints { began: self.now }
            }
            _ => Doing::Queues { edited: self.now },
        };
    }

    fn end(&mut self, name: &Token, began: Timestamp) {
        let after = |seconds: i64| self.now + SignedDuration::from_secs(seconds);
        let life = self.tokens.get_mut(name).unwrap();
        let mut until = after(MIN_INTERVAL);
        let ending = match life.behaviour {
            Behaviour::EditedAndRefused => Ending::Refused,
            Behaviour::EditedAndFails => {
                let slot = self.budgets.slot(&KEY, self.now);
                until = slot.map_or(until, |slot| until.max(slot));
                Ending::Unavailable { began }
            }
            Behaviour::Edited | Behaviour::ShortLived => {
                life.swap_by = Some(after(390));
                Ending::Granted
            }
            Behaviour::Renews => {
                match life.swap_by {
                    Some(by) if by < self.now => *self.late.entry(name.namespace.clone()).or_default() += 1,
                    Some(_) => {}
                    None => {
                        let (count, last) = self.issued.entry(name.namespace.clone()).or_default();
                        (*count, *last) = (*count + 1, self.now.duration_since(at(0)).as_secs());
                    }
                }
                // A life of 600 s is renewed after 300 to 330 s, and is to be replaced by 390 s.
                let jitter = i64::try_from(name.number * 7 % 30).unwrap();
                life.swap_by = Some(began + SignedDuration::from_secs(390));
                until = began + SignedDuration::from_secs(330 - jitter);
                Ending::Granted
            }
        };
        life.doing = Doing::Rests { until };
        self.budgets.release(&KEY, name, ending, self.now);
    }

    /// Never more than the rate, and all of it while someone wants it.
    #[track_caller]
    fn assert_rate(&self, seconds: i64) {
        let most = LIMIT.burst + seconds + 1;
        let began = i64::try_from(self.began.len()).unwrap();
        assert!((seconds - 2..=most).contains(&began), "{began} mints in {seconds} s");
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
        let mut hour = Hour::new(16);
        hour.create("hostile", 20, |_| behaviour);
        hour.pass(600);
        hour.create("victim", 10, |_| Behaviour::Renews);
        hour.pass(HOUR);
        assert_eq!(hour.late, BTreeMap::new(), "{behaviour:?}");
        let (issued, last) = hour.issued["victim"];
        assert!(
            issued == 10 && last <= 615,
            "{behaviour:?}: {issued} first tokens, the last after {last} s"
        );
        assert!(
            hour.mints["hostile"] > 3000,
            "{behaviour:?}: it has the rest: {:?}",
            hour.mints
        );
        hour.assert_rate(HOUR + 600);
    }
}

/// Thirty hostile namespaces beside one whose renewals need no more than its share of a thirty-first: the worst case that
/// the documentation states.
#[test]
fn hostile_namespaces_delay_no_namespace_within_its_share() {
    let mut hour = Hour::new(16);
    for hostile in 0..30 {
        hour.create(format!("hostile-{hostile}"), 20, move |number| {
            HOSTILE[(hostile + number) % 4]
        });
    }
    hour.create("victim", 10, |_| Behaviour::Renews);
    hour.pass(600 + HOUR);
    assert_eq!(hour.late, BTreeMap::new());
    hour.assert_rate(HOUR + 600);
}

/// More renewals than the rate allows: those of the namespace that has too many are late.
#[test]
fn when_renewals_alone_exceed_the_rate_those_within_their_share_keep_the_floor() {
    let mut hour = Hour::new(16);
    hour.create("huge", 500, |_| Behaviour::Renews);
    for small in 0..3 {
        hour.create(format!("small-{small}"), 40, |_| Behaviour::Renews);
    }
    hour.pass(HOUR);
    let late: Vec<_> = hour.late.keys().collect();
    assert_eq!(late, ["huge"], "{:?}", hour.late);
    hour.assert_rate(HOUR);
}

/// All have what they want while that is less than the rate.
#[test]
fn no_renewal_is_late_while_the_rate_suffices() {
    let mut hour = Hour::new(16);
    for namespace in 0..15 {
        hour.create(namespace, 16, |_| Behaviour::Renews);
    }
    hour.pass(HOUR);
    assert_eq!(hour.late, BTreeMap::new());
}
