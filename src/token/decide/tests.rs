//! Single decisions; `any` has properties of all of them. Sequences of events are in `lifecycle/tests`.

mod any;
mod writes;

use super::*;
use crate::api::{RealtimeTokenStatus, Renewal};
use crate::token::backoff::{MintFailures, WriteFailures};
use crate::token::fixtures::{UID, at, failures, inputs, issued, ours, realtime_token, renewal, stored, unstored};
use crate::token::{Connection, schedule};

/// What a reconcile sees and remembers, to be changed by each test.
#[derive(Debug)]
struct Sight {
    suspended: bool,
    /// Where the Secret is to say where to ask, and no more: whether that is known.
    connection: Option<bool>,
    target: TargetState,
    wanted: Result<(&'static str, &'static str, Option<&'static str>), Blocked>,
    mint_failures: Option<MintFailures>,
    write_failures: Option<WriteFailures>,
    unstored: Option<UnstoredToken>,
    last_mint: Option<Timestamp>,
    issued_before: bool,
    now: Timestamp,
}

/// A token of 1800 s that was stored at 0, looked at a minute later: nothing to do.
fn fresh() -> Sight {
    Sight {
        suspended: false,
        connection: None,
        target: ours(stored(at(0), 1800)),
        wanted: Ok(("spec", "key", None)),
        mint_failures: None,
        write_failures: None,
        unstored: None,
        last_mint: Some(at(0)),
        issued_before: true,
        now: at(60),
    }
}

impl Sight {
    fn decide(&self) -> Decision {
        let mut token = realtime_token();
        token.spec.suspend = self.suspended;
        if self.connection.is_some() {
            token.spec.target.content = TargetContent::Connection;
            token.spec.requests = serde_json::from_value(serde_json::json!({})).unwrap();
        }
        let wanted = self.wanted.clone();
        let mut state = Lifecycle::default();
        state.mint_failures = self.mint_failures.clone().map(Box::new);
        state.write_failures = self.write_failures.clone().map(Box::new);
        state.unstored = self.unstored.clone().map(Box::new);
        state.last_mint = self.last_mint;
        let seen = Observation {
            token: &token,
            prior: RealtimeTokenStatus {
                revision: self.issued_before.then_some(1),
                ..RealtimeTokenStatus::default()
            },
            target: self.target.clone(),
            metadata_hash: "desired".into(),
            endpoint: match self.connection {
                None => RequestsEndpoint::NotEnabled,
                Some(false) => RequestsEndpoint::Unknown,
                Some(true) => RequestsEndpoint::Known(Connection {
                    url: "https://operator.svc".to_owned(),
                    ca_bundle: None,
                }),
            },
            inputs: wanted.map(|(fingerprint, key, renew)| inputs(fingerprint, key, renew)),
            now: self.now,
        };
        decide(&seen, &state)
    }

    fn stored(&mut self) -> &mut Stored {
        let TargetState::Ours(stored) = &mut self.target else {
            panic!("the Secret is not ours")
        };
        stored
    }

    fn issued(&mut self) -> &mut Issued {
        self.stored().issued.as_mut().unwrap()
    }
}

fn waits(decision: &Decision, expected: WaitReason) -> Timestamp {
    match decision {
        Decision::Wait { until, why } if *why == expected => *until,
        other => panic!("{other:?} instead of waiting for {expected:?}"),
    }
}

#[test]
fn a_fresh_token_is_left_alone_until_its_renewal() {
    let mut sight = fresh();
    waits(&sight.decide(), WaitReason::Fresh);
    let due = renewal(at(0), 1800);
    sight.now = due - SignedDuration::from_millis(1);
    assert_eq!(waits(&sight.decide(), WaitReason::Fresh), due);
    sight.now = due;
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Due));
}

type Change = fn(&mut Sight);

#[test]
fn each_trigger() {
    let cases: [(Trigger, Change); 8] = [
        (Trigger::FirstIssue, |s| {
            (s.target, s.issued_before) = (TargetState::Absent, false);
        }),
        (Trigger::SecretDeleted, |s| s.target = TargetState::Absent),
        (Trigger::SecretEdited, |s| s.stored().intact = false),
        (Trigger::SecretEdited, |s| s.stored().issued = None),
        (Trigger::SpecChanged, |s| {
            s.wanted = Ok(("other", "key", None));
        }),
        (Trigger::Forced, |s| {
            s.wanted = Ok(("spec", "key", Some("now")));
        }),
        (Trigger::CredentialChanged, |s| {
            s.wanted = Ok(("spec", "other", None));
        }),
        (Trigger::Due, |s| s.now = at(1799)),
    ];
    for (trigger, change) in cases {
        let mut sight = fresh();
        change(&mut sight);
        assert_eq!(sight.decide(), Decision::Mint(trigger));
    }
}

#[test]
fn what_is_no_trigger() {
    let cases: [Change; 4] = [
        |s| (s.last_mint, s.issued_before) = (None, false), // restart, lost status
        |s| s.issued().inputs.renew_request = Some("handled".into()), // the annotation was taken away
        |s| s.mint_failures = Some(failures(at(9999), None)),
        |s| s.unstored = Some(unstored(at(0), 1800, Some(1))),
    ];
    for change in cases {
        let mut sight = fresh();
        change(&mut sight);
        waits(&sight.decide(), WaitReason::Fresh);
    }
}

#[test]
fn the_order_of_the_questions() {
    // Each line adds what is asked before all of the lines above it.
    let mut sight = fresh();
    sight.stored().metadata_hash = Some("outdated".into());
    assert_eq!(sight.decide(), Decision::Relabel);
    sight.now = at(1500);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Due));
    sight.issued().inputs.credential_revision = "old".into();
    assert_eq!(sight.decide(), Decision::Mint(Trigger::CredentialChanged));
    sight.wanted = Ok(("spec", "key", Some("now")));
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Forced));
    sight.stored().intact = false;
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretEdited));
    sight.issued().inputs.fingerprint = "old".into();
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SpecChanged));
    let blocked = Blocked::new(Reason::CredentialNotFound, "no key");
    sight.wanted = Err(blocked.clone());
    assert_eq!(sight.decide(), Decision::Blocked(blocked));
    sight.target = TargetState::Foreign("controlled by Certificate web".into());
    let Decision::Blocked(conflict) = sight.decide() else {
        panic!("a stranger's Secret must block")
    };
    assert_eq!(conflict.reason, Reason::SecretConflict);
    assert!(
        conflict.message.contains("(controlled by Certificate web)") && conflict.message.contains("Delete that Secret"),
        "{}",
        conflict.message
    );
    sight.suspended = true;
    waits(&sight.decide(), WaitReason::Suspended);
}

#[test]
fn an_address_that_is_not_known_is_waited_for() {
    let mut sight = fresh();
    sight.connection = Some(false);
    assert_eq!(
        waits(&sight.decide(), WaitReason::EndpointUnknown),
        sight.now + MAX_WAIT
    );
}

#[test]
fn a_changed_renewal_setting_is_written_into_the_annotation() {
    let mut sight = fresh();
    sight.stored().renewal_time = Some(at(1));
    assert_eq!(sight.decide(), Decision::Relabel);
    sight.stored().renewal_time = None;
    assert_eq!(sight.decide(), Decision::Relabel);
}

/// The Secret lacks the new key, which is no edit of the Secret.
#[test]
fn a_key_added_to_the_template_is_a_changed_spec() {
    let mut sight = fresh();
    sight.stored().intact = false;
    sight.wanted = Ok(("spec with another key", "key", None));
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SpecChanged));
}

#[test]
fn a_backoff_holds_until_its_end_or_other_inputs() {
    let mut sight = fresh();
    sight.now = at(1500);
    for tried in [None, Some(inputs("spec", "key", None))] {
        sight.mint_failures = Some(failures(at(1560), tried));
        assert_eq!(waits(&sight.decide(), WaitReason::MintBackoff), at(1560));
    }
    for other in [
        ("spec2", "key", None),
        ("spec", "key2", None),
        ("spec", "key", Some("now")),
    ] {
        sight.wanted = Ok(other);
        assert!(
            matches!(sight.decide(), Decision::Mint(_)),
            "{other:?} are other inputs"
        );
    }
    sight.wanted = Ok(("spec", "key", None));
    sight.now = at(1560);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Due));
}

#[test]
fn a_token_at_hand_is_stored_instead_of_minting() {
    let mut sight = fresh();
    sight.target = TargetState::Absent;
    sight.now = at(5);
    for revision in [None, Some(1)] {
        sight.unstored = Some(unstored(at(0), 1800, revision));
        assert_eq!(sight.decide(), Decision::Store(Trigger::SecretDeleted));
    }
    // A backoff is about minting, not about writing.
    sight.mint_failures = Some(failures(at(9999), None));
    assert_eq!(sight.decide(), Decision::Store(Trigger::SecretDeleted));
    sight.mint_failures = None;
    // It is not what is wanted any more.
    for other in [
        ("spec2", "key", None),
        ("spec", "key2", None),
        ("spec", "key", Some("now")),
    ] {
        sight.wanted = Ok(other);
        assert_eq!(waits(&sight.decide(), WaitReason::MinInterval), at(10), "{other:?}");
    }
}

#[test]
fn a_token_minted_for_a_request_that_was_taken_back_is_stored_all_the_same() {
    let mut sight = fresh();
    sight.now = at(1500);
    let mut forced = unstored(at(1499), 1800, None);
    forced.inputs.renew_request = Some("now".into());
    sight.unstored = Some(forced);
    assert_eq!(sight.decide(), Decision::Store(Trigger::Due));
}

#[test]
fn a_token_at_hand_that_is_over_is_not_stored() {
    let mut sight = fresh();
    sight.target = TargetState::Absent;
    sight.last_mint = None;
    sight.unstored = Some(unstored(at(0), 600, None));
    sight.now = at(599); // late, but the provider was paid for it
    assert_eq!(sight.decide(), Decision::Store(Trigger::SecretDeleted));
    sight.now = at(600);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretDeleted));
    // One that was stored before is not worth writing again after its renewal time.
    sight.unstored = Some(unstored(at(0), 600, Some(1)));
    sight.now = renewal(at(0), 600);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretDeleted));
}

#[test]
fn a_newer_token_is_not_replaced_by_an_older_one_at_hand() {
    let mut sight = fresh();
    sight.target = ours(stored(at(5), 1800));
    sight.stored().intact = false;
    sight.unstored = Some(unstored(at(0), 1800, Some(1)));
    sight.now = at(7);
    assert_eq!(waits(&sight.decide(), WaitReason::MinInterval), at(15));
    // The one that was edited is itself at hand.
    sight.unstored = Some(unstored(at(5), 1800, Some(1)));
    assert_eq!(sight.decide(), Decision::Store(Trigger::SecretEdited));
}

#[test]
fn a_clock_that_was_set_back_neither_blocks_nor_mints_twice() {
    let mut sight = fresh();
    // Stored and minted an hour from now.
    sight.target = ours(stored(at(3600), 1800));
    sight.last_mint = Some(at(3600));
    sight.wanted = Ok(("spec", "key", Some("now")));
    sight.now = at(0);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Forced));
    // What was minted then is stored over what seems newer.
    let mut forced = unstored(at(0), 1800, None);
    forced.inputs.renew_request = Some("now".into());
    sight.unstored = Some(forced);
    sight.last_mint = Some(at(0));
    sight.now = at(1);
    assert_eq!(sight.decide(), Decision::Store(Trigger::Forced));
}

/// A status that was restored from a backup, or written by a leader whose clock was ahead.
/// Set back by minutes right after a mint, while the token is still in memory.
#[test]
fn a_token_at_hand_from_the_future_is_not_stored_again() {
    let mut sight = fresh();
    sight.target = TargetState::Absent;
    sight.unstored = Some(unstored(at(300), 1800, Some(1)));
    (sight.now, sight.last_mint) = (at(0), None);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretDeleted));
    // Ten seconds are the difference between two clocks.
    sight.now = at(290);
    assert_eq!(sight.decide(), Decision::Store(Trigger::SecretDeleted));
}

#[test]
fn a_restored_write_failure_holds_for_a_backoff_at_most() {
    let mut sight = fresh();
    (sight.target, sight.last_mint) = (TargetState::Absent, None);
    let soon = at(90);
    sight.write_failures = Some(failures(soon, None));
    assert_eq!(waits(&sight.decide(), WaitReason::WriteBackoff), soon);
    sight.write_failures = Some(failures(at(3_000_000), None));
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretDeleted));
    // The namespace may be another one's.
    sight.write_failures = Some(WriteFailures {
        reason: Reason::NamespaceTerminating,
        ..failures(at(0), None)
    });
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretDeleted));
}

#[test]
fn waits_end_when_a_condition_will_change() {
    let mut sight = fresh();
    sight.suspended = true;
    sight.now = at(1700); // the floor is at 1710
    let below = at(1710) + SignedDuration::from_millis(1);
    assert_eq!(waits(&sight.decide(), WaitReason::Suspended), below);
    sight.now = below;
    assert_eq!(waits(&sight.decide(), WaitReason::Suspended), at(1800));
    sight.now = at(1800);
    assert_eq!(waits(&sight.decide(), WaitReason::Suspended), at(1800) + MAX_WAIT);
}
