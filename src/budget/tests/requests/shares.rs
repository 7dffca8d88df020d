//! Callers of several namespaces, and what Secrets leave to them.

use super::*;

fn callers(world: &World, token: &'static str, count: usize) -> Vec<Wait> {
    let mut all: Vec<_> = (0..count).map(|_| world.ask_for(token, Claim::Caller, LONG)).collect();
    all.iter_mut().for_each(assert_waits);
    all
}

#[tokio::test(start_paused = true)]
async fn callers_of_namespaces_take_turns() {
    let world = World::new(1);
    let mut slot = world.take();
    let mut many = callers(&world, "many/voice", 20).into_iter();
    let mut few = callers(&world, "few/voice", 2).into_iter();
    for whose in ["many", "few", "many", "few", "many", "many"] {
        world.release(slot, Ending::Granted);
        let next = if whose == "few" { few.next() } else { many.next() };
        slot = taken(&mut next.unwrap());
    }
}

/// One that comes goes before those of a namespace that had many.
#[tokio::test(start_paused = true)]
async fn a_namespace_that_had_many_waits_for_one_that_had_few() {
    let world = World::new(1);
    for _ in 0..30 {
        let slot = world.ask_for("many/voice", Claim::Caller, LONG).await.unwrap();
        world.release(slot, Ending::Granted);
    }
    let slot = world.take();
    let mut many = callers(&world, "many/voice", 1);
    let mut few = callers(&world, "few/voice", 1);
    world.release(slot, Ending::Granted);
    assert_waits(&mut many[0]);
    taken(&mut few[0]);
}

#[tokio::test(start_paused = true)]
async fn the_queue_of_one_namespace_refuses_no_caller_of_another() {
    let world = World::new(1);
    let _slot = world.take();
    let _queue = callers(&world, "many/voice", 256);
    let refused = world.ask_for("many/voice", Claim::Caller, LONG).await;
    assert_eq!(refused.err(), Some(NoSlot::Busy));
    callers(&world, "few/voice", 1);
}

/// Secrets that a namespace changes all the time, so that there are always some that wait.
fn keep_changing(world: &World) {
    const CHANGED: [&str; 8] = ["x/0", "x/1", "x/2", "x/3", "x/4", "x/5", "x/6", "x/7"];
    for secret in CHANGED {
        let since = world.now();
        if world
            .budgets
            .acquire(&KEY, &secret, Priority::FirstIssue { since }, since)
            == Admission::Go
        {
            world.budgets.release(&KEY, &secret, Ending::Granted, since);
        }
    }
}

/// What the controller does with those that are woken.
fn mint_woken(world: &World) -> usize {
    let woken = world.woken();
    for secret in &woken {
        let now = world.now();
        assert_eq!(
            world.budgets.acquire(&KEY, secret, priority(true, 0), now),
            Admission::Go
        );
        world.budgets.release(&KEY, secret, Ending::Granted, now);
    }
    woken.len()
}

#[tokio::test(start_paused = true)]
async fn secrets_that_change_all_the_time_leave_every_fourth_slot_to_callers() {
    for (rate, seconds) in [(limit(60, 1), 120), (limit(60, 10), 120), (limit(600, 100), 60)] {
        let world = World::new(16);
        world.set_limit(rate);
        let (mut secrets, mut tokens) = (0, 0);
        let mut waiting = Vec::new();
        for _ in 0..seconds * 10 {
            keep_changing(&world);
            secrets += mint_woken(&world);
            while waiting.len() < 5 {
                waiting.push(world.ask_for("callers/voice", Claim::Caller, LONG));
            }
            for mut wait in std::mem::take(&mut waiting) {
                match answer(&mut wait) {
                    Some(slot) => {
                        world.release(slot.unwrap(), Ending::Granted);
                        tokens += 1;
                    }
                    None => waiting.push(wait),
                }
            }
            sleep(Duration::from_millis(100)).await;
        }
        let all = seconds * usize::try_from(rate.requests_per_minute).unwrap() / 60;
        assert!(tokens >= all / 5, "{tokens} of {all} slots for callers, {rate:?}");
        assert!(secrets >= all / 2, "{secrets} of {all} slots for Secrets, {rate:?}");
    }
}

/// Also when the next slot would be a caller's.
#[tokio::test(start_paused = true)]
async fn renewals_that_are_near_leave_nothing_to_callers() {
    const NEAR: [&str; 8] = ["a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "b/2", "b/3"];
    let world = World::new(16);
    world.set_limit(limit(60, 1));
    let _first = world.take();
    let mut waiting = callers(&world, "callers/voice", 3);
    keep_changing(&world);
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(mint_woken(&world), 1);
    }
    for secret in NEAR {
        assert_ne!(world.acquire(secret), Admission::Go);
    }
    for _ in NEAR {
        sleep(Duration::from_secs(1)).await;
        waiting.iter_mut().for_each(assert_waits);
        assert_eq!(mint_woken(&world), 1);
    }
    sleep(Duration::from_secs(1)).await;
    assert_eq!(mint_woken(&world), 0, "the slot is a caller's");
    taken(&mut waiting[0]);
}

/// Callers that could not go anyway hold up no Secret.
#[tokio::test(start_paused = true)]
async fn secrets_do_not_wait_for_callers_whose_part_is_in_use() {
    let world = World::new(4);
    let _slots: Vec<_> = (0..3).map(|_| world.take()).collect();
    let _waiting = callers(&world, "callers/voice", 3);
    for _ in 0..20 {
        keep_changing(&world);
        mint_woken(&world);
    }
    let since = world.now();
    let admission = world
        .budgets
        .acquire(&KEY, &"x/9", Priority::FirstIssue { since }, since);
    assert_eq!(admission, Admission::Go);
}
