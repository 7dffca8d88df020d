//! The tokens of one RealtimeToken that were minted ahead, each to be handed out once. Pure: time is an argument, and
//! every change goes through [`Pool::step`].
//!
//! A token leaves the pool by value: it can't be handed out twice. The pool mints one token at a time, only while
//! callers ask: it rests once no caller has asked for as long as a token lives, and wakes at the next request.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::token::MintError;
use crate::token::backoff::{SHORTEST, mint_delay};

/// From taking a token out of the pool to the caller having it: so much life more than the floor it must have.
const ANSWERED_WITHIN: SignedDuration = SignedDuration::from_secs(2);
/// How long a token is thought to live before the first was minted.
const UNKNOWN_LIFE: SignedDuration = SignedDuration::from_mins(10);
/// How long the pool leaves the credential to others that wait for it.
const BUSY: SignedDuration = SignedDuration::from_secs(1);
/// The time in the pool that a token must have to be worth minting ahead.
const SHORTEST_STAY: SignedDuration = SignedDuration::from_secs(5);
/// How long a pool waits at most before it tries again: longer limits are asked for anew.
const LONGEST_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// A token in the pool.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Ready<T> {
    pub(super) value: T,
    pub(super) issued_at: Timestamp,
    pub(super) usable_until: Timestamp,
}

/// What a pool is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// Hash of what the tokens are minted from: object, fingerprint, credential and its revision.
    pub(super) source: String,
    /// How many tokens; none if they would live too short.
    pub(super) ready: usize,
    /// The life that a token must have when it is handed out.
    pub(super) floor: SignedDuration,
    /// The RealtimeToken's uid, for the jitter of backoffs.
    pub(super) uid: String,
}

/// What happens to a pool. Each with the terms of the time; without terms nothing may be handed out.
#[derive(Debug)]
pub(super) enum Event<T> {
    /// A caller asks for a token. What is to be minted then comes out of the next look.
    Asked(Terms),
    /// Time has passed, or the RealtimeToken may have changed.
    Looked(Option<Terms>),
    /// A mint that [`Next::Mint`] asked for has ended.
    MintEnded(Option<Terms>, MintEnd<T>),
}

/// How a mint for a pool ended.
#[derive(Debug)]
pub(super) enum MintEnd<T> {
    Minted(Ready<T>),
    /// Others wait for the credential.
    Busy,
    /// The credential may not be used until then.
    Limited(Timestamp),
    Failed(MintError),
}

#[derive(Debug)]
pub(super) struct PoolStep<T> {
    /// The token for the caller that asked; without one it has a token minted for itself.
    pub(super) given: Option<T>,
    pub(super) next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Mint a token, and say how that ended.
    Mint,
    /// Look again at this time at the latest.
    Wait(Timestamp),
    /// The pool is empty and stays so until the next request.
    Rest,
}

#[derive(Debug)]
#[cfg_attr(test, derive(Clone))] // a model goes on from one state in many ways
pub(super) struct Pool<T> {
    /// The oldest first.
    tokens: VecDeque<Ready<T>>,
    /// What the tokens are minted from.
    source: Option<String>,
    /// What the mint under way is minted from, if there is one.
    minting: Option<String>,
    asked_at: Option<Timestamp>,
    /// How long the last token lived from the start.
    life: Option<SignedDuration>,
    /// Mints that failed since the last success.
    failed: u32,
    /// No mint before this time.
    not_before: Option<Timestamp>,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self {
            tokens: VecDeque::new(),
            source: None,
            minting: None,
            asked_at: None,
            life: None,
            failed: 0,
            not_before: None,
        }
    }
}

impl<T> Pool<T> {
    /// How many tokens are ready.
    pub(super) fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Takes in what happened, and says what to do next.
    pub(super) fn step(&mut self, event: Event<T>, now: Timestamp) -> PoolStep<T> {
        let asked = matches!(event, Event::Asked(_));
        let (terms, end) = match event {
            Event::Asked(terms) => (Some(terms), None),
            Event::Looked(terms) => (terms, None),
            Event::MintEnded(terms, end) => (terms, Some(end)),
        };
        let terms = terms.filter(|terms| terms.ready > 0);
        self.adopt(terms.as_ref(), now);
        if let Some(end) = end {
            self.mint_ended(terms.as_ref(), end, now);
        }
        let Some(terms) = terms else {
            self.asked_at = None;
            let (given, next) = (None, Next::Rest);
            return PoolStep { given, next };
        };
        self.discard(&terms, now);
        if asked {
            self.asked_at = Some(now);
            let given = self.tokens.pop_front().map(|token| token.value);
            let next = Next::Wait(now);
            return PoolStep { given, next };
        }
        PoolStep {
            given: None,
            next: self.next(&terms, now),
        }
    }

    /// Drops everything that was minted from something else.
    fn adopt(&mut self, terms: Option<&Terms>, now: Timestamp) {
        let source = terms.map(|terms| &terms.source);
        if self.source.as_ref() == source {
            return;
        }
        self.source = source.cloned();
        self.tokens.clear();
        self.life = None;
        self.failed = 0;
        // What failed may work now, but a change that comes again and again is no way around a backoff.
        self.not_before = self.not_before.map(|_| now + SHORTEST);
    }

    fn mint_ended(&mut self, terms: Option<&Terms>, end: MintEnd<T>, now: Timestamp) {
        let minted_from = self.minting.take();
        let Some(terms) = terms.filter(|terms| minted_from.as_ref() == Some(&terms.source)) else {
            return; // a token of something else is thrown away, and its failure says nothing
        };
        match end {
            MintEnd::Minted(token) => {
                let life = token.usable_until.duration_since(token.issued_at);
                self.life = Some(life);
                if is_usable(&token, terms, now) {
                    self.failed = 0;
                    self.not_before = None;
                    self.tokens.push_back(token);
                } else {
                    let message = "the token lives shorter than requests.minRemainingSeconds".to_owned();
                    let credential = false;
                    self.fail(&MintError::Rejected { credential, message }, &terms.uid, now);
                }
                if !is_worthwhile(life, terms.floor) {
                    self.not_before = Some(now + LONGEST_WAIT);
                }
            }
            MintEnd::Busy => self.not_before = Some(now + BUSY),
            MintEnd::Limited(until) => self.not_before = Some(until.max(now + SHORTEST)),
            MintEnd::Failed(error) => self.fail(&error, &terms.uid, now),
        }
    }

    fn fail(&mut self, error: &MintError, uid: &str, now: Timestamp) {
        self.failed = self.failed.saturating_add(1);
        self.not_before = Some(now + mint_delay(error, self.failed, uid, SignedDuration::ZERO));
    }

    /// Drops tokens below the floor, and those beyond the wanted number.
    fn discard(&mut self, terms: &Terms, now: Timestamp) {
        self.tokens.retain(|token| is_usable(token, terms, now));
        let too_many = self.tokens.len().saturating_sub(terms.ready);
        self.tokens.drain(..too_many);
        // The clock was set back.
        self.asked_at = self.asked_at.map(|at| at.min(now));
        self.not_before = self.not_before.map(|at| at.min(now + LONGEST_WAIT));
    }

    fn next(&mut self, terms: &Terms, now: Timestamp) -> Next {
        let life = self.life.unwrap_or(UNKNOWN_LIFE).max(SHORTEST);
        let Some(rests_at) = self.asked_at.map(|at| at + life).filter(|at| *at > now) else {
            self.tokens.clear();
            self.asked_at = None;
            return Next::Rest;
        };
        if self.minting.is_some() {
            return Next::Wait(rests_at); // the mint's end comes as an event
        }
        if self.tokens.len() >= terms.ready {
            let ends = self.tokens.iter().map(|token| token.usable_until - wanted(terms)).min();
            // A token is dropped when it has less than the floor, so a moment later.
            let ends = ends.map_or(rests_at, |at| at + SignedDuration::from_millis(1));
            return Next::Wait(ends.min(rests_at));
        }
        if let Some(not_before) = self.not_before.filter(|at| *at > now) {
            return Next::Wait(not_before.min(rests_at));
        }
        self.minting = Some(terms.source.clone());
        Next::Mint
    }
}

/// Whether tokens of this life are worth minting ahead. Others would be dropped and minted again all the time.
pub(super) fn is_worthwhile(life: SignedDuration, floor: SignedDuration) -> bool {
    life >= floor + ANSWERED_WITHIN + SHORTEST_STAY
}

fn wanted(terms: &Terms) -> SignedDuration {
    terms.floor + ANSWERED_WITHIN
}

/// Whether a token may be handed out. One that was issued in the future was so by a clock that was set back since, and
/// nothing is known of its end.
fn is_usable<T>(token: &Ready<T>, terms: &Terms, now: Timestamp) -> bool {
    token.issued_at <= now && token.usable_until.duration_since(now) >= wanted(terms)
}

#[cfg(test)]
mod tests;
