//! Whatever is seen.

use proptest::prelude::*;

use super::*;

fn any_time() -> impl Strategy<Value = Timestamp> {
    (-4000i64..8000, 0i64..1000).prop_map(|(second, millis)| at(second) + SignedDuration::from_millis(millis))
}

fn any_target() -> impl Strategy<Value = TargetState> {
    let word = prop::sample::select(vec!["a", "b"]);
    let issued =
        (any_time(), 1i64..8000, word.clone(), word, any::<bool>()).prop_map(|(at, life, fingerprint, key, forced)| {
            Issued {
                inputs: inputs(fingerprint, key, forced.then_some("now")),
                ..issued(at, life)
            }
        });
    prop_oneof![
        Just(TargetState::Absent),
        Just(TargetState::Foreign("a stranger".into())),
        (
            prop::option::of(issued),
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            any_time()
        )
            .prop_map(|(issued, held_a_token, intact, labelled, renewal_time)| {
                TargetState::Ours(Box::new(Stored {
                    content: if held_a_token || issued.is_some() {
                        TargetContent::Token
                    } else {
                        TargetContent::Connection
                    },
                    issued,
                    intact,
                    metadata_hash: labelled.then(|| "desired".into()),
                    renewal_time: Some(renewal_time),
                    ..stored(at(0), 1)
                }))
            }),
    ]
}

fn any_sight() -> impl Strategy<Value = Sight> {
    let word = || prop::sample::select(vec!["a", "b"]);
    let wanted = prop_oneof![
        4 => (word(), word(), prop::option::of(Just("now"))).prop_map(Ok),
        1 => Just(Err(Blocked::new(Reason::ProviderNotFound, "none"))),
    ];
    let token = (any_time(), 1i64..8000, word(), word(), prop::option::of(1i64..9)).prop_map(
        |(at, life, fingerprint, key, revision)| UnstoredToken {
            inputs: inputs(fingerprint, key, None),
            ..unstored(at, life, revision)
        },
    );
    let tried = prop::option::of(Just(inputs("a", "b", None)));
    (
        any::<bool>(),
        prop::option::of(any::<bool>()),
        any_target(),
        wanted,
        prop::option::of((any_time(), tried).prop_map(|(next, tried)| failures(next, tried))),
        prop::option::of(token),
        prop::option::of(any_time()),
        any::<bool>(),
        any_time(),
    )
        .prop_map(
            |(suspended, connection, target, wanted, mint_failures, unstored, last_mint, issued_before, now)| Sight {
                suspended,
                connection,
                target,
                wanted,
                mint_failures,
                write_failures: None,
                unstored,
                last_mint,
                issued_before,
                now,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn whatever_is_seen(sight in any_sight()) {
        let decision = sight.decide();
        let writes = matches!(decision, Decision::Mint(_) | Decision::Store(_) | Decision::Relabel);
        if let Decision::Wait { until, .. } = decision {
            prop_assert!(until > sight.now, "waits into the past");
            prop_assert!(until <= sight.now + MAX_WAIT, "sleeps through changes");
        }
        if matches!(sight.target, TargetState::Foreign(_)) || sight.suspended || sight.wanted.is_err() {
            prop_assert!(!writes, "{decision:?}");
        }
        if sight.connection.is_some() {
            let tokens = matches!(decision, Decision::Mint(_) | Decision::Store(_));
            prop_assert!(!tokens, "a token where none is wanted: {decision:?}");
            prop_assert!(sight.connection == Some(true) || !writes, "writes what is not known: {decision:?}");
        }
        if let Decision::Mint(_) = decision {
            let recent = |mint: Timestamp| mint <= sight.now && mint + MIN_INTERVAL > sight.now;
            prop_assert!(!sight.last_mint.is_some_and(recent), "mints again at once");
            let longest = sight.now + SignedDuration::from_secs(600);
            let held = |next: Timestamp| next > sight.now && next <= longest;
            let failures = sight.mint_failures.as_ref();
            let backing_off = failures.is_some_and(|failures| failures.inputs.is_none() && held(failures.next));
            prop_assert!(!backing_off, "mints during backoff");
        }
        if let (Decision::Store(_), Some(token)) = (&decision, &sight.unstored) {
            let Ok((fingerprint, key, _)) = &sight.wanted else { panic!("stores what is not wanted") };
            prop_assert_eq!(&token.inputs, &inputs(fingerprint, key, None));
            prop_assert!(token.minted.usable_until > sight.now, "stores a dead token");
        }
        if let (TargetState::Ours(stored), Ok((fingerprint, key, None))) = (&sight.target, &sight.wanted)
            && let Some(issued) = stored.issued.as_ref().filter(|_| stored.intact)
            && (issued.inputs.fingerprint.as_str(), issued.inputs.credential_revision.as_str()) == (*fingerprint, *key)
            && schedule::plan(&Renewal::default(), UID, issued.issued_at, issued.usable_until).renewal_time > sight.now
        {
            prop_assert!(!matches!(decision, Decision::Mint(_) | Decision::Store(_)), "replaces a fresh token");
        }
    }
}
