//! Statuses, and that they stand still while nothing changes.

mod stands_still;

use serde_json::json;

use super::*;
use crate::token::Stored;

const UID: &str = "6f0c3a5e-9d51-4f4e-8f57-3b0d6a4f1c11";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_334_400 + second).unwrap()
}

fn token() -> RealtimeToken {
    let token = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "voice", "namespace": "apps", "generation": 4},
        "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "key"}}},
    });
    serde_json::from_value(token).unwrap()
}

/// A Secret with a token asked for at 0.25 s that lives so many seconds from 0.
fn ours(life: i64, revision: i64) -> TargetState {
    TargetState::Ours(Box::new(Stored {
        uid: "s".into(),
        resource_version: "1".into(),
        issued: Some(Issued {
            issued_at: at(0) + SignedDuration::from_millis(250),
            usable_until: at(life),
            expires_at: at(life) + SignedDuration::from_millis(750),
            revision,
            fingerprint: "spec".into(),
            credential_revision: "key".into(),
            renew_request: Some("now".into()),
        }),
        intact: true,
        metadata_hash: None,
        renewal_time: None,
    }))
}

fn failing(failed: u32) -> Attempts {
    Attempts {
        failed,
        last: at(10) + SignedDuration::from_millis(600),
        next: at(40) + SignedDuration::from_millis(100),
        asked: Some("spec/key/".into()),
        reason: Reason::CredentialRejected,
        message: "OpenAI refused the key (401)".into(),
    }
}

/// What a report is made of, to be changed by each test.
struct Scene<'a> {
    token: RealtimeToken,
    prior: RealtimeTokenStatus,
    target: TargetState,
    situation: Situation<'a>,
    single_use: bool,
    now: Timestamp,
}

/// A token of 1800 s that was stored at 0, looked at a minute later.
fn fresh<'a>() -> Scene<'a> {
    Scene {
        token: token(),
        prior: RealtimeTokenStatus::default(),
        target: ours(1800, 1),
        situation: Situation::Settled,
        single_use: false,
        now: at(60),
    }
}

impl Scene<'_> {
    fn status(&self) -> RealtimeTokenStatus {
        status(&Findings {
            token: &self.token,
            prior: &self.prior,
            uid: UID,
            target: &self.target,
            situation: self.situation,
            provider: Some("openai".into()),
            single_use: self.single_use.then_some(
                "such a token serves one session: the first reader of the Secret uses it up. Mint one for each \
                 session instead, or choose a kind that can be shared",
            ),
            now: self.now,
        })
    }

    /// Status, reason and message of a condition.
    fn says(&self, type_: ConditionType) -> (String, String, String) {
        let status = self.status();
        let condition = find(&status.conditions, type_).unwrap().clone();
        (condition.status, condition.reason, condition.message)
    }

    fn is(&self, type_: ConditionType, status: &str, reason: Reason) -> String {
        let (found, because, message) = self.says(type_);
        let expected = (status, reason.as_str());
        assert_eq!((found.as_str(), because.as_str()), expected, "{message}");
        message
    }
}

#[test]
fn a_stored_token_is_told_of() {
    let status = fresh().status();
    let time = |second| Some(Time(at(second)));
    assert_eq!(status.observed_generation, Some(4));
    assert_eq!(status.provider.as_deref(), Some("openai"));
    assert_eq!(status.secret_ref.as_ref().unwrap().name, "voice");
    // Whole seconds, cut.
    assert_eq!(status.issued_at, time(0));
    assert_eq!(status.usable_until, time(1800));
    assert_eq!(status.expires_at, time(1800));
    assert_eq!(status.revision, Some(1));
    assert_eq!(status.last_handled_renew_request.as_deref(), Some("now"));
    assert_eq!(status.failed_mint_attempts, None);
    fresh().is(ConditionType::Ready, "True", Reason::Issued);
    fresh().is(ConditionType::Renewing, "False", Reason::AwaitingRenewal);
    let fresh_enough = Reason::LifetimeSufficient;
    fresh().is(ConditionType::FreshnessGuaranteed, "True", fresh_enough);
    let renewed = Scene {
        target: ours(1800, 2),
        ..fresh()
    };
    renewed.is(ConditionType::Ready, "True", Reason::Renewed);
    let shared_badly = Scene {
        single_use: true,
        ..fresh()
    };
    shared_badly.is(ConditionType::FreshnessGuaranteed, "False", Reason::SingleUseToken);
}

#[test]
fn ready_ends_at_the_floor_and_says_why() {
    let look = |second: i64| Scene {
        now: at(second),
        ..fresh()
    };
    look(1710).is(ConditionType::Ready, "True", Reason::Issued); // exactly 90 s left
    let low = look(1711).is(ConditionType::Ready, "False", Reason::Expired);
    assert!(low.contains("minRemainingSeconds (90 s)"), "{low}");
    let over = look(1800).is(ConditionType::Ready, "False", Reason::Expired);
    assert!(over.contains("ended at"), "{over}");
    let attempts = failing(3);
    let failing = Scene {
        situation: Situation::Failing(&attempts),
        ..look(1711)
    };
    let because = failing.is(ConditionType::Ready, "False", Reason::CredentialRejected);
    assert!(
        because.ends_with(&attempts.message) && because.contains("90 s"),
        "{because}"
    );
    let suspended = Scene {
        situation: Situation::Suspended,
        ..look(1801)
    };
    suspended.is(ConditionType::Ready, "False", Reason::Suspended);
    suspended.is(ConditionType::Renewing, "False", Reason::Suspended);
    let short = Scene {
        target: ours(60, 1),
        ..look(1)
    };
    short.is(ConditionType::Ready, "False", Reason::LifetimeTooShort);
    short.is(ConditionType::FreshnessGuaranteed, "False", Reason::LifetimeTooShort);
}

#[test]
fn no_floor_holds_until_the_very_end() {
    let mut token = token();
    token.spec.renewal.min_remaining_seconds = 0;
    let look = |millis: i64| Scene {
        token: token.clone(),
        now: at(1800) + SignedDuration::from_millis(millis),
        ..fresh()
    };
    look(-1).is(ConditionType::Ready, "True", Reason::Issued);
    look(0).is(ConditionType::Ready, "False", Reason::Expired);
}

#[test]
fn without_a_token_of_ours_nothing_is_ready() {
    let blocked = Blocked::new(Reason::ProviderNotFound, "there is none");
    let attempts = failing(1);
    let mut edited = ours(1800, 1);
    let TargetState::Ours(stored) = &mut edited else {
        panic!()
    };
    stored.intact = false;
    let foreign = TargetState::Foreign("a stranger".into());
    for target in [TargetState::Absent, foreign, edited] {
        let look = |situation| Scene {
            target: target.clone(),
            situation,
            ..fresh()
        };
        for (situation, renewing, reason) in [
            (Situation::Pending, "True", Reason::Pending),
            (Situation::Settled, "True", Reason::Pending),
            (Situation::Failing(&attempts), "True", attempts.reason),
            (Situation::Blocked(&blocked), "True", blocked.reason),
            (Situation::Suspended, "False", Reason::Suspended),
        ] {
            let scene = look(situation);
            scene.is(ConditionType::Ready, "False", reason);
            scene.is(ConditionType::Renewing, renewing, reason);
            scene.is(ConditionType::FreshnessGuaranteed, "Unknown", Reason::Pending);
            let status = scene.status();
            assert_eq!((status.secret_ref, status.expires_at), (None, None));
        }
    }
}

#[test]
fn what_was_known_stays_known_without_a_secret() {
    let gone = Scene {
        prior: fresh().status(),
        target: TargetState::Absent,
        situation: Situation::Pending,
        ..fresh()
    };
    let status = gone.status();
    assert_eq!(status.revision, Some(1));
    assert_eq!(status.last_handled_renew_request.as_deref(), Some("now"));
    assert_eq!((status.usable_until, status.renewal_time), (None, None));
}

#[test]
fn who_waits_for_its_turn_has_not_failed() {
    let attempts = failing(0);
    let waiting = Scene {
        situation: Situation::Failing(&attempts),
        ..fresh()
    };
    let mut status = waiting.status();
    assert_eq!((status.failed_mint_attempts, &status.last_failure_time), (None, &None));
    assert_eq!(status.next_attempt_time, Some(Time(at(40))));
    let mut token = token();
    token.status = Some(status.clone());
    assert_eq!(super::attempts(&token), None);
    status.failed_mint_attempts = Some(0);
    token.status = Some(status);
    assert_eq!(super::attempts(&token), None);
}

#[test]
fn attempts_are_remembered_by_the_status() {
    let attempts = failing(3);
    let failing = Scene {
        situation: Situation::Failing(&attempts),
        ..fresh()
    };
    let mut token = token();
    assert_eq!(super::attempts(&token), None);
    token.status = Some(failing.status());
    let remembered = super::attempts(&token).unwrap();
    let expected = Attempts {
        last: at(10),
        next: at(40),
        asked: None,
        ..attempts.clone()
    };
    assert_eq!(remembered, expected);
    let after_restart = Scene {
        prior: failing.status(),
        situation: Situation::Failing(&remembered),
        ..fresh()
    };
    assert_eq!(after_restart.status(), failing.status());
    token.metadata.generation = Some(5);
    assert_eq!(super::attempts(&token), None, "another spec is another question");
    token.metadata.generation = Some(4);
    for damaged in ["Unheard", ""] {
        let conditions = &mut token.status.as_mut().unwrap().conditions;
        conditions[1].reason = damaged.into();
        assert_eq!(super::attempts(&token), None);
    }
}

#[test]
fn only_news_is_an_event() {
    let attempts = failing(1);
    let again = failing(2);
    let rate_limited = Attempts {
        reason: Reason::RateLimited,
        ..failing(2)
    };
    let settled = fresh().status();
    let of = |situation, second| Scene {
        situation,
        now: at(second),
        ..fresh()
    };
    let reason = |prior: &RealtimeTokenStatus, scene: &Scene<'_>| {
        new_failure(prior, &scene.status()).map(|condition| condition.reason.clone())
    };
    let none = RealtimeTokenStatus::default();
    let told = |reason: Reason| Some(reason.as_str().to_owned());
    assert_eq!(reason(&none, &fresh()), None);
    for quiet in [Situation::Pending, Situation::Suspended] {
        assert_eq!(reason(&settled, &of(quiet, 60)), None);
        assert_eq!(reason(&none, &of(quiet, 60)), None);
    }
    let failing = of(Situation::Failing(&attempts), 60);
    assert_eq!(reason(&settled, &failing), told(Reason::CredentialRejected));
    assert_eq!(reason(&none, &failing), told(Reason::CredentialRejected));
    let before = failing.status();
    assert_eq!(reason(&before, &of(Situation::Failing(&again), 60)), None);
    let other = of(Situation::Failing(&rate_limited), 60);
    assert_eq!(reason(&before, &other), told(Reason::RateLimited));
    assert_eq!(reason(&before, &fresh()), None, "recovery");
    let expired = of(Situation::Pending, 1801);
    assert_eq!(reason(&settled, &expired), told(Reason::Expired));
    assert_eq!(reason(&expired.status(), &expired), None);
    let short = Scene {
        target: ours(300, 1),
        ..fresh()
    };
    assert_eq!(reason(&settled, &short), told(Reason::LifetimeTooShort));
    assert_eq!(reason(&short.status(), &short), None);
}
