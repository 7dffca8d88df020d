//! After a write of the Secret failed.

use super::*;

/// A write failed at 0. `secret` is the uid of the Secret that it was of.
fn failed(reason: Reason, next: Timestamp, secret: Option<&str>) -> Option<WriteFailures> {
    let tried = WriteInputs {
        mint: inputs("spec", "key", None),
        metadata_hash: "desired".into(),
        secret: secret.map(str::to_owned),
    };
    Some(WriteFailures {
        reason,
        ..failures(next, Some(tried))
    })
}

#[test]
fn nothing_is_minted_for_a_secret_that_takes_no_token() {
    let mut sight = fresh();
    sight.now = at(1300);
    sight.write_failures = failed(Reason::SecretImmutable, at(1), Some("s"));
    assert_eq!(waits(&sight.decide(), WaitReason::WriteBackoff), sight.now + MAX_WAIT);
    // Another Secret of that name was created since.
    sight.write_failures = failed(Reason::SecretImmutable, at(1), Some("before"));
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Due));
    sight.target = TargetState::Absent;
    for secret in [Some("s"), None] {
        sight.write_failures = failed(Reason::SecretImmutable, at(1), secret);
        assert_eq!(
            sight.decide(),
            Decision::Mint(Trigger::SecretDeleted),
            "{secret:?} is deleted"
        );
    }
    sight.write_failures = failed(Reason::NamespaceTerminating, at(1), None);
    assert_eq!(waits(&sight.decide(), WaitReason::WriteBackoff), sight.now + MAX_WAIT);
    sight.write_failures = failed(Reason::SecretWriteFailed, at(1), None);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretDeleted));
}

#[test]
fn a_token_that_could_not_be_written_is_written_when_the_backoff_ends() {
    let mut sight = fresh();
    sight.now = at(1300);
    sight.unstored = Some(unstored(at(1290), 1800, None));
    sight.write_failures = failed(Reason::SecretWriteFailed, at(1301), Some("s"));
    assert_eq!(waits(&sight.decide(), WaitReason::WriteBackoff), at(1301));
    sight.now = at(1301);
    assert_eq!(sight.decide(), Decision::Store(Trigger::Due));
}

/// An admission policy changes the labels of each write. The token is not for it to delay.
#[test]
fn a_new_token_does_not_wait_for_labels_that_are_rewritten() {
    let mut sight = fresh();
    sight.now = at(1300);
    sight.unstored = Some(unstored(at(1290), 1800, None));
    sight.write_failures = failed(Reason::SecretRewritten, at(1560), Some("s"));
    assert_eq!(sight.decide(), Decision::Store(Trigger::Due));
}

#[test]
fn after_a_restart_a_renewal_does_not_wait_for_labels_that_are_rewritten() {
    let mut sight = fresh();
    sight.now = at(1300);
    let restored = |reason| {
        Some(WriteFailures {
            reason,
            ..failures(at(1360), None)
        })
    };
    sight.write_failures = restored(Reason::SecretRewritten);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Due));
    sight.write_failures = restored(Reason::SecretWriteFailed);
    assert_eq!(waits(&sight.decide(), WaitReason::WriteBackoff), at(1360));
    sight.write_failures = restored(Reason::SecretRewritten);
    sight.target = TargetState::Absent;
    assert_eq!(waits(&sight.decide(), WaitReason::WriteBackoff), at(1360));
}
