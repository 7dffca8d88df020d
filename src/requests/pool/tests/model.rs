//! Every order in which a pool's callers, mints and terms can come, with so many disturbances in it.

use std::hash::{Hash, Hasher};

use stateright::{Model, Property};

use super::*;
use crate::testing::explore;

/// Tokens of the one live long, those of the other barely longer than the floor.
const LIVES: [i64; 2] = [600, FLOOR + 4];
const HORIZON: i64 = 1300;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Ask,
    /// The owner of the pool looks when it said it would.
    Look,
    Mint,
    Fail(u8),
    /// Time passes until the next look.
    Sleep,
    /// So many seconds pass, and the owner of the pool doesn't look meanwhile.
    Stall(i64),
    ClockBack,
    /// From now on tokens are minted from something else.
    Source(u8),
    Ready(usize),
    Suspend,
}

#[derive(Clone, Debug)]
struct State {
    pool: Pool<u32>,
    source: u8,
    ready: usize,
    suspended: bool,
    now: i64,
    /// What the pool asked for last.
    next: Next,
    life: i64,
    /// Source and time of the mint under way.
    minting: Option<(u8, i64)>,
    /// Of each token that was minted: source, end, and whether it was handed out.
    minted: Vec<(u8, i64, bool)>,
    callers: u8,
    left: u8,
    broken: Option<&'static str>,
    replaced: bool,
}

impl State {
    fn new(life: i64, left: u8) -> Self {
        Self {
            pool: Pool::default(),
            source: 0,
            ready: 2,
            suspended: false,
            now: 0,
            next: Next::Rest,
            life,
            minting: None,
            minted: Vec::new(),
            callers: 3,
            left,
            broken: None,
            replaced: false,
        }
    }

    fn terms(&self) -> Option<Terms> {
        (!self.suspended).then(|| terms(&self.source.to_string(), self.ready))
    }

    fn disturbances(&self) -> impl Iterator<Item = Action> + use<> {
        let fails = self
            .minting
            .is_some()
            .then_some(0..6)
            .into_iter()
            .flatten()
            .map(Action::Fail);
        let others = [
            Action::Stall(1),
            Action::Stall(300),
            Action::ClockBack,
            Action::Source(1 - self.source),
            Action::Ready(if self.ready == 2 { 1 } else { 2 }),
            Action::Ready(0),
            Action::Suspend,
        ];
        let left = self.left > 0;
        fails.chain(others).filter(move |_| left)
    }

    /// What goes on by itself.
    fn own_action(&self) -> Option<Action> {
        match self.next {
            _ if self.minting.is_some() => Some(Action::Mint),
            Next::Mint => None,
            Next::Wait(until) if until <= at(self.now) => Some(Action::Look),
            Next::Wait(_) => Some(Action::Sleep),
            Next::Rest => None,
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Ask => {
                self.callers -= 1;
                if let Some(terms) = self.terms() {
                    let given = self.step(Event::Asked(terms));
                    self.hand_out(given);
                }
                self.look();
            }
            Action::Look => self.look(),
            Action::Mint => {
                if let Some((source, sent)) = self.minting.take() {
                    self.minted.push((source, sent + self.life, false));
                    let number = u32::try_from(self.minted.len() - 1).unwrap();
                    self.end(MintEnd::Minted(token(number, sent, self.life)));
                }
            }
            Action::Fail(which) => {
                self.minting = None;
                self.end(failure(which, self.now));
            }
            Action::Sleep => {
                if let Next::Wait(until) = self.next {
                    let wait = until.duration_since(at(self.now));
                    self.now += 1 + i64::try_from((wait.as_millis() - 1) / 1000).unwrap();
                }
            }
            Action::Stall(seconds) => self.now += seconds,
            Action::ClockBack => {
                self.now -= 100;
                if let Next::Wait(until) = &mut self.next {
                    *until -= SignedDuration::from_secs(100); // the wait goes on by the monotonic clock
                }
            }
            Action::Source(source) => {
                self.source = source;
                self.look();
            }
            Action::Ready(ready) => {
                self.ready = ready;
                self.look();
            }
            Action::Suspend => {
                self.suspended = !self.suspended;
                self.look();
            }
        }
    }

    fn look(&mut self) {
        self.step(Event::Looked(self.terms()));
    }

    fn end(&mut self, end: MintEnd<u32>) {
        self.step(Event::MintEnded(self.terms(), end));
    }

    fn step(&mut self, event: Event<u32>) -> Option<u32> {
        let asked = matches!(event, Event::Asked(_));
        let before = self.pool.len();
        let step = self.pool.step(event, at(self.now));
        if asked {
            return step.given; // what is to be minted comes out of the look that follows
        }
        self.replaced |= self.pool.len() < before;
        self.next = step.next;
        let ready = if self.suspended { 0 } else { self.ready };
        match step.next {
            Next::Mint if self.minting.is_some() => self.broken = Some("two mints at a time"),
            Next::Mint => self.minting = Some((self.source, self.now)),
            Next::Wait(until) if until <= at(self.now) => self.broken = Some("a wait that has passed"),
            Next::Rest if self.pool.len() > 0 => self.broken = Some("rests with tokens in it"),
            Next::Wait(_) | Next::Rest => {}
        }
        let under_way = self.minting.filter(|(source, _)| *source == self.source);
        if self.pool.len() > ready
            || step.next == Next::Mint && self.pool.len() + usize::from(under_way.is_some()) > ready
        {
            self.broken = Some("more tokens than wanted");
        }
        None
    }

    fn hand_out(&mut self, given: Option<u32>) {
        let Some(given) = given else { return };
        let token = &mut self.minted[given as usize];
        if std::mem::replace(&mut token.2, true) {
            self.broken = Some("a token twice");
        }
        if token.0 != self.source {
            self.broken = Some("a token of something else");
        }
        if token.1 - self.now < FLOOR {
            self.broken = Some("a token below the floor");
        }
    }

    /// Whether it empties itself once nobody asks any more, with few mints until then.
    fn comes_to_rest(&self) -> bool {
        let mut calm = self.clone();
        let (began, minted) = (calm.now, calm.minted.len());
        for _ in 0..200 {
            match calm.own_action() {
                Some(action) => calm.act(action),
                None => {
                    let rests = calm.next == Next::Rest && calm.pool.len() == 0;
                    // A life since the last request, or ten minutes where none is known yet, by the clock, which may
                    // have been set back.
                    let soon = calm.now - began <= 600 + 200 + 2;
                    return rests && soon && calm.minted.len() - minted <= 5 && calm.broken.is_none();
                }
            }
        }
        false
    }
}

struct Requests {
    disturbances: u8,
}

impl Model for Requests {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        LIVES.map(|life| State::new(life, self.disturbances)).to_vec()
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(state.own_action());
        if state.callers > 0 {
            actions.push(Action::Ask);
        }
        actions.extend(state.disturbances());
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        if !matches!(action, Action::Ask) && Some(action) != state.own_action() {
            next.left -= 1;
        }
        next.act(action);
        Some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.now < HORIZON
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "no token twice, none of something else, none below the floor, never too many",
                |_, state: &State| state.broken.is_none(),
            ),
            Property::always("once nobody asks, it rests", |_, state: &State| state.comes_to_rest()),
            Property::sometimes("two tokens are handed out", |_, state: &State| {
                state.minted.iter().filter(|token| token.2).count() == 2
            }),
            Property::sometimes("a token near its end is replaced", |_, state: &State| {
                state.replaced && state.minted.len() > 2
            }),
            Property::sometimes("tokens of two sources", |_, state: &State| {
                let of = |source| state.minted.iter().any(|token| token.0 == source && token.2);
                of(0) && of(1)
            }),
        ]
    }
}

impl Hash for State {
    fn hash<H: Hasher>(&self, state: &mut H) {
        format!("{self:?}").hash(state);
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        format!("{self:?}") == format!("{other:?}")
    }
}

#[test]
fn whatever_the_order_of_callers_mints_and_terms() {
    let model = |depth| Requests {
        disturbances: 1 + depth,
    };
    explore("pool", model, |state| format!("{state:?}"));
}
