//! Sequences of events, against a model of the cluster, the provider and the controller's memory.

use proptest::prelude::*;

use super::*;
use crate::token::MintError;
use crate::token::backoff;

/// What happens to a RealtimeToken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    SecretDeleted,
    SecretEdited,
    SpecChanged,
    KeyChanged,
    RenewRequested,

    Restarted,
    RestartedWithoutStatus,
    StatusWiped,
    LabelsEdited,
    RequestTakenBack,
    WriteConflict,
    Suspended,
    Resumed,

    ProviderDown,
    ProviderUp,
    TimePasses(i64),
}

const TRIGGERS: [Event; 5] = [
    Event::SecretDeleted,
    Event::SecretEdited,
    Event::SpecChanged,
    Event::KeyChanged,
    Event::RenewRequested,
];
const NO_TRIGGERS: [Event; 8] = [
    Event::Restarted,
    Event::RestartedWithoutStatus,
    Event::StatusWiped,
    Event::LabelsEdited,
    Event::RequestTakenBack,
    Event::WriteConflict,
    Event::Suspended,
    Event::Resumed,
];

#[derive(Clone, Debug)]
struct Mint {
    at: Timestamp,
    trigger: Trigger,
    succeeded: bool,
    /// The memory of the token before this one was not lost.
    remembered: bool,
}

struct World {
    now: Timestamp,
    life: i64,
    // The cluster.
    secret: Option<Stored>,
    dress: u32,
    spec: u32,
    key: u32,
    request: Option<String>,
    requests: u32,
    suspended: bool,
    revision: Option<i64>,
    // The controller's memory.
    held: Option<Held>,
    last_mint: Option<Timestamp>,
    attempts: Option<Attempts>,
    // What comes from outside.
    provider_up: bool,
    conflicts: u32,
    mints: Vec<Mint>,
}

impl World {
    fn new(life: i64) -> Self {
        let mut world = Self {
            now: at(0),
            life,
            secret: None,
            dress: 0,
            spec: 0,
            key: 0,
            request: None,
            requests: 0,
            suspended: false,
            revision: None,
            held: None,
            last_mint: None,
            attempts: None,
            provider_up: true,
            conflicts: 0,
            mints: Vec::new(),
        };
        world.run();
        assert_eq!(world.mints.len(), 1, "the first token");
        world
    }

    fn asks(&self) -> (String, String) {
        (format!("spec-{}", self.spec), format!("key-{}", self.key))
    }

    fn asked(&self) -> String {
        let (fingerprint, key) = self.asks();
        asked_for(&Wanted {
            fingerprint: &fingerprint,
            credential_revision: &key,
            renew_request: self.request.as_deref(),
        })
    }

    fn decide(&self) -> Decision {
        let target = match &self.secret {
            Some(stored) => TargetState::Ours(Box::new(stored.clone())),
            None => TargetState::Absent,
        };
        let (fingerprint, key) = self.asks();
        decide(&Observed {
            uid: UID,
            suspended: self.suspended,
            renewal: &Renewal::default(),
            target: &target,
            metadata_hash: &format!("dress-{}", self.dress),
            wanted: Ok(Wanted {
                fingerprint: &fingerprint,
                credential_revision: &key,
                renew_request: self.request.as_deref(),
            }),
            attempts: self.attempts.as_ref(),
            held: self.held.as_ref(),
            last_mint: self.last_mint,
            issued_before: self.revision.is_some(),
            now: self.now,
        })
    }

    /// Reconciles until there is nothing to do now. Returns when there will be, and why.
    fn run(&mut self) -> (Timestamp, WaitReason) {
        for _ in 0..20 {
            let over =
                |held: &Held| held.revision.is_some() && self.now.duration_since(held.minted.issued_at) >= MIN_INTERVAL;
            if self.held.as_ref().is_some_and(over) {
                self.held = None;
            }
            match self.decide() {
                Decision::Wait { until, why } => {
                    assert!(until > self.now);
                    return (until, why);
                }
                Decision::Mint(trigger) => self.mint(trigger),
                Decision::Store(_) => self.store(),
                Decision::Relabel => self.relabel(),
                Decision::Blocked(blocked) => panic!("{blocked}"),
            }
        }
        panic!("reconciles without end");
    }

    fn mint(&mut self, trigger: Trigger) {
        let stored = self.secret.as_ref().and_then(|stored| stored.issued.as_ref());
        let before = self.tokens().last().map(|mint| mint.at);
        self.mints.push(Mint {
            at: self.now,
            trigger,
            succeeded: self.provider_up,
            remembered: self.last_mint.is_some() || stored.map(|issued| issued.issued_at) == before,
        });
        if self.provider_up {
            self.last_mint = Some(self.now);
            let (fingerprint, credential_revision) = self.asks();
            self.attempts = None;
            self.held = Some(Held {
                minted: minted(self.now, self.life),
                fingerprint,
                credential_revision,
                renew_request: self.request.clone(),
                revision: None,
            });
            return;
        }
        let failed = self.attempts.as_ref().map_or(0, |known| known.failed) + 1;
        let error = MintError::Unavailable { message: String::new() };
        let next = self.now + backoff::delay(&error, failed, UID, SignedDuration::ZERO);
        self.attempts = Some(Attempts {
            failed,
            last: self.now,
            ..failing(next, Some(&self.asked()))
        });
    }

    fn store(&mut self) {
        if self.conflicts() {
            return;
        }
        let held = self.held.as_mut().unwrap();
        let revision = *held.revision.get_or_insert(self.revision.unwrap_or(0) + 1);
        self.revision = Some(revision);
        self.secret = Some(Stored {
            issued: Some(Issued {
                fingerprint: held.fingerprint.clone(),
                credential_revision: held.credential_revision.clone(),
                renew_request: held.renew_request.clone(),
                ..issued(held.minted.issued_at, self.life)
            }),
            metadata_hash: Some(format!("dress-{}", self.dress)),
            ..ours(held.minted.issued_at, self.life)
        });
    }

    fn relabel(&mut self) {
        if !self.conflicts() {
            let stored = self.secret.as_mut().unwrap();
            stored.metadata_hash = Some(format!("dress-{}", self.dress));
        }
    }

    fn conflicts(&mut self) -> bool {
        self.conflicts = self.conflicts.saturating_sub(1);
        self.conflicts > 0
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::SecretDeleted => self.secret = None,
            Event::SecretEdited => {
                if let Some(stored) = &mut self.secret {
                    stored.intact = false;
                }
            }
            Event::SpecChanged => self.spec += 1,
            Event::KeyChanged => self.key += 1,
            Event::RenewRequested => {
                self.requests += 1;
                self.request = Some(format!("request-{}", self.requests));
            }
            Event::Restarted => {
                let asked = self.asked(); // as Memory::remember_asked
                if let Some(attempts) = &mut self.attempts {
                    attempts.asked = Some(asked);
                }
                (self.held, self.last_mint) = (None, None);
            }
            Event::RestartedWithoutStatus => {
                (self.held, self.last_mint, self.attempts, self.revision) = (None, None, None, None);
            }
            Event::StatusWiped => self.revision = None,
            Event::LabelsEdited => self.dress += 1,
            Event::RequestTakenBack => self.request = None,
            Event::WriteConflict => self.conflicts = 3,
            Event::Suspended => self.suspended = true,
            Event::Resumed => self.suspended = false,
            Event::ProviderDown => self.provider_up = false,
            Event::ProviderUp => self.provider_up = true,
            Event::TimePasses(seconds) => self.advance(seconds),
        }
    }

    /// Lets time pass, reconciling whenever it was asked for.
    fn advance(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        loop {
            let (until, _) = self.run();
            if until > end {
                break;
            }
            self.now = until;
        }
        self.now = end;
        self.run();
    }

    /// Until the stored token is the one wanted.
    fn settle(&mut self) {
        for _ in 0..200 {
            match self.run() {
                (_, WaitReason::Fresh) => return,
                (until, _) => self.now = until,
            }
        }
        panic!("does not settle: {:?}", self.decide());
    }

    fn tokens(&self) -> impl Iterator<Item = &Mint> {
        self.mints.iter().filter(|mint| mint.succeeded)
    }

    fn mints_not_due(&self, since: usize) -> usize {
        let mints = self.mints[since..].iter();
        mints.filter(|mint| mint.trigger != Trigger::Due).count()
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        5 => prop::sample::select(TRIGGERS.to_vec()),
        5 => prop::sample::select(NO_TRIGGERS.to_vec()),
        1 => Just(Event::ProviderDown),
        2 => Just(Event::ProviderUp),
        3 => (0i64..15).prop_map(Event::TimePasses),
        1 => (15i64..4000).prop_map(Event::TimePasses),
    ]
}

fn any_single() -> impl Strategy<Value = (i64, Event)> {
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
            // A token that was stored a moment ago is still at hand, and written again.
            let at_hand = world.held.is_some();
            world.happen(event);
            if event == Event::Suspended {
                world.advance(5);
                world.happen(Event::Resumed);
            }
            world.settle();
            let expected = match event {
                Event::SecretDeleted | Event::SecretEdited => usize::from(!at_hand),
                _ => usize::from(TRIGGERS.contains(&event)),
            };
            let mints = &world.mints[since..];
            prop_assert_eq!(world.mints_not_due(since), expected, "{:?}: {:?}", event, mints);
        }
    }

    /// Whatever happens in whatever order: mints keep their distance and have their reasons, and once the provider
    /// is up the Secret holds what is wanted.
    #[test]
    fn any_storm_is_weathered(life in 60i64..7200, events in prop::collection::vec(any_event(), 1..60)) {
        let mut world = World::new(life);
        for event in &events {
            world.happen(*event);
            world.run();
        }
        for (one, next) in world.tokens().zip(world.tokens().skip(1)) {
            let apart = next.at.duration_since(one.at);
            prop_assert!(apart >= MIN_INTERVAL || !next.remembered, "{one:?}, {next:?}");
        }
        if !events.contains(&Event::ProviderDown) {
            let triggers = events.iter().filter(|event| TRIGGERS.contains(event)).count();
            prop_assert!(world.mints_not_due(1) <= triggers, "{} triggers: {:?}", triggers, world.mints);
        }
        world.happen(Event::Resumed);
        world.happen(Event::ProviderUp);
        world.settle();
        let stored = world.secret.clone().unwrap();
        let issued = stored.issued.clone().unwrap();
        let (fingerprint, key) = world.asks();
        prop_assert!(stored.intact);
        prop_assert_eq!((issued.fingerprint, issued.credential_revision), (fingerprint, key));
        prop_assert!(world.request.is_none() || issued.renew_request == world.request);
        prop_assert!(issued.usable_until > world.now);
    }
}
