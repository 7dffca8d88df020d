//! How long a caller waits, and what it is told when that is not long enough.

use super::*;

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

/// A place that is kept for a caller who has gone would stop all others.
#[tokio::test(start_paused = true)]
async fn a_caller_without_patience_takes_no_place_in_the_queue() {
    let world = World::new(1);
    let slot = world.take();
    let impatient = world.ask_for(VOICE, Claim::Caller, Duration::ZERO).await;
    assert_eq!(impatient.err(), Some(NoSlot::Busy));
    world.release(slot, Ending::Granted);
    world.take();
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_a_caller_waits_for_a_slot_within_its_patience() {
    let world = World::new(8);
    for secret in ["a", "b"] {
        world.budgets.wait_out(&KEY, &secret, 2, world.now(), world.now());
    }
    let ask = |millis| world.ask_for(VOICE, Claim::Caller, Duration::from_millis(millis));
    let (until, reason) = (world.after(1), Reason::ProviderUnavailable);
    assert_eq!(ask(999).await.err(), Some(NoSlot::Limited { until, reason }));
    assert_waits(&mut ask(1000));
}

#[tokio::test(start_paused = true)]
async fn who_waits_already_is_counted_in_what_a_caller_is_told() {
    let limited = |until| {
        let reason = Reason::RateLimited;
        Some(NoSlot::Limited { until, reason })
    };
    // Two callers, or two Secrets: the slots at 10 and 20 are theirs.
    let world = World::new(8);
    world.set_limit(limit(6, 1));
    let _slot = world.take();
    let mut callers = [world.ask(), world.ask()];
    callers.iter_mut().for_each(assert_waits);
    let ask = |world: &World, seconds| world.ask_for(VOICE, Claim::Caller, Duration::from_secs(seconds));
    assert_eq!(ask(&world, 29).await.err(), limited(world.after(30)));
    assert_waits(&mut ask(&world, 30));

    let world = World::new(8);
    world.set_limit(limit(6, 1));
    assert_eq!(world.acquire("a"), Admission::Go);
    for secret in ["b", "c"] {
        assert_ne!(world.acquire(secret), Admission::Go);
    }
    assert_eq!(ask(&world, 29).await.err(), limited(world.after(30)));
    assert_waits(&mut ask(&world, 30));
}
