//! Sequences of events, through the very step that ships.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::world::{Fault, World};
use crate::api::TargetContent;
use crate::token::Trigger;
use crate::token::decide::MIN_INTERVAL;

/// What happens to a RealtimeToken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happens {
    SecretDeleted,
    SecretEdited,
    SpecChanged,
    KeyChanged,
    RenewRequested,

    Restarted,
    RestartedWithoutStatus,
    /// What is remembered is dropped if it is at rest.
    Swept,
    StatusWiped,
    LabelsEdited,
    CaRenewed,
    EndpointUnknown,
    EndpointKnown,
    RequestTakenBack,
    WritesFail(Fault),
    Suspended,
    Resumed,

    OnlyOnRequest,
    TokenAgain,
    DiesAfter(u32),
    ProviderDown,
    ProviderUp,
    TimePasses(i64),
}

use Happens::*;

const TRIGGERS: [Happens; 5] = [SecretDeleted, SecretEdited, SpecChanged, KeyChanged, RenewRequested];
const NO_TRIGGERS: [Happens; 13] = [
    Restarted,
    Swept,
    RestartedWithoutStatus,
    StatusWiped,
    LabelsEdited,
    CaRenewed,
    RequestTakenBack,
    WritesFail(Fault::Conflict),
    WritesFail(Fault::Refused),
    WritesFail(Fault::Unavailable),
    WritesFail(Fault::Unanswered),
    Suspended,
    Resumed,
];

impl World {
    fn hold(&mut self, content: TargetContent) {
        self.token.spec.target.content = content;
        *self.token.metadata.generation.get_or_insert(0) += 1;
    }

    fn happen(&mut self, event: Happens) {
        match event {
            SecretDeleted => self.secret = None,
            SecretEdited => {
                if let Some(secret) = &mut self.secret {
                    secret.intact = false;
                }
            }
            SpecChanged => {
                self.spec += 1;
                *self.token.metadata.generation.get_or_insert(0) += 1;
            }
            KeyChanged => self.key += 1,
            RenewRequested => {
                self.requests += 1;
                self.request = Some(format!("request-{}", self.requests));
            }
            Restarted => self.restart(),
            RestartedWithoutStatus => {
                self.token.status = None;
                self.restart();
            }
            Swept => {
                self.lifecycle.release_stored(self.now);
                if self.lifecycle.is_at_rest() {
                    self.restart();
                }
            }
            StatusWiped => self.token.status = None,
            LabelsEdited => self.metadata += 1,
            CaRenewed => self.ca += 1,
            EndpointUnknown => self.endpoint_known = false,
            EndpointKnown => self.endpoint_known = true,
            OnlyOnRequest => self.hold(TargetContent::Connection),
            TokenAgain => self.hold(TargetContent::Token),
            RequestTakenBack => self.request = None,
            WritesFail(fault) => self.faults = vec![fault; 3],
            Suspended => self.token.spec.suspend = true,
            Resumed => self.token.spec.suspend = false,
            DiesAfter(effects) => self.dies_after = Some(effects),
            ProviderDown => self.provider_up = false,
            ProviderUp => self.provider_up = true,
            TimePasses(seconds) => self.advance(seconds),
        }
    }
}

fn any_event() -> impl Strategy<Value = Happens> {
    prop_oneof![
        5 => prop::sample::select(TRIGGERS.to_vec()),
        5 => prop::sample::select(NO_TRIGGERS.to_vec()),
        1 => (0u32..8).prop_map(DiesAfter),
        1 => Just(OnlyOnRequest),
        2 => Just(TokenAgain),
        1 => Just(EndpointUnknown),
        2 => Just(EndpointKnown),
        1 => Just(ProviderDown),
        2 => Just(ProviderUp),
        3 => (0i64..15).prop_map(TimePasses),
        1 => (15i64..4000).prop_map(TimePasses),
    ]
}

fn any_single() -> impl Strategy<Value = (i64, Happens)> {
    let pause = prop_oneof![0i64..15, 15i64..4000];
    let event = prop::sample::select([&TRIGGERS[..], &NO_TRIGGERS[..]].concat());
    (pause, event)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// One event at a time, at any age of the token.
    #[test]
    fn a_trigger_mints_once_and_nothing_else_mints(
        life in 600i64..7200, steps in prop::collection::vec(any_single(), 1..20),
    ) {
        let mut world = World::new(life);
        for (pause, event) in steps {
            world.advance(pause);
            world.settle();
            let since = world.mints.len();
            // A token that was stored a moment ago is still in memory, and written again.
            let in_memory = world.lifecycle.unstored.is_some();
            world.happen(event);
            if event == Suspended {
                world.advance(5);
                world.happen(Resumed);
            }
            world.settle();
            let expected = match event {
                SecretDeleted | SecretEdited => usize::from(!in_memory),
                _ => usize::from(TRIGGERS.contains(&event)),
            };
            let mints = &world.mints[since..];
            prop_assert_eq!(world.mints_not_due(since), expected, "{:?}: {:?}", event, mints);
        }
    }

    /// Whatever happens in whatever order: mints keep their distance and have their reasons, and once provider and API
    /// server answer, the Secret holds what is wanted.
    #[test]
    fn any_sequence_of_events_converges(life in 60i64..7200, events in prop::collection::vec(any_event(), 1..60)) {
        let mut world = World::new(life);
        for event in &events {
            world.happen(*event);
            world.run();
        }
        for (one, next) in world.tokens().zip(world.tokens().skip(1)) {
            let apart = next.at.duration_since(one.at);
            prop_assert!(apart >= MIN_INTERVAL || !next.remembered, "{one:?}, {next:?}");
        }
        let loses_tokens = |event: &Happens| {
            matches!(event, ProviderDown | DiesAfter(_) | Restarted | RestartedWithoutStatus)
        };
        if !events.iter().any(loses_tokens) {
            let is_trigger = |event: &&Happens| TRIGGERS.contains(event) || **event == TokenAgain;
            let triggers = events.iter().filter(is_trigger).count();
            prop_assert!(world.mints_not_due(1) <= triggers, "{} triggers: {:?}", triggers, world.mints);
        }
        world.happen(Resumed);
        world.happen(ProviderUp);
        world.happen(EndpointKnown);
        world.faults.clear();
        world.settle();
        if world.wants_connection() {
            prop_assert!(world.lifecycle.unstored.is_none(), "keeps a token that is never stored");
            return Ok(());
        }
        let issued = world.secret.as_ref().unwrap().issued.clone().unwrap();
        prop_assert!(issued.usable_until > world.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However long it takes and whatever happens: the world of these tests panics at a mint.
    #[test]
    fn with_a_connection_alone_nothing_is_ever_minted(
        life in 60i64..7200, events in prop::collection::vec(any_event(), 1..60),
    ) {
        let mut world = World::new(life);
        world.happen(OnlyOnRequest);
        for event in events.into_iter().filter(|event| *event != TokenAgain) {
            world.happen(event);
            world.run();
        }
        world.advance(10_000);
        prop_assert_eq!(world.mints.len(), 1);
    }
}

/// Ten thousand tokens at rest take no room: what is remembered of one can be restored.
#[test]
fn a_token_that_was_renewed_in_its_time_is_at_rest() {
    let mut world = World::new(1800);
    assert!(!world.lifecycle.is_at_rest(), "its token may be needed again");
    for age in [60, 2000, 4000] {
        world.advance(age);
        world.lifecycle.release_stored(world.now);
        assert!(world.lifecycle.is_at_rest(), "{:?}", world.lifecycle);
    }
    world.happen(SecretDeleted);
    world.settle();
    world.advance(60);
    assert!(!world.lifecycle.is_at_rest(), "repairs are counted");
}

/// To a Secret without a token and back: one write, then one mint.
#[test]
fn a_token_comes_back_with_one_mint() {
    let mut world = World::new(1800);
    world.advance(60);
    world.happen(OnlyOnRequest);
    world.run();
    assert!(world.is_settled(), "{:?}", world.secret);
    let status = world.token.status.clone().unwrap();
    assert_eq!((status.issued_at, status.renewal_time), (None, None));
    assert_eq!(status.revision, Some(1), "the count goes on");
    world.advance(20_000);
    assert_eq!(world.mints.len(), 1);
    world.happen(TokenAgain);
    world.settle();
    assert_eq!(world.mints.len(), 2);
    assert_eq!(world.mints[1].trigger, Trigger::SpecChanged);
    assert_eq!(world.token.status.clone().unwrap().revision, Some(2));
}

/// A process that starts doesn't know the certificate yet: the Secrets stay as they are, and so does what is said.
#[test]
fn what_is_not_known_yet_changes_nothing() {
    for content in [TargetContent::Token, TargetContent::Connection] {
        let mut world = World::new(1800);
        world.hold(content);
        world.settle();
        let before = (world.secret.clone(), world.token.status.clone());
        world.happen(EndpointUnknown);
        world.happen(Restarted);
        world.advance(30);
        world.happen(CaRenewed);
        world.advance(30);
        assert_eq!(before, (world.secret.clone(), world.token.status.clone()));
        world.happen(EndpointKnown);
        world.settle();
        assert_ne!(before.0, world.secret, "the new CA");
        assert_eq!(before.1, world.token.status);
    }
}

/// For every step of a life with all that it can meet, the process dies once there. No token is minted but the one that
/// was lost, and the Secret converges.
#[test]
fn the_process_may_die_after_any_effect() {
    for trigger in TRIGGERS {
        for effects in 0..12 {
            let mut world = World::new(1800);
            world.advance(60);
            let before = world.mints.len();
            world.happen(trigger);
            world.happen(DiesAfter(effects));
            world.settle();
            let mints = world.mints.len() - before;
            assert!(
                (1..=2).contains(&mints),
                "{trigger:?}, death after {effects}: {mints} mints"
            );
        }
    }
}

/// A refused write is no failed mint: two counts, two backoffs.
#[test]
fn a_refused_write_keeps_the_token_and_mints_no_other() {
    let mut world = World::new(1800);
    world.advance(60);
    world.happen(SpecChanged);
    world.faults = vec![Fault::Refused; 5];
    world.run();
    let status = world.token.status.clone().unwrap();
    assert_eq!(
        (status.failed_mint_attempts, status.failed_write_attempts),
        (None, Some(1))
    );
    assert_eq!(status.conditions[1].reason, "SecretWriteFailed");
    assert!(status.next_attempt_time.is_some() && status.last_failure_time.is_some());
    world.settle();
    assert_eq!(world.mints.len(), 2, "{:?}", world.mints);
    assert_eq!(world.mints[1].trigger, Trigger::SpecChanged);
    let status = world.token.status.clone().unwrap();
    assert_eq!((status.failed_write_attempts, status.next_attempt_time), (None, None));
}

/// The sixty seconds that the schedule keeps for retries serve writes as well.
#[test]
fn writes_that_fail_for_less_than_the_retry_budget_keep_the_floor() {
    let mut world = World::new(600);
    let due = world.secret.as_ref().unwrap().renewal_time.unwrap();
    while world.now < due {
        world.now = world.run();
    }
    let back = due + SignedDuration::from_secs(40);
    world.faults = vec![Fault::Unavailable; 1000];
    while world.now < back {
        world.now = world.run();
    }
    world.faults.clear();
    world.settle();
    assert!(
        world.now <= due + SignedDuration::from_secs(60),
        "stored at {}",
        world.now
    );
    assert_eq!(world.mints.len(), 2, "{:?}", world.mints);
}
