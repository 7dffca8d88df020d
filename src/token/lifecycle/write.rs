//! From a token in memory, or labels that are not as they should be, to the end of the write.

use jiff::{SignedDuration, Timestamp};

use super::event::StoredReport;
use super::repeats::what_is_wrong;
use super::{Effect, Lifecycle, Order, Situation, Step, StoreOrder, WriteEnd, wait_blocked};
use crate::api::Reason;
use crate::token::backoff::{self, WriteFailures, WriteInputs};
use crate::token::decide::{Decision, MAX_WAIT, WaitReason, decide, is_relabelled_again, kept_renewal, next_look};
use crate::token::schedule::Swap;
use crate::token::secret::{Issued, TargetState};
use crate::token::{Observation, Trigger, UnstoredToken};

/// The first wait after a write that met a changed Secret; it doubles as long as that goes on.
const OUTDATED_FIRST: SignedDuration = SignedDuration::from_millis(20);

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

    pub(super) fn relabel(&self, seen: &Observation<'_>) -> Step {
        Step::of(Effect::Write(Order::Relabel {
            renewal_time: seen.schedule().map(|schedule| schedule.renewal_time),
            again: is_relabelled_again(self, seen),
        }))
    }

    pub(super) fn write_ended(&mut self, seen: &Observation<'_>, order: &Order, end: WriteEnd) -> Step {
        match end {
            WriteEnd::Written => self.written(seen, order),
            WriteEnd::Outdated => {
                let doublings = self.outdated_writes.min(16);
                self.outdated_writes = self.outdated_writes.saturating_add(1);
                let wait = (OUTDATED_FIRST * (1 << doublings)).min(backoff::longest(slack(seen)));
                Step::of(Effect::Wait(next_look(seen, seen.now + wait)))
            }
            WriteEnd::Refused { reason, message } => {
                let failures = self.failed_write(seen, reason, message);
                Step::of(Effect::Wait(next_look(seen, failures.next))).reporting(Situation::WriteFailing(failures))
            }
            WriteEnd::Unavailable { message } => {
                let failures = self.failed_write(seen, Reason::SecretWriteFailed, message);
                let step = Step::of(Effect::Wait(next_look(seen, failures.next)));
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
        let undone_before = self.write_failures.take();
        let undone_before = undone_before.filter(|failures| failures.reason == Reason::SecretRewritten);
        self.settle();
        self.count_repeat(seen, order);
        let stored = match order {
            Order::Store(order) => {
                if let Some(token) = &mut self.unstored {
                    (token.revision, token.stored) = (Some(order.revision), true);
                }
                Some(StoredReport {
                    trigger: order.trigger,
                    revision: order.revision,
                    swap: order.replaces.as_ref().and_then(|replaced| swap(seen, replaced)),
                })
            }
            Order::Relabel { .. } => None,
        };
        let settled = |until| Step::of(Effect::Wait(until)).reporting(Situation::Settled);
        let step = match (decide(seen, self), undone_before) {
            (Decision::Wait { until, why }, before) => match why {
                WaitReason::Undone { .. } if stored.is_none() || !holds_token(seen) => {
                    self.changed_on_the_way(seen, before)
                }
                WaitReason::Undone { .. } => self.wait(seen, until, why),
                _ => settled(until),
            },
            (Decision::Mint(Trigger::Due), _) => settled(seen.now),
            // Labels and owner are no part of a token's write.
            (Decision::Relabel, None) if stored.is_some() => settled(seen.now),
            (Decision::Relabel, Some(failures)) if stored.is_some() => {
                let now = WriteFailures {
                    next: seen.now,
                    ..*failures
                };
                self.write_failures = Some(Box::new(now.clone()));
                Step::of(Effect::Wait(seen.now)).reporting(Situation::WriteFailing(now))
            }
            (Decision::Blocked(blocked), _) => wait_blocked(seen, blocked),
            (_, before) => self.changed_on_the_way(seen, before),
        };
        Step { stored, ..step }
    }

    /// A write that the API server answers with something else than what was written: an admission webhook or policy
    /// changes it. Writing again at once would never end.
    fn changed_on_the_way(&mut self, seen: &Observation<'_>, before: Option<Box<WriteFailures>>) -> Step {
        let latest = seen.now + MAX_WAIT;
        let due = seen.schedule().map(|schedule| schedule.renewal_time);
        let due = due.or_else(|| kept_renewal(seen, self)).filter(|due| *due > seen.now);
        let all_the_same = match seen.wants_connection() {
            true => "Tokens are handed out all the same",
            false => "Tokens are renewed all the same",
        };
        let message = format!(
            "an admission policy or webhook changes what the operator writes into Secret {}: {}. Exclude the Secrets of \
             the operator from it (kubectl get mutatingadmissionpolicies,mutatingwebhookconfigurations). {all_the_same}, but \
             changes to the Secret may be noticed late",
            seen.token.target_name(),
            what_is_wrong(seen)
        );
        let failures = WriteFailures {
            failed: before.map_or(0, |failures| failures.failed).saturating_add(1),
            last: seen.now,
            next: due.map_or(latest, |due| due.min(latest)),
            inputs: write_inputs(seen),
            reason: Reason::SecretRewritten,
            message,
        };
        self.write_failures = Some(Box::new(failures.clone()));
        Step::of(Effect::Wait(next_look(seen, failures.next))).reporting(Situation::WriteFailing(failures))
    }

    /// What the status says while a repair waits.
    pub(super) fn undone(&self, seen: &Observation<'_>, next: Timestamp) -> WriteFailures {
        match (&self.write_failures, &self.repeats) {
            (Some(failures), _) => (**failures).clone(),
            (None, repeats) => repeats.clone().unwrap_or_default().undone(seen, next),
        }
    }

    fn failed_write(&mut self, seen: &Observation<'_>, reason: Reason, message: String) -> WriteFailures {
        let before = self.write_failures.as_ref().map_or(0, |failures| failures.failed);
        let failed = before.saturating_add(1);
        let failures = WriteFailures {
            failed,
            last: seen.now,
            next: seen.now + backoff::write_delay(reason, failed, &self.uid, slack(seen)),
            inputs: write_inputs(seen),
            reason,
            message,
        };
        self.write_failures = Some(Box::new(failures.clone()));
        failures
    }

    /// A write that got no answer, or the API server's failure, is tried again.
    pub(super) fn api_answered(&mut self, now: Timestamp) {
        if let Some(failures) = &mut self.write_failures
            && failures.reason == Reason::SecretWriteFailed
        {
            failures.next = failures.next.min(now);
        }
    }

    fn count_repeat(&mut self, seen: &Observation<'_>, order: &Order) {
        let mut repeats = self.repeats.take().unwrap_or_default();
        repeats.count(seen, order);
        self.repeats = repeats.is_any().then_some(repeats);
    }
}

/// Whether the Secret holds a token as it was written, whatever its labels are.
fn holds_token(seen: &Observation<'_>) -> bool {
    matches!(&seen.target, TargetState::Ours(stored) if stored.intact && stored.issued.is_some())
}

fn slack(seen: &Observation<'_>) -> SignedDuration {
    let swap_by = seen.schedule().map(|schedule| schedule.swap_by);
    let usable_until = seen.issued().map(|issued| issued.usable_until);
    backoff::slack(swap_by, usable_until, seen.now)
}

fn write_inputs(seen: &Observation<'_>) -> Option<WriteInputs> {
    seen.inputs.as_ref().ok().map(|mint| WriteInputs {
        mint: mint.clone(),
        metadata_hash: seen.metadata_hash.clone(),
        secret: seen.target.uid().map(str::to_owned),
    })
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
