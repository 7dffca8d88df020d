//! What a [`Lifecycle`], a step and an effect answer when they are asked.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;

/// A process that starts knows of failed mints and failed writes by the status.
#[test]
fn a_new_process_goes_on_with_the_failures_in_the_status() {
    let mut token = realtime_token();
    let status = json!({
        "observedGeneration": 4, "lastFailureTime": Time(at(30)), "nextAttemptTime": Time(at(90)),
        "conditions": [{
            "type": "Renewing", "status": "True", "reason": "SecretWriteFailed", "message": "refused",
            "lastTransitionTime": Time(at(0)),
        }],
    });
    let restored = |token: &mut RealtimeToken, failed: &str| {
        let mut status = status.clone();
        status[failed] = 3.into();
        token.status = serde_json::from_value(status).unwrap();
        let lifecycle = Lifecycle::restore(token);
        (
            lifecycle.mint_failures.map(|failures| failures.failed),
            lifecycle.write_failures.map(|failures| failures.failed),
        )
    };
    assert_eq!(restored(&mut token, "failedMintAttempts"), (Some(3), None));
    assert_eq!(restored(&mut token, "failedWriteAttempts"), (None, Some(3)));
}

type Remember = fn(&mut Lifecycle);

/// The least that is remembered keeps a [`Lifecycle`] from being dropped, but what was only counted as wanted.
#[test]
fn what_can_not_be_restored_is_not_at_rest() {
    assert!(Lifecycle::default().is_at_rest());
    let uid = UID.to_owned();
    assert!(
        Lifecycle {
            uid,
            echoed_version: Some("12".into()),
            repeats: Some(Box::default()),
            ..Lifecycle::default()
        }
        .is_at_rest()
    );
    let remember: [(&str, Remember); 9] = [
        ("pending", |it| {
            it.pending = Some(Box::new(Pending {
                inputs: inputs("spec", "key", None),
                usable_until: None,
                swap_by: None,
                content_hash: None,
            }));
        }),
        ("unstored", |it| {
            it.unstored = Some(Box::new(unstored(at(0), 1800, None)))
        }),
        ("written_status", |it| {
            it.step(written("12"));
        }),
        ("last_mint", |it| it.last_mint = Some(at(0))),
        ("last_failure", |it| it.last_failure = Some(at(0))),
        ("replace_at", |it| it.replace_at = Some(at(0))),
        ("mint_failures", |it| {
            it.mint_failures = Some(Box::new(failures(at(90), None)))
        }),
        ("write_failures", |it| {
            it.write_failures = Some(Box::new(failures(at(90), None)))
        }),
        ("outdated_writes", |it| it.outdated_writes = 1),
    ];
    for (what, remember) in remember {
        let mut lifecycle = Lifecycle::default();
        remember(&mut lifecycle);
        assert!(!lifecycle.is_at_rest(), "{what}");
    }
}

/// Before a Secret is written anew that was deleted, the controller asks whether its RealtimeToken is still there.
#[test]
fn only_what_follows_a_deleted_secret_replaces_one() {
    let token = realtime_token();
    let look = |lifecycle: &mut Lifecycle, revision| {
        let mut seen = looked(&token, TargetState::Absent, wanted());
        seen.prior.revision = revision;
        lifecycle.step(Event::Looked(&seen)).effect
    };
    let store = |revision| {
        let unstored = Some(Box::new(unstored(at(55), 1800, None)));
        let mut lifecycle = Lifecycle {
            unstored,
            ..Lifecycle::default()
        };
        look(&mut lifecycle, revision)
    };
    let mint = |revision| look(&mut Lifecycle::default(), revision);
    assert!(matches!(store(None), Effect::Write(Order::Store(_))) && matches!(mint(None), Effect::Mint { .. }));
    for (revision, replaces) in [(None, false), (Some(1), true)] {
        assert_eq!(mint(revision).replaces_deleted_secret(), replaces, "mint, {revision:?}");
        assert_eq!(
            store(revision).replaces_deleted_secret(),
            replaces,
            "store, {revision:?}"
        );
    }
    let relabel = Order::Relabel {
        renewal_time: None,
        again: true,
    };
    for effect in [Effect::Nothing, Effect::Wait(at(60)), Effect::Write(relabel)] {
        assert!(!effect.replaces_deleted_secret(), "{effect:?}");
    }
}

#[test]
fn only_a_wait_says_how_long_nothing_is_to_be_done() {
    assert_eq!(Effect::Wait(at(90)).wait(at(60)), Some(SignedDuration::from_secs(30)));
    assert_eq!(Effect::Nothing.wait(at(60)), None);
}

/// The conditions change when the token falls below its floor, and when it ends.
#[test]
fn what_blocks_is_looked_at_again_when_the_conditions_change() {
    let token = realtime_token();
    let wait = |reason, now| {
        let blocked = Err(Blocked::new(reason, "no"));
        let seen = Observation {
            now,
            ..looked(&token, ours(stored(at(0), 1800)), blocked)
        };
        let step = Lifecycle::default().step(Event::Looked(&seen));
        assert!(matches!(step.situation, Some(Situation::Blocked(_))), "{step:?}");
        step.effect.wait(now).unwrap()
    };
    let seconds = SignedDuration::from_secs;
    assert_eq!(wait(Reason::CredentialNotFound, at(60)), decide::MAX_WAIT);
    assert_eq!(wait(Reason::NamespaceTerminating, at(60)), seconds(30));
    let below_floor = at(1710) + SignedDuration::from_millis(1);
    assert_eq!(at(1700) + wait(Reason::CredentialNotFound, at(1700)), below_floor);
    assert_eq!(at(1710) + wait(Reason::CredentialNotFound, at(1710)), below_floor);
    assert_eq!(below_floor + wait(Reason::CredentialNotFound, below_floor), at(1800));
    assert_eq!(wait(Reason::CredentialNotFound, at(1800)), decide::MAX_WAIT);
}
