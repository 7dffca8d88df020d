//! All that is remembered of one RealtimeToken, and how each event changes it.
//!
//! What is remembered changes in [`Lifecycle::step`] and in two methods beside it: [`Lifecycle::release_stored`] drops a
//! token that was stored long enough ago, and [`Lifecycle::take_echo`] notes that the watch has shown our own status
//! write. Losing what is remembered costs nothing but a token that was minted and not stored: the Secret's annotations
//! and the status say the rest, and [`Lifecycle::restore`] reads them.

mod event;
mod mint;
mod repeats;
mod restore;
mod write;

use jiff::{SignedDuration, Timestamp};

pub(crate) use self::event::{
    Effect, Event, Limit, MintEnd, Order, Pending, Situation, Step, StoreOrder, StoredReport, WriteEnd, WrittenStatus,
};
pub(super) use self::repeats::Repeats;
pub(super) use self::restore::restored_failures;
use super::backoff::{MintFailures, WriteFailures};
use super::decide::{self, Decision, WaitReason, decide};
use super::resource_version::at_least_as_new;
use super::secret::{Issued, TargetState};
use super::{Blocked, Observation, UnstoredToken, hash};
use crate::api::{RENEW_REQUESTED_AT, RealtimeToken, RealtimeTokenStatus, Reason};

/// A Secret with another owner is not in our watch, so its deletion is noticed by looking; so is a namespace that was
/// created anew, where namespaces can't be watched.
const UNWATCHED_RECHECK: SignedDuration = SignedDuration::from_secs(30);

/// A watch that works shows a write within this time. If it doesn't, an API server that was restored from a backup has
/// gone back behind the write.
const SHOWN_WITHIN: SignedDuration = SignedDuration::from_secs(60);

/// State kept for one RealtimeToken.
#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone))] // a model goes on from one state in many ways
pub(crate) struct Lifecycle {
    /// The RealtimeToken's uid: one created anew under the same name begins with nothing.
    uid: String,
    pending: Option<Box<Pending>>,
    /// A token that is not stored yet, or was stored within [`decide::MIN_INTERVAL`]: should its Secret be lost so soon,
    /// it is written again instead of minting. It is kept longer where other writers keep changing the Secret.
    pub(super) unstored: Option<Box<UnstoredToken>>,
    /// When the last token was asked for. A mint that failed is spaced by its backoff instead.
    pub(super) last_mint: Option<Timestamp>,
    /// When the last mint failed, also if that no longer stands: what is wanted was what the Secret holds, for a moment.
    pub(super) last_failure: Option<Timestamp>,
    pub(super) mint_failures: Option<Box<MintFailures>>,
    pub(super) write_failures: Option<Box<WriteFailures>>,
    /// When to replace a token whose times were written by a clock that has been set back since.
    pub(super) replace_at: Option<Timestamp>,
    /// Our last status write, until the watch has caught up with it.
    written_status: Option<Box<WrittenStatus>>,
    /// The version that our last status write made, once the watch has shown it and until it is looked at. A reconcile
    /// that began before may still hold an older version.
    echoed_version: Option<Box<str>>,
    /// `None` while nothing was put right or replaced early.
    pub(super) repeats: Option<Box<Repeats>>,
    /// Writes in a row that met a Secret that had changed meanwhile.
    outdated_writes: u32,
}

impl Lifecycle {
    /// What is known when a RealtimeToken is first seen: the failures that its status records.
    pub(crate) fn restore(token: &RealtimeToken) -> Self {
        let (mint_failures, write_failures) = restored_failures(token);
        Self {
            uid: token.metadata.uid.clone().unwrap_or_default(),
            mint_failures: mint_failures.map(Box::new),
            write_failures: write_failures.map(Box::new),
            ..Self::default()
        }
    }

    /// Takes in an event. Returns what to do, what to report and what was achieved.
    pub(crate) fn step(&mut self, event: Event<'_>) -> Step {
        match event {
            Event::Looked(seen) => self.looked(seen),
            Event::MintStarted(pending) => {
                self.pending = Some(pending);
                Step::of(Effect::Nothing)
            }
            Event::MintDeferred { seen, limit } => self.mint_deferred(seen, limit),
            Event::MintEnded { end, slot, now } => self.mint_ended(end, slot, now),
            Event::SlotCame { now } => {
                self.slot_came(now);
                Step::of(Effect::Nothing)
            }
            Event::ApiAnswered { now } => {
                self.api_answered(now);
                Step::of(Effect::Nothing)
            }
            Event::WriteEnded { seen, order, end } => self.write_ended(seen, &order, end),
            Event::StatusWritten(written) => {
                self.written_status = Some(written);
                Step::of(Effect::Nothing)
            }
        }
    }

    fn looked(&mut self, seen: &Observation<'_>) -> Step {
        if self.pending.is_some() {
            return Step::of(Effect::Nothing); // the end of the mint is the next event
        }
        let version = seen.token.metadata.resource_version.as_deref().unwrap_or_default();
        // Once: an API server that is restored from a backup goes back to old versions.
        let echoed = self.echoed_version.take();
        if echoed.is_some_and(|echoed| !at_least_as_new(version, &echoed)) {
            return Step::of(Effect::Wait(seen.now)); // a status that is compared with an old one would keep its fields
        }
        if seen.wants_connection() {
            (self.unstored, self.mint_failures) = (None, None); // no token is stored any more
        }
        self.recognize_stored(seen);
        self.release_stored(seen.now);
        self.complete_restored(seen);
        self.distrust_future(seen);
        if self.watch_caught_up(seen.token) {
            self.written_status = None;
        }
        match (decide(seen, self), &seen.inputs, &mut self.unstored) {
            (Decision::Wait { until, why }, ..) => self.wait(seen, until, why),
            (Decision::Mint(trigger), Ok(inputs), _) => Self::mint(seen, inputs, trigger),
            (Decision::Store(trigger), _, Some(token)) => Self::store(seen, token, trigger),
            (Decision::Relabel, ..) => self.relabel(seen),
            (Decision::Blocked(blocked), ..) => wait_blocked(seen, blocked),
            // Only what is wanted is minted, and only what is in memory is stored.
            (Decision::Mint(_) | Decision::Store(_), ..) => Step::of(Effect::Nothing),
        }
    }

    fn wait(&mut self, seen: &Observation<'_>, until: Timestamp, why: WaitReason) -> Step {
        let situation = match why {
            WaitReason::Fresh => {
                self.settle();
                // Another token is stored and will do.
                self.unstored.take_if(|token| !token.stored);
                Some(Situation::Settled)
            }
            WaitReason::MintBackoff => self.mint_failures.as_deref().cloned().map(Situation::MintFailing),
            WaitReason::WriteBackoff => self.write_failures.as_deref().cloned().map(Situation::WriteFailing),
            WaitReason::MinInterval => Some(Situation::Pending),
            WaitReason::Undone { next } => Some(Situation::WriteFailing(self.undone(seen, next))),
            WaitReason::ChangedTooOften { next } => {
                let repeats = self.repeats.as_deref();
                repeats.map(|repeats| Situation::MintFailing(repeats.changing(next)))
            }
            WaitReason::Suspended => Some(Situation::Suspended),
            WaitReason::EndpointUnknown if seen.holds_connection() => None,
            WaitReason::EndpointUnknown => Some(Situation::Blocked(decide::not_known())),
        };
        Step {
            situation,
            ..Step::of(Effect::Wait(until))
        }
    }

    /// The Secret is as it should be: no failure stands.
    fn settle(&mut self) {
        self.mint_failures = None;
        self.write_failures = None;
        self.outdated_writes = 0;
    }

    /// A write that got no answer may have landed all the same.
    fn recognize_stored(&mut self, seen: &Observation<'_>) {
        if let TargetState::Ours(secret) = &seen.target
            && let Some(issued) = secret.issued.as_ref().filter(|_| secret.intact)
            && let Some(token) = &mut self.unstored
            && token.minted.issued_at == issued.issued_at
        {
            (token.revision, token.stored) = (Some(issued.revision), true);
        }
    }

    /// Lets go of a stored token, and of mints that hold back no other, when [`decide::MIN_INTERVAL`] is over; and of
    /// a status that the watch should have shown by now.
    pub(crate) fn release_stored(&mut self, now: Timestamp) {
        let over = |since: Timestamp| now.duration_since(since) >= decide::MIN_INTERVAL;
        // Where other writers keep changing the Secret, its token is needed for the next repair.
        let rewritten = self.write_failures.as_ref().map(|failures| failures.reason) == Some(Reason::SecretRewritten);
        if !rewritten && !self.repeats.as_ref().is_some_and(|repeats| repeats.keeps_token()) {
            self.unstored
                .take_if(|token| token.stored && over(token.minted.issued_at));
        }
        self.last_mint.take_if(|last| over(*last));
        self.last_failure.take_if(|last| over(*last));
        self.written_status
            .take_if(|written| now.duration_since(written.at).abs() > SHOWN_WITHIN);
    }

    /// A status records failed mints, but not what they were made from: it is taken to be what is
    /// wanted now. A change from here on lifts the backoff, as the status promises.
    fn complete_restored(&mut self, seen: &Observation<'_>) {
        if seen.token.spec.suspend {
            return; // what is wanted is not known
        }
        if let Some(failures) = self.mint_failures.as_mut().filter(|known| known.inputs.is_none()) {
            failures.inputs = seen.inputs.as_ref().ok().cloned();
            if failures.inputs.is_none() {
                self.mint_failures = None;
            }
        }
    }

    /// A token from the future is replaced within [`decide::MAX_WAIT`]. A clock that is set back concerns all tokens at
    /// once, so they are spread over that time.
    fn distrust_future(&mut self, seen: &Observation<'_>) {
        let believable = |issued: &Issued| decide::is_believable(issued.issued_at, seen.now);
        if seen.issued().is_none_or(believable) {
            self.replace_at = None;
        } else if self.replace_at.is_none() {
            self.replace_at = Some(seen.now + hash::uniform(&self.uid, "clock", decide::MAX_WAIT));
        }
    }

    fn watch_caught_up(&self, token: &RealtimeToken) -> bool {
        let seen = token.metadata.resource_version.as_deref().unwrap_or_default();
        let written = self.written_status.as_deref();
        written.is_some_and(|written| at_least_as_new(seen, &written.version))
    }

    /// The status as last written by us, or as the watch shows it if that is newer.
    pub(crate) fn known_status(&self, token: &RealtimeToken) -> RealtimeTokenStatus {
        match &self.written_status {
            Some(written) if !self.watch_caught_up(token) => written.status.clone(),
            _ => token.status.clone().unwrap_or_default(),
        }
    }

    /// Whether this version of the object is but the echo of our own last status write, with nothing in it that the
    /// write didn't rest on. The watch has caught up with the write then.
    pub(crate) fn take_echo(&mut self, token: &impl kube::ResourceExt) -> bool {
        let meta = token.meta();
        let is_echo = |written: &mut Box<WrittenStatus>| {
            Some(&written.version) == meta.resource_version.as_ref()
                && written.status.observed_generation == meta.generation
                && written.renew_request.as_ref() == token.annotations().get(RENEW_REQUESTED_AT)
                && meta.deletion_timestamp.is_none()
        };
        let echo = self.written_status.take_if(is_echo);
        if let Some(echo) = &echo {
            self.echoed_version = Some(echo.version.as_str().into());
        }
        echo.is_some()
    }

    /// Whether all that is remembered can be restored from the status and the Secret.
    pub(crate) fn is_at_rest(&self) -> bool {
        let Self {
            uid: _,
            pending,
            unstored,
            last_mint,
            last_failure,
            mint_failures,
            write_failures,
            replace_at,
            written_status,
            echoed_version: _,
            repeats,
            outdated_writes,
        } = self;
        let nothing_kept = pending.is_none() && unstored.is_none() && written_status.is_none();
        let nothing_failed = mint_failures.is_none() && write_failures.is_none() && *outdated_writes == 0;
        let no_times = last_mint.is_none() && last_failure.is_none() && replace_at.is_none();
        nothing_kept && nothing_failed && no_times && repeats.as_ref().is_none_or(|repeats| repeats.is_forgettable())
    }

    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    pub(crate) const fn is_minting(&self) -> bool {
        self.pending.is_some()
    }

    pub(crate) fn has_unstored_token(&self) -> bool {
        self.unstored.as_ref().is_some_and(|token| !token.stored)
    }
}

fn wait_blocked(seen: &Observation<'_>, blocked: Blocked) -> Step {
    let recheck = match blocked.reason {
        Reason::SecretConflict | Reason::NamespaceTerminating => UNWATCHED_RECHECK,
        _ => decide::MAX_WAIT,
    };
    let until = decide::next_look(seen, seen.now + recheck);
    Step::of(Effect::Wait(until)).reporting(Situation::Blocked(blocked))
}

#[cfg(test)]
mod tests;
