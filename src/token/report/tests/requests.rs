//! What is said of tokens on request.

use super::*;
use crate::api::TargetContent;
use crate::token::Connection;
use crate::token::report::provider::KeyVerdict;
use crate::token::secret::RequestsEndpoint;

const SERVING: ConditionType = ConditionType::Serving;

/// The case of a RealtimeToken that tokens are requested of.
fn served() -> Case {
    let mut case = fresh();
    case.token.spec.requests = serde_json::from_value(serde_json::json!({})).unwrap();
    case.endpoint = RequestsEndpoint::Known(Connection {
        url: "https://operator.ns.svc".to_owned(),
        ca_bundle: None,
    });
    case
}

/// The same, whose Secret only says where to ask.
fn only_on_request() -> Case {
    let mut case = served();
    case.token.spec.target.content = TargetContent::Connection;
    case.target = TargetState::Ours(Box::new(Stored {
        issued: None,
        renewal_time: None,
        content: TargetContent::Connection,
        ..stored(at(0), 1)
    }));
    case
}

fn has_serving(case: &Case) -> bool {
    find(&case.status().conditions, SERVING).is_some()
}

#[test]
fn without_requests_nothing_is_said() {
    let mut case = served();
    assert!(has_serving(&case));
    case.token.spec.requests = None;
    assert!(!has_serving(&case));
}

#[test]
fn served_names_the_url() {
    let url = "https://operator.ns.svc/v1alpha1/namespaces/apps/realtimetokens/voice/token";
    for case in [served(), only_on_request()] {
        let message = case.is(SERVING, "True", Reason::RequestsServed);
        assert!(message.contains(url), "{message}");
    }
}

#[test]
fn whatever_keeps_tokens_from_being_handed_out_is_the_reason() {
    for base in [served, only_on_request] {
        let mut case = base();
        case.endpoint = RequestsEndpoint::NotEnabled;
        let message = case.is(SERVING, "False", Reason::RequestsNotEnabled);
        assert!(message.contains("requests.enabled=true"), "{message}");

        let mut case = base();
        case.inputs = Err(Blocked::new(Reason::CredentialNotFound, "no key"));
        case.situation = Situation::Blocked(Blocked::new(Reason::CredentialNotFound, "no key"));
        assert_eq!(case.is(SERVING, "False", Reason::CredentialNotFound), "no key");

        let mut case = base();
        case.token.spec.suspend = true;
        case.situation = Situation::Suspended;
        case.is(SERVING, "False", Reason::Suspended);

        let mut case = base();
        case.asked = 30; // the policy's maximum
        let message = case.is(SERVING, "False", Reason::LifetimeTooShort);
        assert!(message.contains("lower requests.minRemainingSeconds"), "{message}");
        case.asked = 31;
        case.is(SERVING, "True", Reason::RequestsServed);
    }
}

/// A failure of the Secret's own mints is one of all; what is wrong with the Secret alone is not.
#[test]
fn what_fails_for_the_secret() {
    let mut case = served();
    case.situation = mint_failing(1);
    case.is(SERVING, "False", Reason::CredentialRejected);
    for situation in [
        Situation::WriteFailing(failing(1)),
        Situation::Blocked(Blocked::new(Reason::SecretConflict, "another's")),
        Situation::MintFailing(Failures {
            reason: Reason::ChangedTooOften,
            ..failing(0)
        }),
        Situation::MintFailing(Failures {
            reason: Reason::RateLimited,
            ..failing(0)
        }),
    ] {
        case.situation = situation;
        case.is(SERVING, "True", Reason::RequestsServed);
    }
}

/// No mint of its own shows what is wrong with the credential.
#[test]
fn what_other_mints_with_the_credential_have_shown() {
    let refused = |revision: &str| CredentialHealth {
        verdict: Some(KeyVerdict {
            revision: revision.to_owned(),
            result: Err(Blocked::new(
                Reason::CredentialRejected,
                "key of operator/platform-secret",
            )),
        }),
        ..CredentialHealth::default()
    };
    let mut case = only_on_request();
    case.health = Some(refused("key"));
    let message = case.is(SERVING, "False", Reason::CredentialRejected);
    assert!(!message.contains("platform-secret"), "{message}");
    case.is(ConditionType::Ready, "True", Reason::OnRequestOnly);
    case.health = Some(refused("the key before"));
    case.is(SERVING, "True", Reason::RequestsServed);

    case.health = Some(CredentialHealth {
        unavailable_since: Some(at(0)),
        ..CredentialHealth::default()
    });
    case.is(SERVING, "False", Reason::ProviderUnavailable);
    case.now = at(29);
    case.is(SERVING, "True", Reason::RequestsServed); // not worth a status yet
}

#[test]
fn what_was_said_stands_until_the_certificate_is_known() {
    let mut case = served();
    case.endpoint = RequestsEndpoint::Unknown;
    case.is(SERVING, "False", Reason::Pending);
    case.prior = served().status();
    case.is(SERVING, "True", Reason::RequestsServed);
    case.token.spec.suspend = true;
    case.is(SERVING, "False", Reason::Suspended);
}

#[test]
fn a_secret_that_only_says_where_to_ask() {
    let case = only_on_request();
    let status = case.status();
    assert_eq!(status.secret_ref.as_ref().unwrap().name, "voice");
    let times = (
        status.issued_at,
        status.usable_until,
        status.expires_at,
        status.renewal_time,
    );
    assert_eq!(times, (None, None, None, None));
    case.is(ConditionType::Ready, "True", Reason::OnRequestOnly);
    case.is(ConditionType::Renewing, "False", Reason::OnRequestOnly);
    let message = case.is(ConditionType::FreshnessGuaranteed, "True", Reason::OnRequestOnly);
    assert!(message.contains("30 s"), "{message}");
    assert_eq!(new_warnings(&RealtimeTokenStatus::default(), &case.status()).count(), 0);

    let absent = Case {
        target: TargetState::Absent,
        situation: Situation::WriteFailing(failing(1)),
        ..only_on_request()
    };
    absent.is(ConditionType::Ready, "False", Reason::CredentialRejected);
    assert_eq!(absent.status().secret_ref, None);
    let soon = Case {
        situation: Situation::Pending,
        ..absent
    };
    soon.is(ConditionType::Ready, "False", Reason::Pending);
    // What is there will do until it can be written anew.
    let outdated = Case {
        situation: Situation::WriteFailing(failing(1)),
        ..only_on_request()
    };
    outdated.is(ConditionType::Ready, "True", Reason::OnRequestOnly);
    outdated.is(ConditionType::Renewing, "True", Reason::CredentialRejected);
    let suspended = Case {
        situation: Situation::Suspended,
        ..only_on_request()
    };
    suspended.is(ConditionType::Ready, "False", Reason::Suspended);
}

#[test]
fn a_life_that_is_not_known_is_not_too_short() {
    let mut case = served();
    case.asked = 30;
    case.is(SERVING, "False", Reason::LifetimeTooShort);
    case.lifetime = Lifetime::Stated;
    case.is(SERVING, "True", Reason::RequestsServed);
    case = served();
    case.asked = 0;
    case.is(SERVING, "True", Reason::RequestsServed);
}

#[test]
fn that_no_token_is_handed_out_is_a_warning_once() {
    let mut case = served();
    case.endpoint = RequestsEndpoint::NotEnabled;
    let (before, now) = (fresh().status(), case.status());
    let failure = new_warnings(&before, &now).next().unwrap();
    assert_eq!(
        (failure.type_.as_str(), failure.reason.as_str()),
        ("Serving", "RequestsNotEnabled")
    );
    assert_eq!(new_warnings(&now, &case.status()).count(), 0);
    case.endpoint = RequestsEndpoint::Unknown;
    assert_eq!(new_warnings(&before, &case.status()).count(), 0, "a matter of moments");
}

#[test]
fn a_token_for_one_session_is_fresh_for_each_who_asks() {
    for mut case in [fresh(), served()] {
        case.single_use = true;
        case.is(ConditionType::FreshnessGuaranteed, "False", Reason::SingleUseToken);
    }
    let mut case = only_on_request();
    case.single_use = true;
    case.is(ConditionType::FreshnessGuaranteed, "True", Reason::OnRequestOnly);
}
