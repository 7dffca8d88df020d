//! Every order in which one RealtimeToken's life can go on, with so many disturbances in it.
//!
//! A look, a status write, a Secret write and a mint are steps of their own here, so that another writer, a crash, an
//! outage, a step of the clock or a rollback of the store comes between any two of them, and what the watch shows lags
//! behind until it catches up. Stateright visits each state once and checks the properties in it. The last of them looks
//! ahead from every state: once nothing disturbs any more, the RealtimeToken settles, in bounded time and writes.

mod calm;
mod disturb;
mod life;
mod state;

use std::hash::{Hash, Hasher};

use jiff::{SignedDuration, Timestamp};
use stateright::{Model, Property};

use self::disturb::Disturbance;
use self::state::{Next, State, Work};
use crate::testing::explore;
use crate::token::fixtures::at;

/// How long tokens live, in seconds.
const LIFE: i64 = 600;
/// States later than this are not looked at: a life and a renewal, and what delays them.
const HORIZON: i64 = 1500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// A reconcile begins: it holds the RealtimeToken as the watch shows it now.
    Begin,
    Look,
    WriteStatus,
    StartMint,
    EndMint,
    WriteSecret,
    /// The API server answers again.
    Return,
    /// The watch shows the RealtimeToken, or the Secret, as it is now.
    ShowToken,
    ShowSecret,
    /// A write that a dead process sent arrives.
    LandLate,
    /// Time passes until the process wants to look again.
    Sleep,
    Disturb(Disturbance),
}

struct Life {
    disturbances: u8,
}

impl Model for Life {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::new(self.disturbances), State::with_token(self.disturbances)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(state.own_actions());
        actions.extend(state.disturbances().map(Action::Disturb));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        next.known_to_settle = state.own_actions().next() == Some(action);
        match action {
            Action::Disturb(disturbance) => next.disturb(disturbance),
            own => next.act(own),
        }
        Some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.now < at(HORIZON)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no mint while a token is there that will do", |_, state: &State| {
                state.ghost.needless_mint.is_none()
            }),
            Property::always("ten seconds between two mints of one process", |_, state: &State| {
                state.ghost.hasty_mint.is_none()
            }),
            Property::always(
                "Ready=True only for a token that the Secret holds",
                |_, state: &State| state.ghost.false_claim.is_none(),
            ),
            Property::always("once nothing disturbs any more, it settles", |_, state: &State| {
                state.known_to_settle || state.settles().is_ok()
            }),
            // The model reaches what it is about.
            Property::sometimes("a token is replaced after a long outage", |_, state: &State| {
                state.ghost.long_outage && state.revision() == Some(2)
            }),
            Property::sometimes("a token is replaced when it is due", |_, state: &State| {
                state.ghost.due && state.revision() == Some(2)
            }),
            Property::sometimes("a token is lost with the process", |_, state: &State| {
                state.ghost.lost_token
            }),
            Property::sometimes("a write meets a Secret that has changed", |_, state: &State| {
                state.ghost.outdated_write
            }),
            Property::sometimes("a write of a dead process lands", |_, state: &State| {
                state.ghost.landed_late
            }),
            Property::sometimes(
                "the watch shows an older version than the one before",
                |_, state: &State| state.ghost.rolled_back && state.process.shown_has_gone_back,
            ),
        ]
    }
}

impl State {
    /// All that later steps depend on.
    fn essence(&self) -> String {
        let meta = &self.store.token.metadata;
        let shown = &self.process.shown.metadata;
        format!(
            "{:?}",
            (
                (self.now, self.key, self.left, self.store.version),
                (
                    &meta.generation,
                    &meta.resource_version,
                    &meta.annotations,
                    self.store.token.status.as_ref().map(state::brief)
                ),
                (&self.store.secret, &self.in_flight, self.unanswered),
                (
                    (&shown.resource_version, self.token_lags()),
                    &shown.generation,
                    &self.process.cached,
                    self.process.delivered
                ),
                (
                    &self.process.lifecycle,
                    (self.process.look_at, self.process.woken),
                    &self.process.work,
                    self.process.minting
                ),
                &self.ghost,
            )
        )
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.essence().hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.essence() == other.essence()
    }
}

#[test]
fn whatever_comes_between_any_two_steps_no_token_is_minted_twice_and_it_settles() {
    let model = |depth| Life {
        disturbances: 1 + depth,
    };
    explore("lifecycle", model, |state| {
        format!("{:?}, {:?}", state.ghost, state.settles())
    });
}
