//! That the token in the Secret suits one reader: said by a condition, and by one Event when it begins.

use super::*;

fn reasons(prior: &RealtimeTokenStatus, case: &Case) -> Vec<String> {
    let status = case.status();
    new_warnings(prior, &status).map(|c| c.reason.clone()).collect()
}

#[test]
fn tokens_for_one_session_and_for_one_identity_say_so_and_are_ready() {
    let none = fresh().status();
    assert_eq!(find(&none.conditions, ConditionType::SingleReader), None);
    let single = Case {
        single_use: true,
        ..fresh()
    };
    let message = single.is(ConditionType::SingleReader, "True", Reason::SingleUseToken);
    assert!(
        message.contains("serves one session") && message.ends_with("target.content: Connection"),
        "{message}"
    );
    let shared = Case {
        one_reader: true,
        ..fresh()
    };
    let message = shared.is(ConditionType::SingleReader, "True", Reason::SharedIdentity);
    assert!(message.starts_with("livekit.identity"), "{message}");
    shared.is(ConditionType::FreshnessGuaranteed, "True", Reason::LifetimeSufficient);
    for case in [single, shared] {
        let status = case.status();
        assert_eq!((status.reason.as_deref(), status.message), (Some("Ready"), None));
    }
}

#[test]
fn each_who_asks_for_a_token_reads_their_own() {
    let mut case = Case {
        one_reader: true,
        single_use: true,
        ..fresh()
    };
    case.token.spec.requests = Some(Box::new(serde_json::from_str("{}").unwrap()));
    let message = case.is(ConditionType::SingleReader, "True", Reason::SingleUseToken);
    assert!(message.ends_with("set target.content to Connection"), "{message}");
    case.token.spec.target.content = TargetContent::Connection;
    assert_eq!(find(&case.status().conditions, ConditionType::SingleReader), None);
}

#[test]
fn one_event_when_it_begins_beside_that_of_a_failure() {
    let shared = Case {
        one_reader: true,
        ..fresh()
    };
    let none = RealtimeTokenStatus::default();
    assert_eq!(reasons(&none, &shared), ["SharedIdentity"]);
    let before = shared.status();
    let renewed = Case {
        prior: before.clone(),
        target: ours(1900, 2),
        now: at(900),
        one_reader: true,
        ..fresh()
    };
    assert_eq!(reasons(&before, &renewed), [""; 0]);
    let failing = Case {
        situation: mint_failing(1),
        single_use: true,
        ..fresh()
    };
    assert_eq!(reasons(&none, &failing), ["CredentialRejected", "SingleUseToken"]);
    assert_eq!(
        reasons(&before, &failing),
        ["CredentialRejected", "SingleUseToken"],
        "another reason"
    );
    assert_eq!(reasons(&before, &fresh()), [""; 0], "it ends");
}
