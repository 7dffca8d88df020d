//! Slots for requests, behind those for Secrets.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::super::*;
use super::{limit, priority};
use crate::api::Reason;
use crate::token::MintError;

const KEY: &str = "key";
const VOICE: &str = "voice";
const LONG: Duration = Duration::from_secs(600);

type Tokens = Arc<Budgets<&'static str, &'static str>>;
type TakenSlot = Slot<&'static str, &'static str>;
type Wait = BoxFuture<'static, Result<TakenSlot, NoSlot>>;

/// A budget under tokio's time.
#[derive(Clone)]
struct World {
    budgets: Tokens,
    start: Instant,
    limit: Option<RateLimit>,
}

impl World {
    fn new(concurrency: usize) -> Self {
        Self {
            budgets: Arc::new(Budgets::new(concurrency)),
            start: Instant::now(),
            limit: None,
        }
    }

    fn now(&self) -> Timestamp {
        super::at(0) + SignedDuration::try_from(self.start.elapsed()).unwrap()
    }

    fn after(&self, seconds: i64) -> Timestamp {
        super::at(seconds)
    }

    /// A request of this token that waits so long.
    fn ask_for(&self, token: &'static str, claim: Claim, patience: Duration) -> Wait {
        let world = self.clone();
        let wait = async move {
            let wanted = SlotRequest {
                credential: &KEY,
                token: &token,
                revision: "1",
                claim,
                limit: world.limit,
            };
            let deadline = Instant::now() + patience;
            world.budgets.slot_for_request(wanted, deadline, || world.now()).await
        };
        wait.boxed()
    }

    fn ask(&self) -> Wait {
        self.ask_for(VOICE, Claim::Caller, LONG)
    }

    /// A slot that is free now.
    #[track_caller]
    fn take(&self) -> TakenSlot {
        self.ask().now_or_never().unwrap().unwrap()
    }

    fn release(&self, slot: TakenSlot, ending: Ending) {
        slot.release(ending, None, self.now());
    }

    fn acquire(&self, secret: &'static str) -> Admission {
        self.budgets
            .acquire(&KEY, &secret, priority(true, 0), self.limit, self.now())
    }

    /// What the controller's task does, once.
    fn woken(&self) -> Vec<&'static str> {
        self.budgets.poll(self.now()).0
    }
}

/// Whether it has a slot by now, or the reason why it gets none.
fn answer(wait: &mut Wait) -> Option<Result<TakenSlot, NoSlot>> {
    Pin::new(wait).now_or_never()
}

#[track_caller]
fn assert_waits(wait: &mut Wait) {
    assert!(answer(wait).is_none());
}

#[track_caller]
fn taken(wait: &mut Wait) -> TakenSlot {
    answer(wait).unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn requests_leave_a_quarter_to_secrets_and_go_in_order() {
    for (concurrency, for_requests) in [(1, 1), (2, 1), (3, 2), (4, 3), (16, 12), (17, 12)] {
        let world = World::new(concurrency);
        let slots: Vec<_> = (0..for_requests).map(|_| world.take()).collect();
        let (mut first, mut second) = (world.ask(), world.ask());
        assert_waits(&mut first);
        assert_waits(&mut second);
        for _ in for_requests..concurrency {
            assert_eq!(world.acquire("secret"), Admission::Go);
        }
        assert_eq!(world.acquire("secret"), Admission::Queued, "of {concurrency}");
        world.budgets.withdraw(&"secret");
        let mut slots = slots.into_iter();
        world.release(slots.next().unwrap(), Ending::Granted);
        assert_waits(&mut second);
        let _first = taken(&mut first);
        assert_waits(&mut second);
        for slot in slots {
            world.release(slot, Ending::Refused);
        }
        assert_eq!(answer(&mut second).is_some(), for_requests > 1);
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_that_wait_go_first() {
    let world = World::new(1);
    let slot = world.take();
    let mut caller = world.ask();
    assert_waits(&mut caller);
    assert_eq!(world.acquire("secret"), Admission::Queued);
    world.release(slot, Ending::Granted);
    assert_waits(&mut caller);
    assert_eq!(world.woken(), ["secret"]);
    assert_waits(&mut caller);
    assert_eq!(world.acquire("secret"), Admission::Go);
    assert_waits(&mut caller);
    world.budgets.release(&KEY, &"secret", Ending::Granted, world.now());
    taken(&mut caller);
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_no_longer_waits_lets_requests_go() {
    let world = World::new(1);
    let slot = world.take();
    let mut caller = world.ask();
    assert_waits(&mut caller);
    world.acquire("secret");
    world.release(slot, Ending::Granted);
    world.budgets.withdraw(&"secret");
    let slot = taken(&mut caller);
    // One that is woken and doesn't come holds a slot for five seconds.
    let mut caller = world.ask();
    assert_waits(&mut caller);
    world.acquire("gone");
    world.release(slot, Ending::Granted);
    assert_eq!(world.woken(), ["gone"]);
    assert!(caller.await.is_ok());
    assert_eq!(world.now(), world.after(5));
}

#[tokio::test(start_paused = true)]
async fn refills_wait_for_callers() {
    let world = World::new(1);
    let slot = world.take();
    let refill = || world.ask_for(VOICE, Claim::Refill, LONG);
    let (mut first, mut second) = (refill(), refill());
    assert_waits(&mut first);
    assert_waits(&mut second);
    let mut caller = world.ask();
    assert_waits(&mut caller);
    world.release(slot, Ending::Granted);
    assert_waits(&mut first);
    let slot = taken(&mut caller);
    world.release(slot, Ending::Granted);
    assert_waits(&mut second);
    let slot = taken(&mut first);
    world.release(slot, Ending::Granted);
    taken(&mut second);
}

#[tokio::test(start_paused = true)]
async fn whoever_goes_away_leaves_slot_and_place() {
    let world = World::new(1);
    let slot = world.take();
    let (mut first, mut second, mut third) = (world.ask(), world.ask(), world.ask());
    for wait in [&mut first, &mut second, &mut third] {
        assert_waits(wait);
    }
    drop(first);
    assert_waits(&mut second);
    drop(slot);
    drop(second);
    let slot = taken(&mut third);
    // The first is woken, and goes away before it has looked.
    let (mut first, mut second) = (world.ask(), world.ask());
    assert_waits(&mut first);
    assert_waits(&mut second);
    drop(slot);
    drop(first);
    drop(taken(&mut second));
    world.woken();
    assert!(world.budgets.credentials.lock().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_caller_waits_until_its_deadline_and_not_longer() {
    let world = World::new(1);
    let slot = world.take();
    let waited = world.ask_for(VOICE, Claim::Caller, Duration::from_secs(9)).await;
    assert_eq!((waited.err(), world.now()), (Some(NoSlot::Busy), world.after(9)));
    world.release(slot, Ending::Granted);
    // A slot that is free is had without any patience.
    let slot = world.ask_for(VOICE, Claim::Caller, Duration::ZERO).await;
    assert!(slot.is_ok());
    assert_eq!(
        world.ask_for(VOICE, Claim::Caller, Duration::ZERO).await.err(),
        Some(NoSlot::Busy)
    );
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded() {
    let world = World::new(1);
    let _slot = world.take();
    let mut queue: Vec<_> = (0..256).map(|_| world.ask()).collect();
    queue.iter_mut().for_each(assert_waits);
    assert_eq!(answer(&mut world.ask()).unwrap().err(), Some(NoSlot::Busy));
    // Pools don't fill the callers' queue.
    assert_waits(&mut world.ask_for(VOICE, Claim::Refill, LONG));
    queue.pop();
    assert_waits(&mut world.ask());
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_the_provider_stops_requests_and_secrets_alike() {
    let world = World::new(8);
    let (slot, other) = (world.take(), world.take());
    let until = world.after(30);
    let mut news = world.budgets.subscribe();
    assert_eq!(slot.release(Ending::Throttled(until), None, world.now()).as_secs(), 30);
    assert_eq!(other.release(Ending::Throttled(until), None, world.now()).as_secs(), 0);
    assert_eq!(news.try_recv(), Ok(KEY));
    assert!(news.try_recv().is_err());
    assert_eq!(world.acquire("secret"), Admission::Limited(until));
    let impatient = world.ask_for(VOICE, Claim::Caller, Duration::from_secs(29)).await;
    let limited = NoSlot::Limited {
        until,
        reason: Reason::RateLimited,
    };
    assert_eq!(
        (impatient.err(), world.now()),
        (Some(limited), world.after(0)),
        "at once"
    );
    // The Secret is the first to ask again, alone.
    let mut patient = world.ask_for(VOICE, Claim::Caller, Duration::from_secs(100));
    assert_waits(&mut patient);
    sleep(Duration::from_secs(30)).await;
    assert_waits(&mut patient);
    assert_eq!(world.woken(), ["secret"]);
    world.acquire("secret");
    assert_waits(&mut patient);
    world.budgets.release(&KEY, &"secret", Ending::Granted, world.now());
    let slot = taken(&mut patient);
    let exhausted = Ending::Exhausted(world.after(270));
    slot.release(exhausted, None, world.now());
    let answer = world.ask_for(VOICE, Claim::Caller, Duration::from_secs(9)).await;
    let reason = Reason::QuotaExhausted;
    let until = world.after(270);
    assert_eq!(answer.err(), Some(NoSlot::Limited { until, reason }));
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_ends_in_time_is_waited_for_without_the_controller() {
    let world = World::new(8);
    let slot = world.take();
    slot.release(Ending::Throttled(world.after(5)), None, world.now());
    let (mut first, mut second) = (world.ask(), world.ask());
    assert_waits(&mut first);
    assert_waits(&mut second);
    let slot = first.await.unwrap();
    assert_eq!(world.now(), world.after(5));
    assert_waits(&mut second);
    world.release(slot, Ending::Granted);
    taken(&mut second);
}

#[tokio::test(start_paused = true)]
async fn the_configured_rate_leaves_a_part_of_the_burst_to_secrets() {
    let mut world = World::new(64);
    world.limit = limit(60, 8);
    let slots: Vec<_> = (0..6).map(|_| world.take()).collect();
    let mut caller = world.ask();
    assert_waits(&mut caller);
    for _ in 0..2 {
        assert_eq!(world.acquire("secret"), Admission::Go);
    }
    assert_eq!(world.acquire("third"), Admission::Queued);
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.woken(), ["third"]);
    world.acquire("third");
    // Two for Secrets again before the next request.
    assert!(caller.await.is_ok());
    assert_eq!(world.now().duration_since(world.after(0)).as_secs(), 4);
    let answer = world.ask_for(VOICE, Claim::Caller, Duration::from_millis(900)).await;
    let until = world.now() + SignedDuration::from_secs(1);
    let reason = Reason::RateLimited;
    assert_eq!(answer.err(), Some(NoSlot::Limited { until, reason }));
    drop(slots);
}

fn unavailable(world: &World, slot: TakenSlot) {
    let began = slot.began;
    world.release(slot, Ending::Unavailable { began });
}

#[tokio::test(start_paused = true)]
async fn after_two_failures_in_a_row_one_request_a_second_tries_for_all() {
    let world = World::new(8);
    unavailable(&world, world.take());
    let (one, other) = (world.take(), world.take());
    unavailable(&world, one);
    let until = world.after(1);
    let paused = NoSlot::Limited {
        until,
        reason: Reason::ProviderUnavailable,
    };
    assert_eq!(world.ask().await.err(), Some(paused));
    assert!(
        world.ask_for("other", Claim::Caller, LONG).await.is_ok(),
        "another spec may do"
    );
    drop(other);
    sleep(Duration::from_secs(1)).await;
    let probe = world.take();
    assert!(
        matches!(world.ask().await, Err(NoSlot::Limited { .. })),
        "one at a time"
    );
    world.release(probe, Ending::Granted);
    let _slots = (world.take(), world.take());
}

#[tokio::test(start_paused = true)]
async fn failures_of_requests_make_an_outage_and_a_token_ends_it() {
    let world = World::new(8);
    for token in ["a", "b"] {
        for _ in 0..2 {
            let slot = world.ask_for(token, Claim::Caller, LONG).await.unwrap();
            unavailable(&world, slot);
        }
    }
    let is_out = || world.budgets.health(&KEY, world.now()).unavailable_since.is_some();
    assert!(is_out());
    // Nothing comes back by itself, so no Secret waits for it.
    assert_eq!(world.budgets.slot(&KEY, world.now()), Some(world.after(1)));
    assert_eq!(world.woken(), [""; 0]);
    let probe = world.ask_for("c", Claim::Caller, LONG).await.unwrap();
    assert_eq!(world.now(), world.after(1));
    let later = world.ask_for("c", Claim::Caller, Duration::from_millis(500)).await;
    assert!(matches!(
        later,
        Err(NoSlot::Limited {
            reason: Reason::ProviderUnavailable,
            ..
        })
    ));
    world.release(probe, Ending::Granted);
    assert!(!is_out());
    assert_eq!(world.woken(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn failures_of_one_realtime_token_make_no_outage() {
    let world = World::new(8);
    for _ in 0..10 {
        sleep(Duration::from_secs(1)).await;
        unavailable(&world, world.take());
    }
    assert_eq!(world.budgets.health(&KEY, world.now()).unavailable_since, None);
    assert_eq!(world.acquire("secret"), Admission::Go);
}

/// A Secret whose mint has failed comes back as if nobody had asked.
#[tokio::test(start_paused = true)]
async fn answers_to_requests_do_not_make_up_for_a_secrets_failure() {
    let world = World::new(8);
    for secret in [VOICE, VOICE, "b", "b"] {
        world.acquire(secret);
        let began = world.now();
        world
            .budgets
            .release(&KEY, &secret, Ending::Unavailable { began }, world.now());
    }
    sleep(Duration::from_secs(1)).await;
    let slot = world.take();
    world.release(slot, Ending::Refused);
    sleep(Duration::from_secs(1)).await;
    let slot = world.take();
    world.release(slot, Ending::Granted);
    let woken: BTreeSet<_> = world.woken().into_iter().collect();
    assert_eq!(woken, BTreeSet::from(["b", VOICE]));
}

#[tokio::test(start_paused = true)]
async fn a_rejected_key_is_tried_again_every_half_minute_or_when_it_changes() {
    let world = World::new(8);
    let error = MintError::wrong_key("the provider rejects the key");
    let (slot, under_way) = (world.take(), world.take());
    let mut waits = {
        let slots: Vec<_> = (0..4).map(|_| world.take()).collect();
        let mut waits = world.ask();
        assert_waits(&mut waits);
        slot.release(Ending::Refused, Some(&error), world.now());
        drop(slots);
        waits
    };
    assert_eq!(answer(&mut waits).unwrap().err(), Some(NoSlot::Rejected(error.clone())));
    assert_eq!(world.ask().await.err(), Some(NoSlot::Rejected(error.clone())));
    assert!(world.ask_for("other", Claim::Caller, LONG).await.is_ok());
    drop(under_way);
    let changed = SlotRequest {
        credential: &KEY,
        token: &VOICE,
        revision: "2",
        claim: Claim::Caller,
        limit: None,
    };
    let deadline = Instant::now() + LONG;
    let slot = world.budgets.slot_for_request(changed, deadline, || world.now()).await;
    drop(slot.ok().unwrap());
    sleep(Duration::from_secs(30)).await;
    let probe = world.take();
    assert_eq!(world.ask().await.err(), Some(NoSlot::Rejected(error)));
    world.release(probe, Ending::Granted);
    world.take();
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_does_not_lead_keeps_nothing() {
    let world = World::new(8);
    unavailable(&world, world.take());
    let verdict = KeyVerdict {
        revision: "1".to_owned(),
        result: Ok(()),
    };
    world.budgets.note_verdict(&KEY, verdict.clone());
    let known = || world.budgets.credentials.lock().len();
    world.budgets.sweep(world.now());
    assert_eq!(known(), 1);
    sleep(Duration::from_secs(15 * 60)).await;
    world.budgets.sweep(world.now());
    assert_eq!(known(), 0);
    // Where the controller runs, the verdict is its own to forget.
    let news = world.budgets.subscribe();
    world.budgets.note_verdict(&KEY, verdict);
    world.budgets.sweep(world.now());
    assert_eq!(known(), 1);
    drop(news);
    world.budgets.sweep(world.now());
    assert_eq!(known(), 0);
}

mod model {
    use proptest::prelude::*;

    use super::*;

    const WINDOW: usize = 5;

    #[derive(Clone, Debug)]
    enum Do {
        Ask(Claim),
        /// The n-th that waits goes away.
        Leave(usize),
        /// The n-th that mints ends so, or goes away without a word.
        End(usize, Option<usize>),
        Secret(u8),
        EndSecret(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Do> {
        prop_oneof![
            4 => prop_oneof![Just(Claim::Caller), Just(Claim::Refill)].prop_map(Do::Ask),
            1 => any::<usize>().prop_map(Do::Leave),
            4 => (any::<usize>(), proptest::option::of(0usize..5)).prop_map(|(nth, how)| Do::End(nth, how)),
            2 => (0u8..6).prop_map(Do::Secret),
            2 => any::<usize>().prop_map(Do::EndSecret),
            2 => (1u64..3000).prop_map(Do::Pass),
        ]
    }

    #[derive(Default)]
    struct Run {
        waiting: Vec<(Claim, Wait)>,
        minting: Vec<TakenSlot>,
        secrets: Vec<&'static str>,
        queued: BTreeSet<&'static str>,
    }

    const SECRETS: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];

    impl Run {
        fn acquire(&mut self, world: &World, secret: &'static str) {
            if self.secrets.contains(&secret) {
                return;
            }
            match world.acquire(secret) {
                Admission::Go => {
                    self.queued.remove(secret);
                    self.secrets.push(secret);
                }
                _ => {
                    self.queued.insert(secret);
                }
            }
        }

        fn apply(&mut self, world: &World, step: &Do) {
            let nth = |nth: usize, of: usize| (of > 0).then(|| nth % of);
            match *step {
                Do::Ask(claim) => self.waiting.push((claim, world.ask_for(VOICE, claim, LONG))),
                Do::Leave(n) => drop(nth(n, self.waiting.len()).map(|at| self.waiting.remove(at))),
                Do::End(n, how) => {
                    let Some(at) = nth(n, self.minting.len()) else { return };
                    let slot = self.minting.remove(at);
                    let (began, now) = (slot.began, world.now());
                    let ending = match how {
                        None => return drop(slot),
                        Some(0) => Ending::Refused,
                        Some(1) => Ending::Throttled(now + SignedDuration::from_secs(2)),
                        Some(2) => Ending::Unavailable { began },
                        Some(_) => Ending::Granted,
                    };
                    world.release(slot, ending);
                }
                Do::Secret(n) => self.acquire(world, SECRETS[usize::from(n)]),
                Do::EndSecret(n) => {
                    let Some(at) = nth(n, self.secrets.len()) else { return };
                    let secret = self.secrets.remove(at);
                    world.budgets.release(&KEY, &secret, Ending::Granted, world.now());
                }
                Do::Pass(_) => {}
            }
        }

        /// The controller's task wakes Secrets whose slot has come.
        fn wake(&mut self, world: &World) {
            for secret in world.woken() {
                self.acquire(world, secret);
            }
        }

        /// Everyone who waits looks: callers, then refills.
        fn look(&mut self) -> Result<(), String> {
            self.look_of(Claim::Caller)?;
            self.look_of(Claim::Refill)
        }

        fn look_of(&mut self, looking: Claim) -> Result<(), String> {
            let mut at = 0;
            while at < self.waiting.len() {
                let (claim, wait) = &mut self.waiting[at];
                let result = (*claim == looking).then(|| answer(wait)).flatten();
                let Some(result) = result else {
                    at += 1;
                    continue;
                };
                drop(self.waiting.remove(at));
                let Ok(slot) = result else { continue };
                self.minting.push(slot);
                let mut waiting = self.waiting.iter();
                let caller_waits = looking == Claim::Refill && waiting.any(|(claim, _)| *claim == Claim::Caller);
                if caller_waits || !self.queued.is_empty() {
                    return Err("a request went before a Secret, or a refill before a caller".to_owned());
                }
            }
            Ok(())
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn never_more_than_the_window_and_nothing_is_lost(
            rpm in prop_oneof![Just(None), (60i64..6000, 1i64..9).prop_map(Some)],
            steps in proptest::collection::vec(step(), 1..120),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let result: Result<(), TestCaseError> = runtime.block_on(async move {
                let mut world = World::new(WINDOW);
                world.limit = rpm.and_then(|(rpm, burst)| limit(rpm, burst));
                let mut run = Run::default();
                for step in &steps {
                    run.apply(&world, step);
                    if let Do::Pass(millis) = step {
                        sleep(Duration::from_millis(*millis)).await;
                        run.wake(&world);
                    }
                    run.look().map_err(TestCaseError::fail)?;
                    prop_assert!(run.minting.len() <= 4, "requests have three quarters");
                    prop_assert!(run.minting.len() + run.secrets.len() <= WINDOW);
                }
                // All that waits goes in the end, and all slots come back.
                for _ in 0..400 {
                    for secret in std::mem::take(&mut run.secrets) {
                        world.budgets.release(&KEY, &secret, Ending::Granted, world.now());
                    }
                    for slot in std::mem::take(&mut run.minting) {
                        world.release(slot, Ending::Granted);
                    }
                    run.wake(&world);
                    run.look().map_err(TestCaseError::fail)?;
                    sleep(Duration::from_millis(500)).await;
                }
                prop_assert!(run.waiting.is_empty() && run.queued.is_empty());
                sleep(Duration::from_secs(3600)).await;
                world.woken();
                prop_assert!(world.budgets.credentials.lock().is_empty());
                Ok(())
            });
            result?;
        }
    }
}
