//! What requests do after failures, and what their failures do to Secrets.

use super::*;

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
    world.stand_by();
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
