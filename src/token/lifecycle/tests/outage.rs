//! A provider that is out of order, as one RealtimeToken sees it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::token::MintError;
use crate::token::decide::MAX_WAIT;

/// After a mint that failed at 60, when the others' slots leave this one for `slot`.
fn failed(error: MintError, slot: Option<Timestamp>) -> Lifecycle {
    let token = realtime_token();
    let mut lifecycle = Lifecycle::restore(&token);
    let Effect::Mint { pending, .. } = look(&mut lifecycle, at(60)).effect else {
        panic!("due")
    };
    lifecycle.step(Event::MintStarted(pending));
    let end = MintEnd::Failed(error);
    lifecycle.step(Event::MintEnded { end, slot, now: at(60) });
    lifecycle
}

fn look(lifecycle: &mut Lifecycle, now: Timestamp) -> Step {
    let token = realtime_token();
    let seen = Observation {
        now,
        ..looked(&token, TargetState::Absent, wanted())
    };
    lifecycle.step(Event::Looked(&seen))
}

#[test]
fn the_slot_counts_where_it_is_later_than_the_backoff() {
    for (slot, until) in [(None, 61..=62), (Some(at(61)), 61..=62), (Some(at(200)), 200..=200)] {
        let lifecycle = failed(MintError::unavailable("down"), slot);
        let next = lifecycle.mint_failures.unwrap().next.duration_since(at(0)).as_secs();
        assert!(until.contains(&next), "{slot:?}: {next}");
    }
}

#[test]
fn only_a_backoff_that_waits_for_the_provider_ends_when_the_slot_comes() {
    let rejected = MintError::Rejected {
        credential: false,
        message: "no such model".into(),
    };
    for (error, ends) in [
        (MintError::unavailable("down"), true),
        (rejected, false),
        (MintError::internal("no random numbers"), false),
    ] {
        let mut lifecycle = failed(error.clone(), Some(at(200)));
        assert!(matches!(look(&mut lifecycle, at(60)).effect, Effect::Wait(_)));
        lifecycle.step(Event::SlotCame { now: at(60) });
        let minted = matches!(look(&mut lifecycle, at(60)).effect, Effect::Mint { .. });
        assert_eq!(minted, ends, "{error:?}");
    }
}

/// Alone it waits out its own backoff: no success of others is noticed.
#[test]
fn only_in_an_outage_of_the_credential_the_provider_ends_the_wait() {
    for (slot, says) in [(None, false), (Some(at(200)), true)] {
        let message = failed(MintError::unavailable("down"), slot)
            .mint_failures
            .unwrap()
            .message;
        assert_eq!(message.contains("the provider is back"), says, "{message}");
    }
}

/// The slot is an estimate: it is not written anew whenever it is made.
#[test]
fn a_slot_that_moves_little_stands_in_the_status_as_it_is() {
    let token = realtime_token();
    let reported = |prior: i64, until: i64, reason| {
        let mut seen = looked(&token, TargetState::Absent, wanted());
        seen.prior.next_attempt_time = Some(Time(at(prior)));
        let limit = Limit {
            until: at(until),
            key: "key".into(),
            reason,
        };
        let deferred = Event::MintDeferred {
            seen: &seen,
            limit: Some(limit),
        };
        let Some(Situation::MintFailing(waiting)) = Lifecycle::restore(&token).step(deferred).situation else {
            panic!("nothing is said")
        };
        assert!(waiting.message.contains(&waiting.next.to_string()), "{waiting:?}");
        waiting.next
    };
    let out = Reason::ProviderUnavailable;
    assert_eq!(reported(300, 340, out), at(300));
    assert_eq!(reported(300, 361, out), at(361));
    for over in [50, 60] {
        assert_eq!(reported(over, 90, out), at(90), "the reported one is over");
    }
    assert_eq!(reported(300, 340, Reason::RateLimited), at(340), "that is no estimate");
}

#[test]
fn a_limit_is_named_with_its_reason_and_the_budget_wakes_who_waits() {
    let token = realtime_token();
    let seen = looked(&token, TargetState::Absent, wanted());
    let deferred = |limit| {
        let event = Event::MintDeferred { seen: &seen, limit };
        Lifecycle::restore(&token).step(event)
    };
    let step = deferred(None);
    assert!(step.situation.is_none());
    assert_eq!(step.effect.wait(seen.now), Some(MAX_WAIT));
    for (reason, says) in [
        (Reason::QuotaExhausted, "no credit or quota left"),
        (Reason::ProviderUnavailable, "out of order for every token"),
        (Reason::RateLimited, "it is queued"),
    ] {
        let (until, key) = (at(61), "key \"apps/key\"".to_owned());
        let step = deferred(Some(Limit { until, key, reason }));
        let Some(Situation::MintFailing(waiting)) = &step.situation else {
            panic!("{step:?}")
        };
        assert_eq!((waiting.reason, waiting.next), (reason, until));
        let message = &waiting.message;
        assert!(message.contains(says) && message.contains("apps/key"), "{message}");
        assert_eq!(step.effect.wait(seen.now), Some(MAX_WAIT), "no sooner");
    }
}
