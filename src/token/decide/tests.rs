//! Single decisions; `any` has properties of all of them, `life` sequences of events.

mod any;
mod life;

use super::*;
use crate::api::Renewal;
use crate::token::Minted;
use crate::token::{Attempts, Blocked, Issued, Stored};

const UID: &str = "6f0c3a5e-9d51-4f4e-8f57-3b0d6a4f1c11";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_334_400 + second).unwrap()
}

fn minted(issued_at: Timestamp, life: i64) -> Minted {
    let end = issued_at + SignedDuration::from_secs(life);
    Minted {
        provider: "openai".into(),
        value: "ek_1".into(),
        issued_at,
        usable_until: end,
        expires_at: end,
        config: serde_json::Map::new(),
        outputs: std::collections::BTreeMap::new(),
    }
}

fn issued(issued_at: Timestamp, life: i64) -> Issued {
    Issued {
        issued_at,
        usable_until: issued_at + SignedDuration::from_secs(life),
        expires_at: issued_at + SignedDuration::from_secs(life),
        revision: 1,
        fingerprint: "spec".into(),
        credential_revision: "key".into(),
        renew_request: None,
    }
}

fn ours(issued_at: Timestamp, life: i64) -> Stored {
    Stored {
        uid: "s".into(),
        resource_version: "1".into(),
        issued: Some(issued(issued_at, life)),
        intact: true,
        metadata_hash: Some("dress".into()),
        renewal_time: Some(renewal(issued_at, life)),
    }
}

fn renewal(issued_at: Timestamp, life: i64) -> Timestamp {
    let end = issued_at + SignedDuration::from_secs(life);
    schedule::plan(&Renewal::default(), UID, issued_at, end).renewal_time
}

fn held(issued_at: Timestamp, life: i64, revision: Option<i64>) -> Held {
    Held {
        minted: minted(issued_at, life),
        fingerprint: "spec".into(),
        credential_revision: "key".into(),
        renew_request: None,
        revision,
    }
}

/// What a reconcile sees, to be changed by each test.
#[derive(Debug)]
struct Sight {
    suspended: bool,
    target: TargetState,
    wanted: Result<(&'static str, &'static str, Option<&'static str>), Blocked>,
    attempts: Option<Attempts>,
    held: Option<Held>,
    last_mint: Option<Timestamp>,
    issued_before: bool,
    now: Timestamp,
}

/// A token of 1800 s that was stored at 0, looked at a minute later: nothing to do.
fn fresh() -> Sight {
    Sight {
        suspended: false,
        target: TargetState::Ours(Box::new(ours(at(0), 1800))),
        wanted: Ok(("spec", "key", None)),
        attempts: None,
        held: None,
        last_mint: Some(at(0)),
        issued_before: true,
        now: at(60),
    }
}

impl Sight {
    fn decide(&self) -> Decision {
        let renewal = Renewal::default();
        let wanted = self.wanted.as_ref().map(|(fingerprint, key, renew)| Wanted {
            fingerprint,
            credential_revision: key,
            renew_request: *renew,
        });
        decide(&Observed {
            uid: UID,
            suspended: self.suspended,
            renewal: &renewal,
            target: &self.target,
            metadata_hash: "dress",
            wanted,
            attempts: self.attempts.as_ref(),
            held: self.held.as_ref(),
            last_mint: self.last_mint,
            issued_before: self.issued_before,
            now: self.now,
        })
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

fn failing(next: Timestamp, asked: Option<&str>) -> Attempts {
    Attempts {
        failed: 1,
        last: at(0),
        next,
        asked: asked.map(str::to_owned),
        reason: Reason::MintFailed,
        message: String::new(),
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
        |s| s.issued().renew_request = Some("handled".into()), // the annotation was taken away
        |s| s.attempts = Some(failing(at(9999), None)),
        |s| s.held = Some(held(at(0), 1800, Some(1))),
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
    sight.stored().metadata_hash = Some("faded".into());
    assert_eq!(sight.decide(), Decision::Relabel);
    sight.now = at(1500);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Due));
    sight.issued().credential_revision = "old".into();
    assert_eq!(sight.decide(), Decision::Mint(Trigger::CredentialChanged));
    sight.wanted = Ok(("spec", "key", Some("now")));
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Forced));
    sight.issued().fingerprint = "old".into();
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SpecChanged));
    sight.stored().intact = false;
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretEdited));
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
fn a_changed_renewal_setting_is_written_into_the_annotation() {
    let mut sight = fresh();
    sight.stored().renewal_time = Some(at(1));
    assert_eq!(sight.decide(), Decision::Relabel);
    sight.stored().renewal_time = None;
    assert_eq!(sight.decide(), Decision::Relabel);
}

#[test]
fn backoff_holds_until_its_end_or_another_question() {
    let question = asked_for(&Wanted {
        fingerprint: "spec",
        credential_revision: "key",
        renew_request: None,
    });
    let mut sight = fresh();
    sight.now = at(1500);
    for asked in [None, Some(question.as_str())] {
        sight.attempts = Some(failing(at(1560), asked));
        assert_eq!(waits(&sight.decide(), WaitReason::Backoff), at(1560));
    }
    for other in [
        ("spec2", "key", None),
        ("spec", "key2", None),
        ("spec", "key", Some("now")),
    ] {
        sight.wanted = Ok(other);
        assert!(
            matches!(sight.decide(), Decision::Mint(_)),
            "{other:?} is another question"
        );
    }
    sight.wanted = Ok(("spec", "key", None));
    sight.now = at(1560);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Due));
}

#[test]
fn questions_do_not_run_into_each_other() {
    let asked = |fingerprint, credential_revision, renew_request| {
        asked_for(&Wanted {
            fingerprint,
            credential_revision,
            renew_request,
        })
    };
    assert_ne!(asked("a", "bc", None), asked("ab", "c", None));
    assert_ne!(asked("a", "b", Some("c")), asked("a", "bc", None));
}

#[test]
fn a_token_at_hand_is_stored_instead_of_minting() {
    let mut sight = fresh();
    sight.target = TargetState::Absent;
    sight.now = at(5);
    for revision in [None, Some(1)] {
        sight.held = Some(held(at(0), 1800, revision));
        assert_eq!(sight.decide(), Decision::Store(Trigger::SecretDeleted));
    }
    // A backoff is about minting, not about writing.
    sight.attempts = Some(failing(at(9999), None));
    assert_eq!(sight.decide(), Decision::Store(Trigger::SecretDeleted));
    sight.attempts = None;
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
    let mut forced = held(at(1499), 1800, None);
    forced.renew_request = Some("now".into());
    sight.held = Some(forced);
    assert_eq!(sight.decide(), Decision::Store(Trigger::Due));
}

#[test]
fn a_token_at_hand_that_is_over_is_not_stored() {
    let mut sight = fresh();
    sight.target = TargetState::Absent;
    sight.last_mint = None;
    sight.held = Some(held(at(0), 600, None));
    sight.now = at(599); // late, but the provider was paid for it
    assert_eq!(sight.decide(), Decision::Store(Trigger::SecretDeleted));
    sight.now = at(600);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretDeleted));
    // One that was stored before is not worth writing again after its renewal time.
    sight.held = Some(held(at(0), 600, Some(1)));
    sight.now = renewal(at(0), 600);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::SecretDeleted));
}

#[test]
fn a_newer_token_is_not_replaced_by_an_older_one_at_hand() {
    let mut sight = fresh();
    sight.target = TargetState::Ours(Box::new(ours(at(5), 1800)));
    sight.stored().intact = false;
    sight.held = Some(held(at(0), 1800, Some(1)));
    sight.now = at(7);
    assert_eq!(waits(&sight.decide(), WaitReason::MinInterval), at(15));
}

#[test]
fn a_clock_that_was_set_back_neither_blocks_nor_mints_twice() {
    let mut sight = fresh();
    // Stored and minted an hour from now.
    sight.target = TargetState::Ours(Box::new(ours(at(3600), 1800)));
    sight.last_mint = Some(at(3600));
    sight.wanted = Ok(("spec", "key", Some("now")));
    sight.now = at(0);
    assert_eq!(sight.decide(), Decision::Mint(Trigger::Forced));
    // What was minted then is stored over what seems newer.
    let mut forced = held(at(0), 1800, None);
    forced.renew_request = Some("now".into());
    sight.held = Some(forced);
    sight.last_mint = Some(at(0));
    sight.now = at(1);
    assert_eq!(sight.decide(), Decision::Store(Trigger::Forced));
}

#[test]
fn waits_end_when_a_condition_will_change() {
    let mut sight = fresh();
    sight.suspended = true;
    sight.now = at(1700); // the floor is at 1710
    assert_eq!(waits(&sight.decide(), WaitReason::Suspended), at(1710));
    sight.now = at(1710);
    assert_eq!(waits(&sight.decide(), WaitReason::Suspended), at(1800));
    sight.now = at(1800);
    assert_eq!(waits(&sight.decide(), WaitReason::Suspended), at(1800) + MAX_WAIT);
}
