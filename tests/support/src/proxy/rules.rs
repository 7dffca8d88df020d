//! Which request is disturbed in which way. Pure: no connection, no clock.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use super::asked::Asked;

/// What happens to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is passed on this much later. Adds up with others.
    Latency(Duration),
    /// It is taken and never answered; the server never sees it.
    Hang,
    /// Its connection is reset before the server sees it.
    ResetBefore,
    /// The server does what it was asked; then the connection is reset in the place of an answer.
    ResetAfter,
    /// It is answered with this status and, if given, `Retry-After` in seconds; the server never sees it.
    Status { code: u16, retry_after: Option<u32> },
    /// The answer's body comes in so many bytes at a time, with this much time between.
    SlowBody { bytes: usize, every: Duration },
    /// The answer's body breaks off after so many bytes, in the middle of a line if need be, as if it were whole.
    Torn { after: usize },
    /// Of a watch: begins, and never says anything.
    SilentWatch,
    /// Of a watch: says everything twice.
    RepeatedWatch,
    /// Of a watch: says that its resourceVersion is too old (410), and ends.
    GoneWatch,
}

impl Effect {
    fn is_of_watches(&self) -> bool {
        matches!(self, Self::SilentWatch | Self::RepeatedWatch | Self::GoneWatch)
    }
}

/// An effect, and the requests that it is for.
#[derive(Clone, Debug)]
pub struct Rule {
    effect: Effect,
    verbs: &'static [&'static str],
    resources: &'static [&'static str],
    /// Of 100 requests, how many.
    percent: u64,
    left: Option<usize>,
}

impl Rule {
    /// For every request; of an effect about watches, for every watch.
    pub fn new(effect: Effect) -> Self {
        Self {
            effect,
            verbs: &[],
            resources: &[],
            percent: 100,
            left: None,
        }
    }

    /// For these verbs only: see [`crate::cluster::Request::verb`].
    pub fn verbs(mut self, verbs: &'static [&'static str]) -> Self {
        self.verbs = verbs;
        self
    }

    /// For these resources only, such as `secrets` and `realtimetokens/status`.
    pub fn resources(mut self, resources: &'static [&'static str]) -> Self {
        self.resources = resources;
        self
    }

    /// For so many of 100 of them, as the seed has it.
    pub fn percent(mut self, percent: u64) -> Self {
        self.percent = percent;
        self
    }

    /// For the next `n` of them only.
    pub fn times(mut self, n: usize) -> Self {
        self.left = Some(n);
        self
    }

    fn is_for(&self, asked: &Asked) -> bool {
        (self.verbs.is_empty() || self.verbs.contains(&asked.verb))
            && (self.resources.is_empty() || self.resources.contains(&&*asked.target()))
            && (asked.verb == "WATCH" || !self.effect.is_of_watches())
    }
}

/// What is done to one request.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) wait: Duration,
    pub(super) effect: Option<Effect>,
}

/// The rules in force.
pub(super) struct Rules {
    seed: u64,
    rules: Vec<Rule>,
    /// How many requests of each verb there were for each object.
    seen: HashMap<(&'static str, String, String, String), u64>,
}

impl Rules {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            rules: Vec::new(),
            seen: HashMap::new(),
        }
    }

    pub(super) fn add(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Latencies add up; of the other effects the first whose rule hits it.
    pub(super) fn judge(&mut self, asked: &Asked) -> Verdict {
        let object = (asked.verb, asked.target(), asked.namespace.clone(), asked.name.clone());
        let nth = self.seen.entry(object).or_default();
        *nth += 1;
        let mut verdict = Verdict::default();
        for (place, rule) in self.rules.iter_mut().enumerate() {
            let spent = rule.left == Some(0);
            if spent || !rule.is_for(asked) || dice(self.seed, place, asked, *nth) >= rule.percent {
                continue;
            }
            match rule.effect {
                Effect::Latency(by) => verdict.wait += by,
                _ if verdict.effect.is_some() => continue,
                _ => verdict.effect = Some(rule.effect.clone()),
            }
            rule.left = rule.left.map(|left| left - 1);
        }
        verdict
    }
}

/// From 0 to 99, the same for the same request of the same run. Namespaces are left out: their names are random.
fn dice(seed: u64, rule: usize, asked: &Asked, nth: u64) -> u64 {
    let mut hasher = DefaultHasher::new();
    (seed, rule, asked.verb, asked.target(), &asked.name, nth).hash(&mut hasher);
    hasher.finish() % 100
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(name: &str) -> Asked {
        Asked {
            verb: "PATCH",
            group: String::new(),
            resource: "secrets".to_owned(),
            subresource: String::new(),
            namespace: "shop".to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_seed_decides_by_object_and_not_by_order() {
        let hit = |seed: u64, names: &[&str]| {
            let mut rules = Rules::new(seed);
            rules.add(Rule::new(Effect::Hang).verbs(&["PATCH"]).percent(30));
            let mut hit: Vec<(String, bool)> = Vec::new();
            for _ in 0..50 {
                for name in names {
                    let verdict = rules.judge(&patch(name));
                    hit.push(((*name).to_owned(), verdict.effect.is_some()));
                }
            }
            hit.sort_by(|a, b| a.0.cmp(&b.0)); // stable: the order within one object stays
            hit
        };
        let one = hit(1, &["a", "b"]);
        assert_eq!(one, hit(1, &["b", "a"]));
        assert_ne!(one, hit(2, &["a", "b"]));
        let share = one.iter().filter(|(_, hit)| *hit).count();
        assert!((15..=45).contains(&share), "30 % of 100 are {share}");
    }

    #[test]
    fn latencies_add_up_and_of_the_others_the_first_counts() {
        let second = Duration::from_secs(1);
        let mut rules = Rules::new(0);
        rules.add(Rule::new(Effect::Latency(second)));
        rules.add(Rule::new(Effect::GoneWatch));
        rules.add(Rule::new(Effect::ResetAfter).resources(&["secrets"]).times(1));
        rules.add(Rule::new(Effect::ResetBefore).resources(&["secrets"]));
        rules.add(Rule::new(Effect::Latency(second)).verbs(&["PUT"]));
        let effects: Vec<_> = (0..2).map(|_| rules.judge(&patch("a")).effect).collect();
        assert_eq!(effects, [Some(Effect::ResetAfter), Some(Effect::ResetBefore)]);
        let mut put = patch("a");
        put.verb = "PUT";
        put.resource = "leases".to_owned();
        let verdict = rules.judge(&put);
        assert_eq!((verdict.wait, verdict.effect), (2 * second, None));
    }
}
