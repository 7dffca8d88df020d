//! How failures are counted, and read back after a restart.

use super::*;
use crate::token::lifecycle::restored_failures;

#[test]
fn a_mint_that_waits_for_a_limit_has_not_failed() {
    let waiting = Case {
        situation: mint_failing(0),
        ..fresh()
    };
    let mut status = waiting.status();
    assert_eq!((status.failed_mint_attempts, &status.last_failure_time), (None, &None));
    assert_eq!(status.next_attempt_time, Some(Time(at(40))));
    let mut token = token();
    token.status = Some(status.clone());
    assert_eq!(restored_failures(&token), (None, None));
    status.failed_mint_attempts = Some(0);
    token.status = Some(status);
    assert_eq!(restored_failures(&token), (None, None));
}

#[test]
fn mints_and_writes_are_counted_apart() {
    let counts = |situation| {
        let status = Case { situation, ..fresh() }.status();
        assert_eq!(status.last_failure_time, Some(Time(at(10))));
        (status.failed_mint_attempts, status.failed_write_attempts)
    };
    assert_eq!(counts(mint_failing(3)), (Some(3), None));
    assert_eq!(counts(Situation::WriteFailing(failing(2))), (None, Some(2)));
}

#[test]
fn failures_are_restored_from_the_status() {
    let failing_mints = Case {
        situation: mint_failing(3),
        ..fresh()
    };
    let failing_writes = Case {
        situation: Situation::WriteFailing(failing(3)),
        ..fresh()
    };
    fn expected<I>() -> Failures<I> {
        Failures {
            last: at(10),
            next: at(40),
            ..failing(3)
        }
    }
    let mut token = token();
    assert_eq!(restored_failures(&token), (None, None));
    token.status = Some(failing_writes.status());
    assert_eq!(restored_failures(&token), (None, Some(expected())));
    token.status = Some(failing_mints.status());
    assert_eq!(restored_failures(&token), (Some(expected()), None));
    let mut none_failed = failing_mints.status();
    none_failed.failed_mint_attempts = Some(0);
    token.status = Some(none_failed);
    assert_eq!(restored_failures(&token), (None, None));
    token.status = Some(failing_mints.status());
    let after_restart = Case {
        prior: failing_mints.status(),
        situation: Situation::MintFailing(expected()),
        ..fresh()
    };
    assert_eq!(after_restart.status(), failing_mints.status());
    token.metadata.generation = Some(5);
    assert_eq!(
        restored_failures(&token),
        (None, None),
        "another spec asks for something else"
    );
    token.metadata.generation = Some(4);
    for damaged in ["Unheard", ""] {
        let conditions = &mut token.status.as_mut().unwrap().conditions;
        conditions[1].reason = damaged.into();
        assert_eq!(restored_failures(&token), (None, None));
    }
}
