mod model;

use proptest::prelude::*;

use super::*;
use crate::token::fixtures::at;

const FLOOR: i64 = 30;

fn terms(source: &str, ready: usize) -> Terms {
    Terms {
        source: source.to_owned(),
        ready,
        floor: SignedDuration::from_secs(FLOOR),
        uid: "uid".to_owned(),
    }
}

fn token(value: u32, issued: i64, life: i64) -> Ready<u32> {
    Ready {
        value,
        issued_at: at(issued),
        usable_until: at(issued + life),
    }
}

/// A pool whose time goes on by hand.
struct World {
    pool: Pool<u32>,
    terms: Option<Terms>,
    now: i64,
    minted: u32,
    life: i64,
}

impl World {
    fn new(ready: usize, life: i64) -> Self {
        Self {
            pool: Pool::default(),
            terms: Some(terms("a", ready)),
            now: 0,
            minted: 0,
            life,
        }
    }

    fn ask(&mut self) -> (Option<u32>, Next) {
        let step = self.pool.step(Event::Asked(self.terms.clone().unwrap()), at(self.now));
        (step.given, self.look())
    }

    fn look(&mut self) -> Next {
        self.pool.step(Event::Looked(self.terms.clone()), at(self.now)).next
    }

    fn end(&mut self, end: MintEnd<u32>) -> Next {
        let event = Event::MintEnded(self.terms.clone(), end);
        self.pool.step(event, at(self.now)).next
    }

    fn mint(&mut self) -> Next {
        self.minted += 1;
        self.end(MintEnd::Minted(token(self.minted, self.now, self.life)))
    }

    /// Mints as long as the pool asks for it.
    fn fill(&mut self, mut next: Next) -> Next {
        while next == Next::Mint {
            next = self.mint();
        }
        next
    }
}

#[test]
fn a_limit_that_is_over_already_is_waited_out_for_a_second() {
    let mut world = World::new(1, 600);
    let (_, next) = world.ask();
    assert_eq!(next, Next::Mint);
    assert_eq!(world.end(MintEnd::Limited(at(0))), Next::Wait(at(1)));
}

#[test]
fn fills_at_the_first_request_and_gives_the_oldest() {
    let mut world = World::new(3, 600);
    assert_eq!(world.look(), Next::Rest, "nobody has asked");
    let (given, next) = world.ask();
    assert_eq!((given, next), (None, Next::Mint));
    assert!(matches!(world.fill(next), Next::Wait(_)));
    assert_eq!((world.pool.len(), world.minted), (3, 3));
    let (given, next) = world.ask();
    assert_eq!((given, next), (Some(1), Next::Mint));
    assert_eq!(world.ask(), (Some(2), Next::Wait(at(600))), "one mint at a time");
}

#[test]
fn a_token_near_its_end_is_dropped_and_replaced() {
    let mut world = World::new(1, 600);
    let (_, next) = world.ask();
    let Next::Wait(until) = world.fill(next) else {
        panic!("full")
    };
    assert!((568..570).contains(&(until.as_second() - at(0).as_second())), "{until}");
    world.now = 568;
    assert_eq!(world.ask().0, Some(1), "30 s for the caller, 2 s for the answer");
    world.mint();
    world.now = 568 + 569;
    assert_eq!(world.ask().0, None, "31 s are too few");
}

#[test]
fn rests_when_nobody_asks_for_a_life_and_wakes_at_the_next_request() {
    let mut world = World::new(2, 600);
    let (_, next) = world.ask();
    world.fill(next);
    world.now = 599;
    let next = world.look();
    world.fill(next);
    assert_eq!(world.minted, 4, "the first two have fallen below the floor");
    world.now = 600;
    assert_eq!((world.look(), world.pool.len()), (Next::Rest, 0));
    world.now = 10_000;
    assert_eq!(world.ask(), (None, Next::Mint));
}

#[test]
fn other_terms_drop_all_and_a_token_of_the_old_ones_is_thrown_away() {
    let mut world = World::new(2, 600);
    let (_, next) = world.ask();
    world.fill(next);
    assert_eq!(world.ask(), (Some(1), Next::Mint));
    world.terms = Some(terms("b", 2));
    assert_eq!(world.ask().0, None);
    assert_eq!(world.pool.len(), 0);
    assert_eq!(
        world.mint(),
        Next::Mint,
        "what comes is still of the old spec, so another is minted"
    );
    assert_eq!(world.pool.len(), 0);
    let next = world.mint();
    world.fill(next);
    world.terms = None; // suspended, deleted, blocked
    assert_eq!((world.look(), world.pool.len()), (Next::Rest, 0));
}

#[test]
fn fewer_wanted_tokens_are_kept_at_once() {
    let mut world = World::new(5, 600);
    let (_, next) = world.ask();
    world.fill(next);
    world.terms = Some(terms("a", 2));
    world.look();
    assert_eq!(world.pool.len(), 2);
    world.terms = Some(terms("a", 0));
    assert_eq!((world.look(), world.pool.len()), (Next::Rest, 0));
}

#[test]
fn a_limit_a_refused_key_and_an_outage_stop_it() {
    let seconds = |next| match next {
        Next::Wait(until) => until.duration_since(at(0)).as_secs(),
        other => panic!("{other:?}"),
    };
    let wait = |end: MintEnd<u32>| {
        let mut world = World::new(1, 600);
        world.ask();
        seconds(world.end(end))
    };
    assert_eq!(wait(MintEnd::Busy), 1);
    assert_eq!(wait(MintEnd::Limited(at(77))), 77);
    let throttled = MintError::Throttled {
        retry_after: Some(SignedDuration::from_secs(50)),
        message: String::new(),
    };
    assert_eq!(wait(MintEnd::Failed(throttled)), 50);
    let message = String::new();
    assert_eq!(wait(MintEnd::Failed(MintError::QuotaExhausted { message })), 240);
    assert!((30..=60).contains(&wait(MintEnd::Failed(MintError::wrong_key("")))));
    assert!((1..=2).contains(&wait(MintEnd::Failed(MintError::unavailable("")))));
    // Another key is tried soon.
    let mut world = World::new(1, 600);
    world.ask();
    world.end(MintEnd::Failed(MintError::wrong_key("")));
    world.terms = Some(terms("b", 1));
    assert_eq!(seconds(world.look()), 1);
    world.now = 1;
    assert_eq!(world.look(), Next::Mint);
}

#[test]
fn tokens_that_live_too_short_are_not_minted_again_and_again() {
    let mut world = World::new(3, FLOOR);
    world.ask();
    let Next::Wait(until) = world.mint() else {
        panic!("it must wait")
    };
    assert!(
        until <= at(FLOOR) && world.pool.len() == 0,
        "it rests after a life: {until}"
    );
    world.now = FLOOR - 1;
    assert!(matches!(world.look(), Next::Wait(_)));
}

#[test]
fn tokens_that_barely_outlive_the_floor_are_not_minted_again_and_again() {
    let mut world = World::new(1, FLOOR + 4);
    let (_, next) = world.ask();
    world.fill(next);
    let (given, next) = world.ask();
    assert_eq!(given, Some(1), "it may be handed out at once");
    world.fill(next);
    for now in 1..600 {
        world.now = now;
        let (_, next) = world.ask();
        world.fill(next);
    }
    assert_eq!(world.minted, 1);
    world.now = 600;
    assert_eq!(world.ask(), (None, Next::Mint), "the provider may have changed");
}

#[test]
fn a_clock_set_back_leaves_nothing_in_the_pool() {
    let mut world = World::new(2, 600);
    world.now = 5000;
    let (_, next) = world.ask();
    world.fill(next);
    world.now = 0;
    assert_eq!(world.ask().0, None);
}

#[derive(Clone, Debug)]
enum Do {
    Ask,
    Look,
    Mint,
    Fail(u8),
    Pass(i64),
    Change(u8, usize),
    Suspend,
}

fn what_happens() -> impl Strategy<Value = Do> {
    prop_oneof![
        4 => Just(Do::Ask),
        1 => Just(Do::Look),
        4 => Just(Do::Mint),
        1 => (0u8..6).prop_map(Do::Fail),
        2 => (-5i64..400).prop_map(Do::Pass),
        1 => (0u8..3, 0usize..4).prop_map(|(source, ready)| Do::Change(source, ready)),
        1 => Just(Do::Suspend),
    ]
}

fn failure(which: u8, now: i64) -> MintEnd<u32> {
    let message = String::new();
    match which {
        0 => MintEnd::Busy,
        1 => MintEnd::Limited(at(now + 30)),
        2 => MintEnd::Failed(MintError::unavailable("")),
        3 => MintEnd::Failed(MintError::wrong_key("")),
        4 => MintEnd::Failed(MintError::QuotaExhausted { message }),
        _ => MintEnd::Limited(at(now - 30)),
    }
}

proptest! {
    /// Whatever happens: no token twice, none of other terms, none below the floor, never more than wanted, one mint at
    /// a time; and once nobody asks it rests.
    #[test]
    fn never_twice_never_below_the_floor_never_too_many(life in 1i64..900, events in prop::collection::vec(what_happens(), 1..200)) {
        let mut world = World::new(2, life);
        let mut minted = std::collections::HashMap::new();
        let mut under_way: Option<String> = None;
        for event in events {
            let mut given = None;
            let next = match event {
                Do::Ask if world.terms.is_some() => {
                    let (token, next) = world.ask();
                    given = token;
                    next
                }
                Do::Ask | Do::Look => world.look(),
                Do::Mint | Do::Fail(_) if under_way.is_none() => continue,
                Do::Mint => {
                    minted.insert(world.minted + 1, (under_way.take(), world.now + life));
                    world.mint()
                }
                Do::Fail(which) => {
                    under_way = None;
                    world.end(failure(which, world.now))
                }
                Do::Pass(seconds) => {
                    world.now += seconds;
                    continue;
                }
                Do::Change(source, ready) => {
                    world.terms = Some(terms(&source.to_string(), ready));
                    world.look()
                }
                Do::Suspend => {
                    world.terms = None;
                    world.look()
                }
            };
            if next == Next::Mint {
                prop_assert!(under_way.is_none(), "two mints at a time");
                under_way = Some(world.terms.clone().unwrap().source);
            }
            let ready = world.terms.as_ref().map_or(0, |terms| terms.ready);
            prop_assert!(world.pool.len() + usize::from(next == Next::Mint) <= ready);
            if let Some(token) = given {
                let (source, until) = minted.remove(&token).expect("handed out before");
                prop_assert_eq!(source, world.terms.as_ref().map(|terms| terms.source.clone()));
                prop_assert!(until - world.now >= FLOOR);
            }
        }
        if under_way.is_some() {
            let next = world.mint();
            world.fill(next);
        }
        for _ in 0..10_000 {
            match world.look() {
                Next::Rest => {
                    prop_assert_eq!(world.pool.len(), 0);
                    return Ok(());
                }
                Next::Mint => {
                    let next = world.mint();
                    world.fill(next);
                }
                Next::Wait(until) => {
                    prop_assert!(until > at(world.now), "a wait that has passed");
                    world.now += 1 + until.duration_since(at(world.now)).as_secs();
                }
            }
        }
        prop_assert!(false, "it never rests");
    }
}
