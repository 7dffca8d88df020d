//! That an edit has come to effect: not while the Secret holds what an earlier spec asked for.

use super::*;

const APPLIED: ConditionType = ConditionType::SpecApplied;

/// The spec was edited, so that it asks for another token.
fn edited(situation: Situation) -> Case {
    Case {
        inputs: Ok(inputs("another spec", "key", None)),
        situation,
        ..fresh()
    }
}

#[test]
fn a_token_of_the_latest_spec() {
    let message = fresh().is(APPLIED, "True", Reason::Applied);
    assert_eq!(message, "Secret voice is made from the latest spec");
    let another_key = Case {
        inputs: Ok(inputs("spec", "another key", Some("later"))),
        situation: mint_failing(1),
        ..fresh()
    };
    another_key.is(APPLIED, "True", Reason::Applied);
    let suspended = Case {
        situation: Situation::Suspended,
        ..fresh()
    };
    suspended.is(APPLIED, "True", Reason::Applied);
}

/// The old token is good, and is no answer to who waits for the new one.
#[test]
fn ready_says_nothing_of_an_edit() {
    for (situation, reason) in [
        (Situation::Pending, Reason::Pending),
        (mint_failing(1), Reason::CredentialRejected),
        (Situation::Suspended, Reason::Suspended),
    ] {
        let case = edited(situation);
        case.is(ConditionType::Ready, "True", Reason::Issued);
        let message = case.is(APPLIED, "False", reason);
        assert!(
            message.starts_with("Secret voice is still made from an earlier spec: "),
            "{message}"
        );
    }
    let refused = Case {
        inputs: Err(Blocked::new(Reason::ModelNotAllowed, "the model is not allowed")),
        situation: Situation::Blocked(Blocked::new(Reason::ModelNotAllowed, "the model is not allowed")),
        ..fresh()
    };
    refused.is(APPLIED, "False", Reason::ModelNotAllowed);
}

#[test]
fn labels_and_schedule_of_the_secret_belong_to_the_spec() {
    let case = |metadata: &str, renew_before| {
        let mut case = fresh();
        let TargetState::Ours(stored) = &mut case.target else {
            panic!()
        };
        stored.metadata_hash = Some(metadata.into());
        case.token.spec.renewal.renew_before_seconds = renew_before;
        case
    };
    case("desired", None).is(APPLIED, "True", Reason::Applied);
    case("other labels", None).is(APPLIED, "False", Reason::Pending);
    case("desired", Some(700)).is(APPLIED, "False", Reason::Pending);
}

/// A key that goes missing takes nothing back, and an edit meanwhile is not applied.
#[test]
fn what_was_applied_stays_so_while_nothing_can_be_resolved() {
    let missing = Blocked::new(Reason::CredentialNotFound, "there is no Secret key");
    let mut case = Case {
        prior: fresh().status(),
        inputs: Err(missing.clone()),
        situation: Situation::Blocked(missing),
        ..fresh()
    };
    case.is(APPLIED, "True", Reason::Applied);
    case.token.metadata.generation = Some(5);
    case.is(APPLIED, "False", Reason::CredentialNotFound);
    case.prior = case.status();
    case.is(APPLIED, "False", Reason::CredentialNotFound);
}

#[test]
fn without_a_usable_token_it_says_what_ready_says() {
    let ended = Case {
        now: at(1801),
        ..fresh()
    };
    assert_eq!(ended.says(APPLIED), ended.says(ConditionType::Ready));
    let absent = Case {
        target: TargetState::Absent,
        situation: Situation::Pending,
        ..fresh()
    };
    absent.is(APPLIED, "False", Reason::Pending);
}
