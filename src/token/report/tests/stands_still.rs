//! Nothing is written while nothing changes.

use proptest::prelude::*;

use super::*;

/// Whatever `now` is between two looks, as long as no threshold is between them.
fn stands_still(case: &mut Case, later: Timestamp) {
    let first = case.status();
    // As the API server gives it back.
    let stored = serde_json::to_string(&first).unwrap();
    case.prior = serde_json::from_str(&stored).unwrap();
    assert_eq!(case.prior, first, "changes on the way to the API server and back");
    assert_eq!(case.status(), first);
    case.now = later;
    assert_eq!(case.status(), first, "{:?} moves with time", case.situation);
    assert_eq!(new_warnings(&first, &case.status()).count(), 0);
}

#[test]
fn every_situation_with_every_target() {
    let blocked = Blocked::new(Reason::ModelNotAllowed, "ü".repeat(2000));
    for target in [
        TargetState::Absent,
        TargetState::Foreign("a stranger".into()),
        ours(1800, 1),
        ours(300, 2),
        ours(60, 3),
    ] {
        for situation in [
            Situation::Settled,
            Situation::Pending,
            mint_failing(3),
            mint_failing(0),
            Situation::WriteFailing(failing(2)),
            Situation::Blocked(blocked.clone()),
            Situation::Suspended,
        ] {
            // Before, below and after the floor of each target.
            for (now, later) in [(1, 50), (61, 205), (215, 290), (1711, 1799), (1801, 90_000)] {
                let mut case = Case {
                    target: target.clone(),
                    situation: situation.clone(),
                    now: at(now) + SignedDuration::from_millis(300),
                    ..fresh()
                };
                stands_still(&mut case, at(later));
            }
        }
    }
}

proptest! {
    #[test]
    fn between_two_thresholds(
        life in 1i64..8000, revision in 1i64..4, single_use: bool, min in 0i64..3600,
        a in 0i64..10_000_000, b in 0i64..10_000_000,
    ) {
        let (now, later) = (a.min(b), a.max(b));
        let crossed = |second: i64| now <= second * 1000 && later >= second * 1000;
        prop_assume!(!crossed(life) && !crossed(life - min));
        let time = |millis: i64| at(0) + SignedDuration::from_millis(millis);
        let mut case = Case { target: ours(life, revision), single_use, now: time(now), ..fresh() };
        case.token.spec.renewal.min_remaining_seconds = min;
        stands_still(&mut case, time(later));
    }
}

#[test]
fn a_transition_is_dated_when_the_status_flips_and_only_then() {
    let transition =
        |status: &RealtimeTokenStatus, type_| find(&status.conditions, type_).unwrap().last_transition_time.0;
    let first = fresh().status();
    assert_eq!(transition(&first, ConditionType::Ready), at(60));
    let renewed = Case {
        prior: first.clone(),
        target: ours(1900, 2),
        now: at(900),
        ..fresh()
    };
    let second = renewed.status();
    assert_ne!(second.conditions[0].reason, first.conditions[0].reason);
    assert_eq!(transition(&second, ConditionType::Ready), at(60), "True stays True");
    let failing = Case {
        prior: second,
        situation: mint_failing(1),
        now: at(1300) + SignedDuration::from_millis(700),
        ..fresh()
    };
    let third = failing.status();
    assert_eq!(transition(&third, ConditionType::Ready), at(60));
    assert_eq!(transition(&third, ConditionType::Renewing), at(1300), "whole seconds");
    let expired = Case {
        prior: third,
        now: at(1801),
        ..failing
    };
    let fourth = expired.status();
    assert_eq!(transition(&fourth, ConditionType::Ready), at(1801));
    assert_eq!(transition(&fourth, ConditionType::Renewing), at(1300));
    let recovered = Case {
        prior: fourth,
        target: ours(4000, 3),
        now: at(1900),
        ..fresh()
    };
    assert_eq!(transition(&recovered.status(), ConditionType::Ready), at(1900));
    assert_eq!(transition(&recovered.status(), ConditionType::Renewing), at(1900));
}

#[test]
fn long_messages_are_cut_between_characters() {
    for (message, length) in [
        ("a".repeat(1024), 1024),
        ("a".repeat(1025), 1024),
        ("ü".repeat(512), 1024),
        ("ü".repeat(513), 1024),
        (format!("a{}", "ü".repeat(600)), 1023),
        (format!("aa{}", "😀".repeat(300)), 1022),
    ] {
        let blocked = Blocked::new(Reason::InvalidSpec, message.clone());
        let case = Case {
            target: TargetState::Absent,
            situation: Situation::Blocked(blocked),
            ..fresh()
        };
        let said = case.is(ConditionType::Ready, "False", Reason::InvalidSpec);
        assert_eq!(said.len(), length);
        assert!(message.starts_with(&said));
    }
}

#[test]
fn the_unreadable_keep_what_else_was_known() {
    let before = fresh().status().conditions;
    let read = |before: &[Condition], second| unreadable(before, Some(5), "spec.x", at(second));
    let after = read(&before, 70);
    let short: Vec<_> = after
        .iter()
        .map(|c| (c.type_.as_str(), c.status.as_str(), c.reason.as_str()))
        .collect();
    assert_eq!(
        short,
        [
            ("Ready", "False", "InvalidSpec"),
            ("Renewing", "True", "InvalidSpec"),
            ("SpecApplied", "False", "InvalidSpec"),
            ("FreshnessGuaranteed", "True", "LifetimeSufficient"),
        ]
    );
    assert_eq!(read(&after, 9000), after);
    assert_eq!(read(&[], 70).len(), 3);
}
