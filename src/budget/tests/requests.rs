//! Slots for requests, behind those for Secrets.

mod failures;
mod model;
mod patience;
mod shares;

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
    /// The controller's, while it runs.
    news: Arc<Mutex<mpsc::UnboundedReceiver<&'static str>>>,
}

impl World {
    /// With a controller that runs.
    fn new(concurrency: usize) -> Self {
        let budgets = Arc::new(Budgets::new(concurrency));
        Self {
            news: Arc::new(Mutex::new(budgets.subscribe())),
            budgets,
            start: Instant::now(),
        }
    }

    fn set_limit(&self, limit: RateLimit) {
        self.budgets.set_limits(HashMap::from([(KEY, limit)]), self.now());
    }

    /// The controller ends.
    fn stand_by(&self) {
        self.news.lock().close();
    }

    fn next_news(&self) -> Option<&'static str> {
        self.news.lock().try_recv().ok()
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
        self.budgets.acquire(&KEY, &secret, priority(true, 0), self.now())
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
    // One that is woken and doesn't come holds a slot for half a minute.
    let mut caller = world.ask();
    assert_waits(&mut caller);
    world.acquire("gone");
    world.release(slot, Ending::Granted);
    assert_eq!(world.woken(), ["gone"]);
    assert!(caller.await.is_ok());
    assert_eq!(world.now(), world.after(30));
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
    assert_eq!(slot.release(Ending::Throttled(until), None, world.now()).as_secs(), 30);
    assert_eq!(other.release(Ending::Throttled(until), None, world.now()).as_secs(), 0);
    assert_eq!((world.next_news(), world.next_news()), (Some(KEY), None));
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
    assert_waits(&mut world.ask_for(VOICE, Claim::Caller, Duration::from_secs(30)));
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
    let world = World::new(64);
    world.set_limit(limit(60, 8));
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

#[tokio::test(start_paused = true)]
async fn while_the_next_slot_is_a_callers_secrets_are_looked_at_each_second() {
    let world = World::new(1);
    let far = priority(true, 100_000);
    let acquire = |secret| world.budgets.acquire(&KEY, &secret, far, world.now());
    let release = |secret| world.budgets.release(&KEY, &secret, Ending::Granted, world.now());
    assert_eq!(acquire("0"), Admission::Go);
    let mut caller = world.ask();
    assert_waits(&mut caller);
    for secret in ["1", "2", "3", "4"] {
        assert_eq!(acquire(secret), Admission::Queued);
    }
    release("0");
    for secret in ["1", "2", "3"] {
        assert_eq!(world.woken(), [secret]);
        assert_eq!(acquire(secret), Admission::Go);
        release(secret);
    }
    assert_eq!(world.budgets.poll(world.now()), (vec![], Some(world.after(1))));
    taken(&mut caller);
}

/// It no longer leads, and has requests to finish.
#[tokio::test(start_paused = true)]
async fn secrets_of_a_controller_that_has_ended_are_not_waited_for() {
    let world = World::new(1);
    let slot = world.take();
    world.acquire("reserved");
    world.acquire("queued");
    world.release(slot, Ending::Granted);
    assert_eq!(world.woken(), ["queued"]);
    let mut caller = world.ask();
    assert_waits(&mut caller);
    world.stand_by();
    assert!(caller.await.is_ok());
    assert!(world.now() <= world.after(5), "long before a reservation would end");
    assert!(world.ask().await.is_ok());
}
