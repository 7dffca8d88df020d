//! Secrets that others change: by an admission policy on the way, or again and again afterwards.

use super::*;
use crate::token::fixtures::renewal;
use crate::token::secret::Stored as Secret;

/// The Secret of a token of 1800 s, asked for at 0, with other labels than were written.
fn with_other_labels() -> Secret {
    Secret {
        metadata_hash: Some("changed".into()),
        ..stored(at(0), 1800)
    }
}

fn relabel(again: bool) -> Order {
    Order::Relabel {
        renewal_time: Some(renewal(at(0), 1800)),
        again,
    }
}

/// The write of the token in memory, which was asked for at 0.
fn store(trigger: Trigger) -> Order {
    Order::Store(Box::new(StoreOrder {
        trigger,
        token: unstored(at(0), 1800, Some(1)),
        revision: 1,
        renewal_time: renewal(at(0), 1800),
        replaces: None,
    }))
}

/// Lets a write land, after which the Secret is as the answer says.
fn land(lifecycle: &mut Lifecycle, order: Order, answer: Secret, now: Timestamp) -> Step {
    let token = realtime_token();
    let seen = &Observation {
        now,
        ..looked(&token, ours(answer), wanted())
    };
    let end = WriteEnd::Written;
    lifecycle.step(Event::WriteEnded { seen, order, end })
}

fn look(lifecycle: &mut Lifecycle, target: TargetState, now: Timestamp) -> Step {
    let token = realtime_token();
    let seen = Observation {
        now,
        ..looked(&token, target, wanted())
    };
    lifecycle.step(Event::Looked(&seen))
}

/// After so many repairs of the labels, the last at 60.
fn repaired(times: u32) -> Lifecycle {
    let mut lifecycle = Lifecycle::default();
    for _ in 0..times {
        let step = land(&mut lifecycle, relabel(true), stored(at(0), 1800), at(60));
        assert!(matches!(step.situation, Some(Situation::Settled)), "{step:?}");
    }
    lifecycle
}

#[track_caller]
fn failing(step: &Step) -> &WriteFailures {
    match &step.situation {
        Some(Situation::WriteFailing(failures)) if failures.reason == Reason::SecretRewritten => failures,
        other => panic!("{other:?}"),
    }
}

#[test]
fn after_three_repairs_the_next_waits() {
    let other_labels = || ours(with_other_labels());
    let step = look(&mut repaired(2), other_labels(), at(60));
    assert!(
        matches!(step.effect, Effect::Write(Order::Relabel { again: true, .. })),
        "{step:?}"
    );
    let step = look(&mut repaired(3), other_labels(), at(60));
    assert_eq!(step.effect.wait(at(60)), Some(decide::MIN_INTERVAL));
    assert!(failing(&step).message.contains("has been put right 3 times"));
    let step = look(&mut repaired(3), other_labels(), at(70));
    assert!(matches!(step.effect, Effect::Write(_)), "{step:?}");
}

#[test]
fn labels_that_are_wanted_anew_are_no_repair() {
    let token = realtime_token();
    let mut seen = looked(&token, ours(stored(at(0), 1800)), wanted());
    seen.metadata_hash = "desired anew".into();
    let step = repaired(9).step(Event::Looked(&seen));
    assert!(
        matches!(step.effect, Effect::Write(Order::Relabel { again: false, .. })),
        "{step:?}"
    );
}

/// The next pause would be five minutes.
#[test]
fn a_repair_waits_no_longer_than_its_token_is_of_use() {
    let mut lifecycle = repaired(9);
    lifecycle.unstored = Some(Box::new(unstored(at(0), 150, Some(1))));
    let due = renewal(at(0), 150);
    let step = look(&mut lifecycle, TargetState::Absent, at(60));
    assert!(matches!(step.effect, Effect::Wait(until) if until == due), "{step:?}");
    failing(&step);
}

#[test]
fn after_ten_changes_the_next_token_waits_unless_it_is_due() {
    let mut lifecycle = Lifecycle::default();
    for n in 0..10 {
        let Order::Store(mut order) = store(Trigger::SpecChanged) else {
            unreachable!()
        };
        (order.token.revision, order.token.inputs) = (None, inputs(&format!("spec-{n}"), "key", None));
        land(&mut lifecycle, Order::Store(order), stored(at(0), 1800), at(60));
    }
    let mut changed = stored(at(0), 1800);
    changed.issued.as_mut().unwrap().inputs = inputs("spec-9", "key", None);
    let step = look(&mut lifecycle, ours(changed), at(60));
    let Some(Situation::MintFailing(failures)) = &step.situation else {
        panic!("{step:?}")
    };
    assert_eq!((failures.reason, failures.next), (Reason::ChangedTooOften, at(70)));
    let step = look(&mut lifecycle, ours(stored(at(0), 1800)), renewal(at(0), 1800));
    assert!(matches!(step.effect, Effect::Mint { .. }), "{step:?}");
}

#[test]
fn labels_that_come_back_changed_are_written_again_after_five_minutes() {
    let mut lifecycle = Lifecycle {
        write_failures: Some(Box::new(WriteFailures {
            reason: Reason::SecretWriteFailed,
            failed: 5,
            ..failures(at(60), None)
        })),
        ..Lifecycle::default()
    };
    for failed in [1, 2] {
        let step = land(&mut lifecycle, relabel(false), with_other_labels(), at(60));
        let failures = failing(&step);
        assert_eq!((failures.failed, failures.next), (failed, at(60) + decide::MAX_WAIT));
        assert!(failures.message.starts_with("an admission policy or webhook changes"));
        assert_eq!(step.effect.wait(at(60)), Some(decide::MAX_WAIT));
    }
    let step = land(&mut lifecycle, relabel(false), with_other_labels(), at(1100));
    assert_eq!(failing(&step).next, renewal(at(0), 1800), "a renewal is not missed");
}

#[test]
fn a_new_token_does_not_end_what_is_said_of_changed_labels() {
    let mut lifecycle = Lifecycle {
        unstored: Some(Box::new(unstored(at(0), 1800, None))),
        write_failures: Some(Box::new(WriteFailures {
            reason: Reason::SecretRewritten,
            failed: 2,
            ..failures(at(360), None)
        })),
        ..Lifecycle::default()
    };
    let step = land(&mut lifecycle, store(Trigger::Due), with_other_labels(), at(60));
    let failures = failing(&step);
    assert_eq!(
        (failures.failed, failures.next),
        (2, at(60)),
        "its labels are written at once"
    );
    assert!(matches!(step.effect, Effect::Wait(until) if until == at(60)));
    assert!(step.stored.is_some());
}

/// What changes a write on its way is named as such. What changes it later is another writer.
#[test]
fn who_undoes_a_repair_is_told_by_the_answer_to_it() {
    let on_the_way = "an admission policy or webhook changes";
    let (mut edited, mut of_another_spec) = (stored(at(0), 1800), stored(at(0), 1800));
    edited.intact = false;
    of_another_spec.issued.as_mut().unwrap().inputs = inputs("other", "key", None);
    for (order, answer, words) in [
        (relabel(true), with_other_labels(), on_the_way),
        (store(Trigger::SecretEdited), edited, on_the_way),
        (
            store(Trigger::SecretEdited),
            of_another_spec,
            "Secret voice has been put right 10 times",
        ),
    ] {
        let mut lifecycle = repaired(9);
        lifecycle.unstored = Some(Box::new(unstored(at(0), 1800, Some(1))));
        let step = land(&mut lifecycle, order, answer, at(60));
        assert!(failing(&step).message.starts_with(words), "{step:?}");
    }
}

#[test]
fn only_a_write_without_an_answer_is_tried_again_when_the_api_answers() {
    for (reason, next) in [(Reason::SecretWriteFailed, at(60)), (Reason::SecretRewritten, at(300))] {
        let failed = WriteFailures {
            reason,
            ..failures(at(300), None)
        };
        let mut lifecycle = Lifecycle {
            write_failures: Some(Box::new(failed)),
            ..Lifecycle::default()
        };
        lifecycle.step(Event::ApiAnswered { now: at(60) });
        assert_eq!(lifecycle.write_failures.unwrap().next, next, "{reason:?}");
    }
}

/// Until 1590 its successor must be stored.
#[test]
fn writes_that_meet_a_changed_secret_are_tried_four_times_in_the_time_that_is_left() {
    let token = realtime_token();
    let mut seen = looked(&token, ours(stored(at(0), 1800)), wanted());
    seen.now = at(1550);
    let mut lifecycle = Lifecycle {
        outdated_writes: 16,
        ..Lifecycle::default()
    };
    let event = Event::WriteEnded {
        seen: &seen,
        order: relabel(false),
        end: WriteEnd::Outdated,
    };
    let step = lifecycle.step(event);
    assert_eq!(step.effect.wait(seen.now), Some(SignedDuration::from_secs(10)));
}

/// After a restart nothing is known of the token in the Secret but what its annotations say.
#[test]
fn a_repair_that_waits_does_not_delay_a_renewal() {
    let due = renewal(at(0), 1800);
    let now = due - SignedDuration::from_secs(5);
    let mut lifecycle = Lifecycle::default();
    for _ in 0..9 {
        land(&mut lifecycle, relabel(true), stored(at(0), 1800), now);
    }
    let step = look(&mut lifecycle, ours(with_other_labels()), now);
    assert!(matches!(step.effect, Effect::Wait(until) if until == due), "{step:?}");
    failing(&step);
}

/// Another leader has minted the token in the Secret.
#[test]
fn an_old_token_in_memory_does_not_make_a_repair_look_again_all_the_time() {
    let mut lifecycle = repaired(9);
    lifecycle.unstored = Some(Box::new(unstored(at(-3000), 1800, Some(1))));
    let step = look(&mut lifecycle, ours(with_other_labels()), at(60));
    assert_eq!(step.effect.wait(at(60)), Some(decide::MAX_WAIT));
    failing(&step);
}
