//! Single events; `life` has sequences of them.

mod life;
mod model;
mod outage;
mod rewritten;
mod spacing;
mod state;
mod world;

use serde_json::{Value, json};

use super::*;
use crate::api::RealtimeTokenStatus;
use crate::token::backoff::WriteFailures;
use crate::token::fixtures::{UID, at, failures, inputs, ours, realtime_token, stored, unstored};
use crate::token::secret::{RequestsEndpoint, TargetState};
use crate::token::{MintInputs, Trigger};

pub(super) fn looked<'a>(
    token: &'a RealtimeToken,
    target: TargetState,
    inputs: Result<MintInputs, Blocked>,
) -> Observation<'a> {
    Observation {
        token,
        prior: RealtimeTokenStatus::default(),
        target,
        metadata_hash: "desired".into(),
        endpoint: RequestsEndpoint::default(),
        inputs,
        now: at(60),
    }
}

pub(super) fn wanted() -> Result<MintInputs, Blocked> {
    Ok(inputs("spec", "key", None))
}

/// This version of the RealtimeToken with this in its metadata.
fn version(resource_version: &str, change: Value) -> RealtimeToken {
    let mut token = serde_json::to_value(realtime_token()).unwrap();
    token["metadata"]["resourceVersion"] = resource_version.into();
    let metadata = token["metadata"].as_object_mut().unwrap();
    metadata.extend(change.as_object().cloned().unwrap());
    serde_json::from_value(token).unwrap()
}

fn written(version: &str) -> Event<'static> {
    Event::StatusWritten(Box::new(WrittenStatus {
        version: version.into(),
        status: RealtimeTokenStatus {
            observed_generation: Some(4),
            revision: Some(7),
            ..RealtimeTokenStatus::default()
        },
        renew_request: None,
        at: at(0),
    }))
}

#[test]
fn the_echo_of_our_own_status_is_known_once() {
    let mut lifecycle = Lifecycle::default();
    let echo = version("12", json!({}));
    assert!(!lifecycle.take_echo(&echo), "nothing was written");
    lifecycle.step(written("12"));
    for change in [
        json!({"generation": 5}),
        json!({"annotations": {RENEW_REQUESTED_AT: "now"}}),
        json!({"deletionTimestamp": "2026-11-24T00:00:00Z"}),
        json!({"resourceVersion": "11"}),
        json!({"resourceVersion": "13"}),
    ] {
        assert!(!lifecycle.take_echo(&version("12", change.clone())), "{change}");
    }
    assert!(lifecycle.take_echo(&echo));
    assert!(!lifecycle.take_echo(&echo), "known once");
}

/// A reconcile began with a version from before our status write, and the watch has shown that write meanwhile: what it
/// takes for the status before is out of date.
#[test]
fn a_look_at_a_version_older_than_our_own_echo_is_repeated() {
    let mut lifecycle = Lifecycle::default();
    lifecycle.step(written("12"));
    assert!(lifecycle.take_echo(&version("12", json!({}))));
    let old = version("11", json!({}));
    let target = || ours(stored(at(0), 1800));
    let step = lifecycle.step(Event::Looked(&looked(&old, target(), wanted())));
    assert!(
        matches!(step.effect, Effect::Wait(until) if until == at(60)) && step.situation.is_none(),
        "{step:?}"
    );
    let new = version("12", json!({}));
    let step = lifecycle.step(Event::Looked(&looked(&new, target(), wanted())));
    assert!(step.situation.is_some(), "{step:?}");
}

#[test]
fn our_own_status_counts_until_the_watch_has_caught_up() {
    let mut lifecycle = Lifecycle::default();
    lifecycle.step(written("12"));
    assert_eq!(lifecycle.known_status(&version("11", json!({}))).revision, Some(7));
    assert_eq!(lifecycle.known_status(&version("12", json!({}))).revision, None);
    let newer = version("12", json!({}));
    lifecycle.step(Event::Looked(&looked(&newer, ours(stored(at(0), 1800)), wanted())));
    assert!(lifecycle.written_status.is_none());
}

/// An API server that is restored from a backup goes back behind the write, and its versions don't reach it for long.
#[test]
fn our_own_status_does_not_count_for_ever() {
    let restored = version("5", json!({}));
    for (seconds, known) in [(60, Some(7)), (61, None), (-61, None)] {
        let mut lifecycle = Lifecycle::default();
        lifecycle.step(written("12"));
        lifecycle.release_stored(at(seconds));
        assert_eq!(lifecycle.known_status(&restored).revision, known, "{seconds}");
    }
}

#[test]
fn a_write_that_landed_without_an_answer_is_recognized_and_then_let_go() {
    let token = realtime_token();
    let mut lifecycle = Lifecycle {
        unstored: Some(Box::new(unstored(at(55), 1800, None))),
        ..Lifecycle::default()
    };
    lifecycle.step(Event::Looked(&looked(&token, TargetState::Absent, wanted())));
    lifecycle.release_stored(at(1000));
    assert!(lifecycle.has_unstored_token(), "not stored yet, so kept");
    lifecycle.step(Event::Looked(&looked(&token, ours(stored(at(55), 1800)), wanted())));
    assert!(!lifecycle.has_unstored_token());
    lifecycle.release_stored(at(64));
    assert!(lifecycle.unstored.is_some());
    lifecycle.release_stored(at(65));
    assert!(lifecycle.unstored.is_none());
}

#[test]
fn a_mint_under_way_is_waited_for() {
    let token = realtime_token();
    let seen = looked(&token, TargetState::Absent, wanted());
    let mut lifecycle = Lifecycle::restore(&token);
    let Effect::Mint { pending, .. } = lifecycle.step(Event::Looked(&seen)).effect else {
        panic!("the first token is due")
    };
    lifecycle.step(Event::MintStarted(pending));
    assert!(lifecycle.is_minting());
    let step = lifecycle.step(Event::Looked(&seen));
    assert!(matches!(step.effect, Effect::Nothing) && step.situation.is_none());
    let (end, now) = (MintEnd::NotAsked, at(61));
    assert!(
        matches!(lifecycle.step(Event::MintEnded { end, slot: None, now }).effect, Effect::Wait(until) if until == now)
    );
    assert!(!lifecycle.is_minting() && lifecycle.mint_failures.is_none());
}

#[test]
fn the_key_that_a_token_was_minted_with_is_what_counts() {
    let mut lifecycle = Lifecycle::default();
    lifecycle.step(Event::MintStarted(Box::new(Pending {
        inputs: inputs("spec", "key", Some("now")),
        usable_until: None,
        swap_by: None,
        content_hash: None,
    })));
    let end = MintEnd::Minted {
        minted: crate::token::fixtures::minted(at(60), 600),
        credential_revision: "newer key".into(),
    };
    lifecycle.step(Event::MintEnded {
        end,
        slot: None,
        now: at(61),
    });
    let token = lifecycle.unstored.unwrap();
    assert_eq!(token.inputs, inputs("spec", "newer key", Some("now")));
    assert_eq!(lifecycle.last_mint, Some(at(60)));
}

/// From 20 ms up to a minute: a Secret that changes all the time is not written all the time.
#[test]
fn writes_that_meet_a_changed_secret_slow_down() {
    let token = realtime_token();
    let seen = looked(&token, ours(stored(at(0), 1800)), wanted());
    let mut lifecycle = Lifecycle::default();
    let mut wait = || {
        let (order, end) = (
            Order::Relabel {
                renewal_time: None,
                again: false,
            },
            WriteEnd::Outdated,
        );
        let seen = &seen;
        let step = lifecycle.step(Event::WriteEnded { seen, order, end });
        assert!(step.situation.is_none());
        let Effect::Wait(until) = step.effect else {
            panic!("{step:?}")
        };
        until.duration_since(at(60)).as_millis()
    };
    assert_eq!([wait(), wait(), wait()], [20, 40, 80]);
    assert_eq!((0..20).map(|_| wait()).max(), Some(60_000));
}

#[test]
fn one_lost_answer_is_no_news_and_two_are() {
    let token = realtime_token();
    let seen = looked(&token, ours(stored(at(0), 1800)), wanted());
    let mut lifecycle = Lifecycle::default();
    let mut reports = || {
        let order = Order::Relabel {
            renewal_time: None,
            again: false,
        };
        let end = WriteEnd::Unavailable { message: "away".into() };
        let seen = &seen;
        lifecycle
            .step(Event::WriteEnded { seen, order, end })
            .situation
            .is_some()
    };
    assert_eq!([reports(), reports()], [false, true]);
}

/// A status records failures and not what was tried.
#[test]
fn restored_failures_hold_what_is_wanted_now_and_no_later_change() {
    let token = realtime_token();
    let restored = || Lifecycle {
        uid: UID.into(),
        mint_failures: Some(Box::new(failures(at(90), None))),
        ..Lifecycle::default()
    };
    let look = |lifecycle: &mut Lifecycle, inputs| {
        let seen = looked(&token, TargetState::Absent, inputs);
        lifecycle.step(Event::Looked(&seen)).effect
    };
    let mut lifecycle = restored();
    assert!(matches!(look(&mut lifecycle, wanted()), Effect::Wait(until) if until == at(90)));
    let other = Ok(inputs("other", "key", None));
    assert!(
        matches!(look(&mut lifecycle, other), Effect::Mint { .. }),
        "a change lifts the backoff"
    );

    let mut lifecycle = restored();
    look(&mut lifecycle, Err(Blocked::new(Reason::CredentialNotFound, "gone")));
    assert!(
        matches!(look(&mut lifecycle, wanted()), Effect::Mint { .. }),
        "so does a key that comes back"
    );
}

/// The token that could not be written was lost with the process. Another is not minted at once, only to be refused too.
#[test]
fn restored_write_failures_hold_back_a_mint() {
    let token = realtime_token();
    let failed: WriteFailures = failures(at(90), None);
    let mut lifecycle = Lifecycle {
        uid: UID.into(),
        write_failures: Some(Box::new(failed)),
        ..Lifecycle::default()
    };
    let mut seen = looked(&token, TargetState::Absent, wanted());
    assert!(matches!(lifecycle.step(Event::Looked(&seen)).effect, Effect::Wait(until) if until == at(90)));
    seen.now = at(90);
    assert!(matches!(
        lifecycle.step(Event::Looked(&seen)).effect,
        Effect::Mint { .. }
    ));
}

/// By how much a clock is set back, the token says nothing of when it ends.
#[test]
fn a_token_from_the_future_is_replaced_within_five_minutes() {
    let token = realtime_token();
    let mut lifecycle = Lifecycle::restore(&token);
    let mut seen = looked(&token, ours(stored(at(48 * 3600), 1800)), wanted());
    let Effect::Wait(until) = lifecycle.step(Event::Looked(&seen)).effect else {
        panic!("spread over five minutes")
    };
    assert!(until > seen.now && until <= seen.now + decide::MAX_WAIT, "{until}");
    seen.now = until;
    assert!(matches!(
        lifecycle.step(Event::Looked(&seen)).effect,
        Effect::Mint { .. }
    ));
    // Ten seconds are the difference between two nodes' clocks.
    seen.now = at(48 * 3600 - 10);
    lifecycle.step(Event::Looked(&seen));
    assert!(lifecycle.replace_at.is_none());
}

#[test]
fn a_backoff_that_ends_in_days_was_timed_by_another_clock() {
    let token = realtime_token();
    for (next, holds) in [(at(60 + 600), true), (at(60 + 601), false), (at(48 * 3600), false)] {
        let mut lifecycle = Lifecycle {
            uid: UID.into(),
            mint_failures: Some(Box::new(failures(next, None))),
            ..Lifecycle::default()
        };
        let step = lifecycle.step(Event::Looked(&looked(&token, TargetState::Absent, wanted())));
        assert_eq!(matches!(step.effect, Effect::Wait(_)), holds, "{next}: {step:?}");
    }
}

/// A cache on the way may repeat a reply.
#[test]
fn a_reply_that_repeats_the_token_is_no_renewal() {
    let token = realtime_token();
    let again = crate::token::fixtures::minted(at(0), 600);
    let mut secret = stored(at(0), 600);
    let hash = crate::token::secret::content_hash(&again);
    secret.issued.as_mut().unwrap().content_hash = hash;
    let mut seen = looked(&token, ours(secret), wanted());
    seen.now = at(400);
    let mut lifecycle = Lifecycle::restore(&token);
    let Effect::Mint { pending, .. } = lifecycle.step(Event::Looked(&seen)).effect else {
        panic!("due")
    };
    lifecycle.step(Event::MintStarted(pending));
    let end = MintEnd::Minted {
        minted: again,
        credential_revision: "key".into(),
    };
    lifecycle.step(Event::MintEnded {
        end,
        slot: None,
        now: at(401),
    });
    assert!(!lifecycle.has_unstored_token(), "it is not stored as a new one");
    seen.now = at(402);
    let step = lifecycle.step(Event::Looked(&seen));
    let Some(Situation::MintFailing(failures)) = step.situation else {
        panic!("{step:?}")
    };
    assert!(
        failures.message.contains("repeats the token") && failures.next >= at(431),
        "{failures:?}"
    );
}
