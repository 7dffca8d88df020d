//! The namespaces that use a credential share it: whoever asks for more than its share waits, and no other.

use std::collections::BTreeMap;

use super::*;

const KEY: &str = "key";

/// A token of a namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Token {
    pub(super) namespace: String,
    pub(super) number: usize,
}

impl TokenName for Token {
    fn namespace(&self) -> &str {
        &self.namespace
    }
}

pub(super) fn token(namespace: impl ToString, number: usize) -> Token {
    let namespace = namespace.to_string();
    Token { namespace, number }
}

const FAR: Priority = Priority::Renewal { by: Timestamp::MAX };

fn renewal(second: i64) -> Priority {
    Priority::Renewal { by: at(second) }
}

fn first_issue() -> Priority {
    Priority::FirstIssue { since: at(0) }
}

/// One mint at a time, which ends before the next begins.
struct Turns {
    budgets: Budgets<&'static str, Token>,
    occupied_by: Option<Token>,
}

impl Turns {
    /// With a mint under way, so that all others queue.
    fn new() -> Self {
        let (budgets, occupied_by) = (Budgets::new(1), token("occupies", 0));
        assert_eq!(budgets.acquire(&KEY, &occupied_by, FAR, at(0)), Admission::Go);
        let occupied_by = Some(occupied_by);
        Self { budgets, occupied_by }
    }

    fn ask(&self, token: &Token, priority: Priority) {
        assert_ne!(self.budgets.acquire(&KEY, token, priority, at(0)), Admission::Go);
    }

    fn ask_all(&self, namespace: &str, count: usize, priority: Priority) {
        (0..count).for_each(|number| self.ask(&token(namespace, number), priority));
    }

    /// The mint under way ends; the next begins, if any waits.
    fn next(&mut self, ending: Ending) -> Option<Token> {
        if let Some(before) = self.occupied_by.take() {
            self.budgets.release(&KEY, &before, ending, at(0));
        }
        let mut woken = self.budgets.poll(at(0)).0.into_iter();
        self.occupied_by = woken.next();
        assert_eq!(woken.next(), None, "one at a time");
        if let Some(token) = &self.occupied_by {
            assert_eq!(self.budgets.acquire(&KEY, token, FAR, at(0)), Admission::Go);
        }
        self.occupied_by.clone()
    }

    /// The namespaces of the next so many.
    fn served(&mut self, count: usize) -> Vec<String> {
        let next = |_| self.next(Ending::Granted).map(|token| token.namespace);
        (0..count).map_while(next).collect()
    }
}

#[test]
fn namespaces_take_turns_however_much_each_wants() {
    let mut turns = Turns::new();
    turns.ask_all("many", 50, first_issue());
    turns.ask_all("few", 3, FAR);
    turns.ask_all("one", 1, first_issue());
    let served = turns.served(8);
    assert_eq!(served, ["many", "few", "one", "many", "few", "many", "few", "many"]);
}

#[test]
fn a_namespace_alone_gets_every_slot() {
    let mut turns = Turns::new();
    turns.ask_all("alone", 100, first_issue());
    assert_eq!(turns.served(200).len(), 100);
}

/// What it had before counts, and what it did not have for hours is no right to a flood.
#[test]
fn a_rest_is_worth_ten_mints() {
    let mut turns = Turns::new();
    turns.ask_all("busy", 100, first_issue());
    assert_eq!(turns.served(60).len(), 60);
    turns.ask_all("rested", 50, first_issue());
    let served = turns.served(20);
    let of_rested = |served: &[String]| served.iter().filter(|namespace| *namespace == "rested").count();
    assert_eq!(of_rested(&served[..10]), 10);
    assert_eq!(of_rested(&served), 15);
}

#[test]
fn a_renewal_that_is_near_goes_first_unless_its_namespace_had_more_than_its_share() {
    let mut turns = Turns::new();
    turns.ask_all("busy", 100, renewal(1));
    assert_eq!(turns.served(30).len(), 30);
    turns.ask_all("starts", 5, first_issue());
    turns.ask(&token("renews", 1), renewal(40));
    turns.ask(&token("renews", 2), renewal(20));
    turns.ask(&token("renews", 3), renewal(3600));
    let next = |turns: &mut Turns| turns.next(Ending::Granted).unwrap();
    assert_eq!(next(&mut turns), token("renews", 2));
    assert_eq!(next(&mut turns), token("renews", 1));
    assert_eq!(next(&mut turns).namespace, "starts", "it had fewest");
}

/// Otherwise a namespace would have the others pay for its mistakes.
#[test]
fn a_mint_that_fails_counts_twice() {
    let mut turns = Turns::new();
    turns.ask_all("right", 100, first_issue());
    turns.ask_all("wrong", 100, first_issue());
    let mut count = BTreeMap::<String, usize>::new();
    let mut ending = Ending::Granted;
    for _ in 0..60 {
        let token = turns.next(ending).unwrap();
        ending = match token.namespace == "wrong" {
            true => Ending::Refused,
            false => Ending::Granted,
        };
        *count.entry(token.namespace).or_default() += 1;
    }
    assert_eq!((count["right"], count["wrong"]), (40, 20));
}

/// A renewal whose last mint met an outage waits for its namespace's turn, and is no longer urgent.
#[test]
fn what_has_failed_goes_last_in_its_namespace_and_delays_no_other() {
    let mut turns = Turns::new();
    turns.budgets.wait_out(&KEY, &token("a", 0), 1, at(0), at(0));
    turns.ask(&token("a", 0), renewal(1));
    turns.ask(&token("a", 1), FAR);
    turns.ask(&token("b", 0), first_issue());
    turns.ask(&token("b", 1), first_issue());
    let order: Vec<_> = std::iter::from_fn(|| turns.next(Ending::Granted)).collect();
    assert_eq!(order, [token("a", 1), token("b", 0), token("a", 0), token("b", 1)]);
}

#[test]
fn asking_again_costs_no_place_and_gains_none() {
    let mut turns = Turns::new();
    turns.ask(&token("a", 0), renewal(30));
    turns.ask(&token("b", 0), renewal(31));
    turns.ask_all("c", 20, first_issue());
    for _ in 0..10 {
        turns.ask(&token("a", 0), renewal(50));
        turns.ask_all("c", 20, first_issue());
    }
    assert_eq!(turns.served(3), ["a", "b", "c"]);
}

#[test]
fn what_leaves_the_queue_is_not_woken_and_holds_no_slot() {
    let mut turns = Turns::new();
    let (suspended, woken, other) = (token("a", 0), token("a", 1), token("b", 0));
    for token in [&suspended, &woken, &other] {
        turns.ask(token, first_issue());
    }
    turns.budgets.leave(&suspended);
    turns
        .budgets
        .release(&KEY, &turns.occupied_by.take().unwrap(), Ending::Granted, at(0));
    assert_eq!(turns.budgets.poll(at(0)).0, std::slice::from_ref(&woken));
    assert_eq!(turns.budgets.poll(at(0)).0, [], "its slot is reserved");
    turns.budgets.leave(&woken);
    assert_eq!(turns.budgets.poll(at(0)).0, [other]);
}

/// Whatever namespaces want: no one waits for ever.
#[derive(Clone, Debug)]
enum Do {
    Ask {
        namespace: u8,
        number: usize,
        deadline: Option<i64>,
    },
    Serve(bool),
}

fn step() -> impl Strategy<Value = Do> {
    prop_oneof![
        3 => (0u8..6, 0usize..8, proptest::option::of(0i64..300))
            .prop_map(|(namespace, number, deadline)| Do::Ask { namespace, number, deadline }),
        2 => any::<bool>().prop_map(Do::Serve),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_namespace_waits_for_longer_than_all_others_need(steps in proptest::collection::vec(step(), 1..400)) {
        let mut turns = Turns::new();
        let mut ending = Ending::Granted;
        let mut queued = BTreeMap::<String, BTreeMap<Token, ()>>::new();
        let mut waited = BTreeMap::<String, usize>::new();
        for step in steps {
            match step {
                Do::Ask { namespace, number, deadline } => {
                    let token = token(namespace, number);
                    if turns.occupied_by.as_ref() == Some(&token) {
                        continue;
                    }
                    let priority = deadline.map_or(first_issue(), renewal);
                    match turns.budgets.acquire(&KEY, &token, priority, at(0)) {
                        Admission::Go => turns.occupied_by = Some(token),
                        _ => {
                            queued.entry(token.namespace.clone()).or_default().insert(token, ());
                        }
                    }
                }
                Do::Serve(succeeds) => {
                    let any = !queued.is_empty();
                    let Some(token) = turns.next(ending) else {
                        prop_assert!(!any, "a slot is free, and {queued:?} wait");
                        continue;
                    };
                    ending = if succeeds { Ending::Granted } else { Ending::Refused };
                    let line = queued.get_mut(&token.namespace).unwrap();
                    prop_assert_eq!(line.remove(&token), Some(()), "was not queued");
                    if line.is_empty() {
                        queued.remove(&token.namespace);
                    }
                    waited.remove(&token.namespace);
                    for namespace in queued.keys().filter(|namespace| **namespace != token.namespace) {
                        let slots = waited.entry(namespace.clone()).or_default();
                        *slots += 1;
                        // Five others, of which each was ahead by ten at most.
                        prop_assert!(*slots <= 5 * 14, "{namespace} waits for {slots} slots");
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_namespace_had_is_forgotten_when_it_is_gone() {
    let budget = Budgets::new(8);
    // A verdict that a ClusterRealtimeProvider reports is kept.
    budget.note_verdict(&KEY, accepted("1"));
    for minute in 0..60 {
        for namespace in 0..100 {
            let token = token(format!("{minute}-{namespace}"), 0);
            budget.acquire(&KEY, &token, FAR, at(minute * 60));
            budget.release(&KEY, &token, Ending::Granted, at(minute * 60));
            budget.withdraw(&token);
        }
        budget.poll(at(minute * 60));
        let known = budget.credentials.lock()[KEY].known_namespaces();
        assert!(known <= 1100, "{known} namespaces");
    }
    budget.poll(at(70 * 60));
    assert_eq!(budget.credentials.lock()[KEY].known_namespaces(), 0);
}
