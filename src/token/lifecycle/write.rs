//! From a token in memory, or labels that are not as they should be, to the end of the write.

use jiff::{SignedDuration, Timestamp};

use super::event::Stored;
use super::{Effect, Lifecycle, Order, Situation, Step, StoreOrder, WriteEnd};
use crate::api::Reason;
use crate::token::backoff::{self, WriteFailures, WriteInputs};
use crate::token::decide::{Decision, MAX_WAIT, decide};
use crate::token::schedule::Swap;
use crate::token::secret::Issued;
use crate::token::{Observation, Trigger, UnstoredToken};

/// The first wait after a write that met a changed Secret; it doubles up to [`OUTDATED_CAP`].
const OUTDATED_FIRST: SignedDuration = SignedDuration::from_millis(20);
const OUTDATED_CAP: SignedDuration = SignedDuration::from_secs(1);

impl Lifecycle {
    pub(super) fn store(seen: &Observation<'_>, token: &mut UnstoredToken, trigger: Trigger) -> Step {
        token.stored = false; // it may have been: its Secret was lost
        let minted = &token.minted;
        let in_secret = seen.issued().map_or(0, |issued| issued.revision);
        let last = in_secret.max(seen.prior.revision.unwrap_or(0));
        Step::of(Effect::Write(Order::Store(Box::new(StoreOrder {
            trigger,
            token: token.clone(),
            revision: token.revision.unwrap_or(last + 1),
            renewal_time: seen.schedule_of(minted.issued_at, minted.usable_until).renewal_time,
            replaces: seen.issued().cloned(),
        }))))
    }

    pub(super) fn relabel(seen: &Observation<'_>) -> Step {
        let renewal_time = seen.schedule().map(|schedule| schedule.renewal_time);
        Step::of(Effect::Write(Order::Relabel { renewal_time }))
    }

    pub(super) fn write_ended(&mut self, seen: &Observation<'_>, order: &Order, end: WriteEnd) -> Step {
        match end {
            WriteEnd::Written => self.written(seen, order),
            WriteEnd::Outdated => {
                let doublings = self.outdated_writes.min(6);
                self.outdated_writes = self.outdated_writes.saturating_add(1);
                let wait = (OUTDATED_FIRST * (1 << doublings)).min(OUTDATED_CAP);
                Step::of(Effect::Wait(seen.now + wait))
            }
            WriteEnd::Refused { message } => {
                let failures = self.failed_write(seen, message);
                Step::of(Effect::Wait(failures.next)).reporting(Situation::WriteFailing(failures))
            }
            WriteEnd::Unavailable { message } => {
                let failures = self.failed_write(seen, message);
                let step = Step::of(Effect::Wait(failures.next));
                // One lost answer is no news: the next look shows whether the write landed.
                if failures.failed == 1 {
                    return step;
                }
                step.reporting(Situation::WriteFailing(failures))
            }
            WriteEnd::Unrenderable(blocked) => Step::of(Effect::Nothing).reporting(Situation::Blocked(blocked)),
        }
    }

    fn written(&mut self, seen: &Observation<'_>, order: &Order) -> Step {
        self.settle();
        let (stored, relabel_at) = match order {
            Order::Store(order) => {
                if let Some(token) = &mut self.unstored {
                    (token.revision, token.stored) = (Some(order.revision), true);
                }
                let stored = Stored {
                    trigger: order.trigger,
                    revision: order.revision,
                    swap: order.replaces.as_ref().and_then(|replaced| swap(seen, replaced)),
                };
                (Some(stored), seen.now) // labels and owner are no part of a token's write
            }
            Order::Relabel { .. } => (None, after_changed_write(seen)),
        };
        let until = match decide(seen, self) {
            Decision::Wait { until, .. } => until,
            Decision::Relabel => relabel_at,
            Decision::Mint(Trigger::Due) => seen.now,
            _ => after_changed_write(seen),
        };
        Step {
            stored,
            ..Step::of(Effect::Wait(until)).reporting(Situation::Settled)
        }
    }

    fn failed_write(&mut self, seen: &Observation<'_>, message: String) -> WriteFailures {
        let before = self.write_failures.as_ref().map_or(0, |failures| failures.failed);
        let failed = before.saturating_add(1);
        let inputs = seen.inputs.as_ref().ok().map(|mint| WriteInputs {
            mint: mint.clone(),
            metadata_hash: seen.metadata_hash.clone(),
        });
        let swap_by = seen.schedule().map(|schedule| schedule.swap_by);
        let usable_until = seen.issued().map(|issued| issued.usable_until);
        let slack = backoff::slack(swap_by, usable_until, seen.now);
        let failures = WriteFailures {
            failed,
            last: seen.now,
            next: seen.now + backoff::write_delay(failed, &self.uid, slack),
            inputs,
            reason: Reason::SecretWriteFailed,
            message,
        };
        self.write_failures = Some(Box::new(failures.clone()));
        failures
    }
}

/// When to look again after a write that did not make the Secret what it should be: an admission webhook changes what is
/// written. Writing again at once would never end.
fn after_changed_write(seen: &Observation<'_>) -> Timestamp {
    let latest = seen.now + MAX_WAIT;
    let due = seen.schedule().map(|schedule| schedule.renewal_time);
    due.filter(|due| *due > seen.now).map_or(latest, |due| due.min(latest))
}

/// How late a token came that was due, whatever brought it in the end. Time in suspension does not count.
fn swap(seen: &Observation<'_>, replaced: &Issued) -> Option<Swap> {
    let mut conditions = seen.prior.conditions.iter();
    if conditions.any(|condition| condition.reason == Reason::Suspended.as_str()) {
        return None;
    }
    let schedule = seen.schedule_of(replaced.issued_at, replaced.usable_until);
    schedule.swap(replaced.usable_until, seen.now)
}
