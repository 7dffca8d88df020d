//! A provider that is out of order: what its tokens are let do, and when.

use std::collections::BTreeMap;

use super::*;

const KEY: &str = "key";
const LATENCY: SignedDuration = SignedDuration::from_millis(200);

/// What a token is about to do, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    /// Waits by itself.
    Waits(Timestamp),
    Queues,
    Mints {
        began: Timestamp,
        until: Timestamp,
    },
}

/// The tokens of one credential, as the controller moves them.
struct World {
    budgets: Budgets<&'static str, usize>,
    now: Timestamp,
    tokens: BTreeMap<usize, Doing>,
    /// When a mint was let begin, and whether the provider was out of order then.
    began: Vec<(Timestamp, bool)>,
    granted: BTreeMap<usize, Timestamp>,
}

/// What the provider does with a mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Token,
    Refusal,
    Trouble,
}

impl World {
    fn new(tokens: usize, concurrency: usize) -> Self {
        Self {
            budgets: Budgets::new(concurrency),
            now: at(0),
            tokens: (0..tokens).map(|token| (token, Doing::Waits(at(0)))).collect(),
            began: Vec::new(),
            granted: BTreeMap::new(),
        }
    }

    fn is_out(&self) -> bool {
        self.budgets.health(&KEY, self.now).unavailable_since.is_some()
    }

    fn minting(&self) -> usize {
        let minting = |doing: &&Doing| matches!(doing, Doing::Mints { .. });
        self.tokens.values().filter(minting).count()
    }

    /// Lets time pass. `answer` is asked of each mint that ends.
    fn pass(&mut self, time: SignedDuration, mut answer: impl FnMut(usize) -> Answer) {
        let end = self.now + time;
        while self.now < end {
            let tokens: Vec<_> = self.tokens.keys().copied().collect();
            for token in tokens {
                match self.tokens[&token] {
                    Doing::Mints { began, until } if until <= self.now => self.end(token, began, answer(token)),
                    Doing::Waits(until) if until <= self.now => self.acquire(token),
                    _ => {}
                }
            }
            let (woken, poll_at) = self.budgets.poll(self.now);
            for token in &woken {
                if !matches!(self.tokens[token], Doing::Mints { .. }) {
                    self.acquire(*token);
                }
            }
            if woken.is_empty() {
                let own = self.tokens.values().filter_map(|doing| match doing {
                    Doing::Waits(until) | Doing::Mints { until, .. } => Some(*until),
                    Doing::Queues => None,
                });
                let next = own.chain(poll_at).filter(|next| *next > self.now).min();
                self.now = next.map_or(end, |next| next.min(end));
            }
        }
    }

    fn acquire(&mut self, token: usize) {
        let is_out = self.is_out();
        let admission = self.budgets.acquire(&KEY, &token, priority(true, 0), self.now);
        let doing = if admission == Admission::Go {
            self.began.push((self.now, is_out));
            Doing::Mints {
                began: self.now,
                until: self.now + LATENCY,
            }
        } else {
            Doing::Queues
        };
        self.tokens.insert(token, doing);
    }

    fn end(&mut self, token: usize, began: Timestamp, answer: Answer) {
        let slot = self.budgets.slot(&KEY, self.now);
        let ending = match answer {
            Answer::Token => Ending::Granted,
            Answer::Refusal => Ending::Refused,
            Answer::Trouble => Ending::Unavailable { began },
        };
        self.budgets.release(&KEY, &token, ending, self.now);
        let doing = match answer {
            Answer::Token => {
                assert_eq!(self.granted.insert(token, self.now), None, "{token} was minted twice");
                Doing::Waits(Timestamp::MAX)
            }
            Answer::Refusal => Doing::Waits(self.now + SignedDuration::from_secs(60)),
            Answer::Trouble => {
                let own = self.now + SignedDuration::from_secs(1 + i64::try_from(token % 7).unwrap());
                Doing::Waits(slot.map_or(own, |slot| own.max(slot)))
            }
        };
        self.tokens.insert(token, doing);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Whatever the provider answers.
    #[test]
    fn no_two_mints_of_a_key_begin_within_a_second_while_the_provider_is_out_of_order(
        tokens in 1usize..60, concurrency in 1usize..20,
        answers in proptest::collection::vec(prop_oneof![8 => Just(Answer::Trouble), 1 => Just(Answer::Refusal), 1 => Just(Answer::Token)], 1..60),
    ) {
        let mut world = World::new(tokens, concurrency);
        let mut answers = answers.into_iter().cycle();
        for _ in 0..40 {
            let granted = std::mem::take(&mut world.granted);
            for token in granted.into_keys() {
                world.tokens.insert(token, Doing::Waits(world.now)); // it is due again
            }
            world.pass(SignedDuration::from_secs(1), |_| answers.next().unwrap());
            prop_assert!(world.minting() <= concurrency);
        }
        for two in world.began.windows(2) {
            let ((first, out), (second, still_out)) = (two[0], two[1]);
            if out && still_out {
                prop_assert!(second.duration_since(first).as_millis() >= 1000, "{:?}", world.began);
            }
        }
    }

    #[test]
    fn all_tokens_follow_the_first_success_spread_over_seconds(tokens in 4usize..300, concurrency in 4usize..20) {
        outage_and_recovery(tokens, concurrency);
    }
}

#[test]
fn a_thousand_tokens_follow_the_first_success_as_fast_as_may_mint_at_a_time() {
    outage_and_recovery(1000, 16);
}

fn outage_and_recovery(tokens: usize, concurrency: usize) {
    let second = SignedDuration::from_secs(1);
    let mut world = World::new(tokens, concurrency);
    world.pass(second * 100, |_| Answer::Trouble);
    assert!(world.is_out());
    let attempts = world.began.len();
    assert!(attempts <= concurrency + 101, "{attempts}");

    let back = world.now;
    for _ in 0..60 {
        world.pass(second, |_| Answer::Token);
        assert!(world.minting() <= concurrency);
    }
    assert_eq!(world.granted.len(), tokens);
    let mut times: Vec<_> = world.granted.values().map(|at| at.duration_since(back)).collect();
    times.sort();
    // One slot until the first, the spread, and what so many at a time take.
    let in_time = second * 9 + LATENCY * i32::try_from(tokens / concurrency).unwrap();
    assert!(
        times[tokens - 1] <= in_time,
        "the last came after {:?}",
        times[tokens - 1]
    );
    for (n, time) in times.iter().enumerate() {
        let within = times[n..].iter().take_while(|it| **it - *time < second).count();
        assert!(within <= tokens / 4 + 15, "{within} of {tokens} within a second");
    }
}

/// A token that fails for its own spec's sake, and another that fails once.
#[test]
fn failures_of_one_token_and_a_single_one_of_another_are_no_outage() {
    let budget = Budgets::new(8);
    let fail = |token, second| {
        budget.acquire(&KEY, &token, priority(true, 0), at(second));
        let began = at(second);
        budget.release(&KEY, &token, Ending::Unavailable { began }, at(second));
    };
    for second in 0..50 {
        fail("own", second);
    }
    fail("other", 50);
    assert_eq!(budget.health(&KEY, at(50)).unavailable_since, None);
    for token in ["a", "b", "c"] {
        let admission = budget.acquire(&KEY, &token, priority(true, 0), at(50));
        assert_eq!(admission, Admission::Go, "nobody waits");
        budget.release(&KEY, &token, Ending::Refused, at(51));
    }
    assert_eq!(
        budget.health(&KEY, at(51)).unavailable_since,
        None,
        "a refusal is no outage"
    );
    fail("other", 52);
    assert_eq!(budget.health(&KEY, at(52)).unavailable_since, Some(at(52)));
}

#[test]
fn a_token_that_has_failed_goes_behind_those_that_were_not_tried() {
    let budget = Budgets::new(1);
    let began = at(0);
    for token in ["a", "b", "a", "b"] {
        budget.acquire(&KEY, &token, priority(false, 0), at(0));
        budget.release(&KEY, &token, Ending::Unavailable { began }, at(0));
    }
    for (token, has_token) in [("a", false), ("renewal", true)] {
        let admission = budget.acquire(&KEY, &token, priority(has_token, 0), at(0));
        assert_eq!(admission, Admission::Queued);
    }
    assert_eq!(budget.poll(at(0)), (vec![], Some(at(1))));
    assert_eq!(budget.poll(at(1)).0, ["renewal"]);
}

/// A slot far away is said, so that the status can name it; it is kept when the token asks again.
#[test]
fn a_token_learns_when_its_turn_is() {
    let budget = Budgets::new(4);
    let began = at(0);
    for token in [0, 1, 2, 3] {
        budget.acquire(&KEY, &token, priority(true, 0), at(0));
        budget.release(&KEY, &token, Ending::Unavailable { began }, at(0));
    }
    let ask = |token, now| budget.acquire(&KEY, &token, priority(false, now), at(now));
    let asked: Vec<_> = (10..40).map(|token| ask(token, 0)).collect();
    assert_eq!(asked[0], Admission::Queued, "within seconds");
    assert_eq!(asked[29], Admission::Unavailable(at(30)));
    assert_eq!(budget.slot(&KEY, at(0)), Some(at(35)), "a round later");
    assert_eq!(ask(20, 0), Admission::Unavailable(at(11)), "it keeps its place");
}

#[test]
fn a_mint_that_began_in_an_outage_and_fails_after_its_end_is_tried_again_at_once() {
    let budget = Budgets::new(8);
    for token in ["a", "b", "c", "d", "hangs", "succeeds"] {
        budget.acquire(&KEY, &token, priority(true, 0), at(0));
    }
    for token in ["a", "b", "c", "d"] {
        budget.release(&KEY, &token, Ending::Unavailable { began: at(0) }, at(1));
    }
    budget.release(&KEY, &"succeeds", Ending::Granted, at(2));
    let (mut woken, _) = budget.poll(at(2));
    woken.sort_unstable();
    assert_eq!(woken, ["a", "b", "c", "d"]);
    budget.release(&KEY, &"hangs", Ending::Unavailable { began: at(0) }, at(20));
    assert_eq!(budget.poll(at(20)).0, ["hangs"]);
    assert_eq!(budget.health(&KEY, at(20)).unavailable_since, None);
}

/// After a restart the tokens tell of their failures, in whatever order they are looked at.
#[test]
fn tokens_that_know_of_failures_make_an_outage_known_and_are_woken_at_its_end() {
    let budget = Budgets::new(8);
    let mut news = budget.subscribe();
    for token in ["a", "b", "c"] {
        budget.wait_out(&KEY, &token, 3, at(0), at(5));
    }
    assert_eq!(budget.poll(at(5)).0, [""; 0]);
    assert_eq!(news.try_recv(), Ok(KEY));
    assert_eq!(budget.health(&KEY, at(5)).unavailable_since, Some(at(5)));
    assert_eq!(budget.acquire(&KEY, &"d", priority(true, 0), at(6)), Admission::Go);
    budget.release(&KEY, &"d", Ending::Granted, at(7));
    budget.wait_out(&KEY, &"late", 3, at(0), at(8));
    let (mut woken, _) = budget.poll(at(8));
    woken.sort_unstable();
    assert_eq!(woken, ["a", "b", "c", "late"]);
    assert_eq!(news.try_recv(), Ok(KEY));
    assert_eq!(budget.health(&KEY, at(8)).unavailable_since, None);
}

#[test]
fn an_outage_is_forgotten_when_nobody_fails_any_more() {
    let budget = Budgets::new(8);
    for token in ["a", "b", "c", "d"] {
        budget.wait_out(&KEY, &token, 3, at(0), at(0));
    }
    for token in ["a", "b"] {
        budget.withdraw(&token);
    }
    assert!(budget.health(&KEY, at(1)).unavailable_since.is_some());
    budget.withdraw(&"c");
    assert_eq!(budget.poll(at(1)).0, ["d"], "alone it waits as any other");
    budget.wait_out(&KEY, &"d", 4, at(2), at(2));
    budget.poll(at(2 + 15 * 60));
    budget.poll(at(2 + 15 * 60));
    assert!(budget.credentials.lock().is_empty());
}

/// Otherwise every failure would count as one from before the end of the outage, and be tried again at once.
#[test]
fn the_end_of_an_outage_in_the_future_is_not_believed() {
    let budget = Budgets::new(8);
    for token in ["a", "b"] {
        budget.wait_out(&KEY, &token, 3, at(3600), at(3600));
    }
    budget.acquire(&KEY, &"c", priority(true, 0), at(3601));
    budget.release(&KEY, &"c", Ending::Granted, at(3602));
    assert_eq!(budget.poll(at(3602)).0.len(), 2);
    // The clock is set back by an hour.
    budget.wait_out(&KEY, &"a", 3, at(2), at(3));
    budget.acquire(&KEY, &"b", priority(true, 0), at(3));
    budget.release(&KEY, &"b", Ending::Unavailable { began: at(3) }, at(3));
    assert_eq!(budget.poll(at(3)).0, [""; 0]);
}
