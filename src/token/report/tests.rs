//! Statuses, and that they stand still while nothing changes.

mod failures;
mod requests;
mod single_reader;
mod spec_applied;
mod stands_still;

use super::*;
use crate::api::{Limits, RealtimeToken, Renewal};
use crate::token::fixtures::{UID, at, inputs, realtime_token as token, stored};
use crate::token::schedule::plan;
use crate::token::secret::RequestsEndpoint;
use crate::token::secret::Stored;
use crate::token::{Blocked, MintInputs};

/// A Secret with a token asked for at 0.25 s that lives so many seconds from 0.
fn ours(life: i64, revision: i64) -> TargetState {
    let issued_at = at(0) + SignedDuration::from_millis(250);
    TargetState::Ours(Box::new(Stored {
        renewal_time: Some(plan(&Renewal::default(), UID, issued_at, at(life)).renewal_time),
        issued: Some(Issued {
            issued_at,
            usable_until: at(life),
            expires_at: at(life) + SignedDuration::from_millis(750),
            revision,
            inputs: inputs("spec", "key", Some("now")),
            content_hash: "content".into(),
        }),
        ..stored(at(0), life)
    }))
}

fn failing<I>(failed: u32) -> Failures<I> {
    Failures {
        failed,
        last: at(10) + SignedDuration::from_millis(600),
        next: at(40) + SignedDuration::from_millis(100),
        inputs: None,
        reason: Reason::CredentialRejected,
        message: "OpenAI refused the key (401)".into(),
    }
}

fn mint_failing(failed: u32) -> Situation {
    Situation::MintFailing(failing(failed))
}

/// What a report is made of, to be changed by each test.
struct Case {
    token: RealtimeToken,
    prior: RealtimeTokenStatus,
    target: TargetState,
    situation: Situation,
    inputs: Result<MintInputs, Blocked>,
    endpoint: RequestsEndpoint,
    health: Option<CredentialHealth>,
    single_use: bool,
    one_reader: bool,
    lifetime: Lifetime,
    asked: i64,
    now: Timestamp,
}

/// A token of 1800 s that was stored at 0, looked at a minute later.
fn fresh() -> Case {
    Case {
        token: token(),
        prior: RealtimeTokenStatus::default(),
        target: ours(1800, 1),
        situation: Situation::Settled,
        inputs: Ok(inputs("spec", "key", None)),
        endpoint: RequestsEndpoint::default(),
        health: None,
        single_use: false,
        one_reader: false,
        lifetime: Lifetime::Chosen(Limits::new("OpenAI client secrets", 10, 7200)),
        asked: 1800,
        now: at(60),
    }
}

impl Case {
    fn status(&self) -> RealtimeTokenStatus {
        let seen = Observation {
            token: &self.token,
            prior: self.prior.clone(),
            target: self.target.clone(),
            metadata_hash: "desired".into(),
            endpoint: self.endpoint.clone(),
            inputs: self.inputs.clone(),
            now: self.now,
        };
        status(&Findings {
            seen: &seen,
            situation: &self.situation,
            provider: Some("openai".into()),
            health: self.health.clone(),
            unknown_overridable: None,
            kind: TokenKind {
                single_use: self.single_use.then_some(
                    "such a token serves one session: the first reader of the Secret uses it up. Mint one for each \
                     session instead, or choose a kind that can be shared",
                ),
                one_reader: self
                    .one_reader
                    .then_some("livekit.identity: all readers are one participant"),
                lifetime: Some(self.lifetime),
                asked: Some(SignedDuration::from_secs(self.asked)),
            },
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
fn a_stored_token_is_in_the_status() {
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
    let renewed = Case {
        target: ours(1800, 2),
        ..fresh()
    };
    renewed.is(ConditionType::Ready, "True", Reason::Renewed);
    let shared_badly = Case {
        single_use: true,
        ..fresh()
    };
    shared_badly.is(ConditionType::FreshnessGuaranteed, "False", Reason::SingleUseToken);
}

#[test]
fn ready_ends_at_the_floor_and_says_why() {
    let look = |second: i64| Case {
        now: at(second),
        ..fresh()
    };
    look(1710).is(ConditionType::Ready, "True", Reason::Issued); // exactly 90 s left
    let low = look(1711).is(ConditionType::Ready, "False", Reason::Expired);
    assert!(low.contains("minRemainingSeconds (90 s)"), "{low}");
    let over = look(1800).is(ConditionType::Ready, "False", Reason::Expired);
    assert!(over.contains("ended at"), "{over}");
    let failing = Case {
        situation: mint_failing(3),
        ..look(1711)
    };
    let because = failing.is(ConditionType::Ready, "False", Reason::CredentialRejected);
    assert!(
        because.ends_with("OpenAI refused the key (401)") && because.contains("90 s"),
        "{because}"
    );
    let suspended = Case {
        situation: Situation::Suspended,
        ..look(1801)
    };
    suspended.is(ConditionType::Ready, "False", Reason::Suspended);
    suspended.is(ConditionType::Renewing, "False", Reason::Suspended);
    let short = Case {
        target: ours(60, 1),
        ..look(1)
    };
    short.is(ConditionType::Ready, "False", Reason::LifetimeTooShort);
    short.is(ConditionType::FreshnessGuaranteed, "False", Reason::LifetimeTooShort);
}

/// A larger `expirationSeconds` is not advised to who has asked for more than was granted, or for the most.
#[test]
fn a_life_shorter_by_less_than_ten_seconds_is_as_asked() {
    let helps = |life: i64| {
        let kind = TokenKind {
            lifetime: Some(fresh().lifetime),
            asked: Some(SignedDuration::from_secs(40)),
            ..TokenKind::default()
        };
        raise_or_lower(&kind, SignedDuration::from_millis(life))
    };
    assert_eq!(helps(30_000), "raise expirationSeconds or lower");
    assert!(helps(29_999).starts_with("the provider granted 29 s of the 40 s"));
}

#[test]
fn a_life_of_exactly_min_remaining_seconds_is_not_called_too_short() {
    let mut stored = stored(at(0), 90);
    for (now, status, reason) in [(at(0), "True", Reason::Issued), (at(1), "False", Reason::Expired)] {
        let case = Case {
            target: TargetState::Ours(Box::new(stored.clone())),
            now,
            ..fresh()
        };
        case.is(ConditionType::Ready, status, reason);
    }
    stored.issued.as_mut().unwrap().issued_at = at(1);
    let case = Case {
        target: TargetState::Ours(Box::new(stored)),
        now: at(1),
        ..fresh()
    };
    case.is(ConditionType::Ready, "False", Reason::LifetimeTooShort);
}

#[test]
fn a_life_that_is_too_short_says_what_helps() {
    let limits = Limits::new("such tokens", 10, 300);
    let granted_less = "the provider granted 29 s of the 1800 s asked for, so a larger expirationSeconds won't help";
    for (lifetime, asked, life, says) in [
        (fresh().lifetime, 1800, 30, granted_less),
        (Lifetime::InBlock, 1800, 30, granted_less),
        (fresh().lifetime, 31, 30, "raise expirationSeconds or lower"),
        (Lifetime::Offered(limits), 0, 30, "raise expirationSeconds or lower"),
        (
            Lifetime::Offered(limits),
            300,
            300,
            "such tokens live 300 s at most: lower",
        ),
        (Lifetime::Fixed(30), 30, 30, "the provider alone decides"),
        (Lifetime::Stated, 0, 30, "the provider alone decides"),
    ] {
        let case = Case {
            target: ours(life, 1),
            lifetime,
            asked,
            now: at(1),
            ..fresh()
        };
        let message = case.is(ConditionType::FreshnessGuaranteed, "False", Reason::LifetimeTooShort);
        assert!(message.contains(says), "{message}");
        assert!(message.len() < 500, "{message}");
        if life < 90 {
            let message = case.is(ConditionType::Ready, "False", Reason::LifetimeTooShort);
            assert!(message.contains(says), "{message}");
            assert!(message.ends_with("lower minRemainingSeconds"), "{message}");
        }
    }
}

#[test]
fn no_floor_holds_until_the_very_end() {
    let mut token = token();
    token.spec.renewal.min_remaining_seconds = 0;
    let look = |millis: i64| Case {
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
    let mut edited = ours(1800, 1);
    let TargetState::Ours(stored) = &mut edited else {
        panic!()
    };
    stored.intact = false;
    let foreign = TargetState::Foreign("a stranger".into());
    for target in [TargetState::Absent, foreign, edited] {
        let look = |situation| Case {
            target: target.clone(),
            situation,
            ..fresh()
        };
        for (situation, renewing, reason) in [
            (Situation::Pending, "True", Reason::Pending),
            (Situation::Settled, "True", Reason::Pending),
            (mint_failing(1), "True", Reason::CredentialRejected),
            (Situation::Blocked(blocked.clone()), "True", blocked.reason),
            (Situation::Suspended, "False", Reason::Suspended),
        ] {
            let case = look(situation);
            case.is(ConditionType::Ready, "False", reason);
            case.is(ConditionType::Renewing, renewing, reason);
            case.is(ConditionType::FreshnessGuaranteed, "Unknown", Reason::Pending);
            let status = case.status();
            assert_eq!((status.secret_ref, status.expires_at), (None, None));
        }
    }
}

#[test]
fn what_was_known_stays_known_without_a_secret() {
    let gone = Case {
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
fn only_news_is_an_event() {
    let rate_limited = Failures {
        reason: Reason::RateLimited,
        ..failing(2)
    };
    let settled = fresh().status();
    let of = |situation, second| Case {
        situation,
        now: at(second),
        ..fresh()
    };
    let reason = |prior: &RealtimeTokenStatus, case: &Case| {
        let status = case.status();
        let reasons: Vec<_> = new_warnings(prior, &status).map(|c| c.reason.clone()).collect();
        assert!(reasons.len() <= 1, "{reasons:?}");
        reasons.first().cloned()
    };
    let none = RealtimeTokenStatus::default();
    let is = |reason: Reason| Some(reason.as_str().to_owned());
    assert_eq!(reason(&none, &fresh()), None);
    for quiet in [Situation::Pending, Situation::Suspended] {
        assert_eq!(reason(&settled, &of(quiet.clone(), 60)), None);
        assert_eq!(reason(&none, &of(quiet, 60)), None);
    }
    let failing = of(mint_failing(1), 60);
    assert_eq!(reason(&settled, &failing), is(Reason::CredentialRejected));
    assert_eq!(reason(&none, &failing), is(Reason::CredentialRejected));
    let before = failing.status();
    assert_eq!(reason(&before, &of(mint_failing(2), 60)), None);
    let other = of(Situation::MintFailing(rate_limited), 60);
    assert_eq!(reason(&before, &other), is(Reason::RateLimited));
    assert_eq!(reason(&before, &fresh()), None, "recovery");
    let expired = of(Situation::Pending, 1801);
    assert_eq!(reason(&settled, &expired), is(Reason::Expired));
    assert_eq!(reason(&expired.status(), &expired), None);
    let short = Case {
        target: ours(300, 1),
        ..fresh()
    };
    assert_eq!(reason(&settled, &short), is(Reason::LifetimeTooShort));
    assert_eq!(reason(&short.status(), &short), None);
}
