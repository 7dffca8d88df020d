//! How often in a row a Secret was put right, or its token replaced before its time: what goes on without end slows down.

use jiff::{SignedDuration, Timestamp};

use super::{Order, StoreOrder};
use crate::api::Reason;
use crate::clock::whole_second;
use crate::token::backoff::Failures;
use crate::token::decide::{MAX_WAIT, MIN_INTERVAL};
use crate::token::secret::TargetState;
use crate::token::{MintInputs, Observation, Trigger};

/// So many repairs in a row are made at once.
const FREE_REPAIRS: u32 = 3;
/// So many tokens in a row are replaced at once for a change that a user makes.
const FREE_CHANGES: u32 = 10;

/// Counted until a token is replaced because it was due, so that everything was as it should be at that time.
#[derive(Clone, Debug, Default)]
pub(in crate::token) struct Repeats {
    /// Writes of what was there before: the Secret was deleted or changed by another writer.
    repairs: u32,
    /// Tokens replaced early for a new spec, key or renewal request.
    changes: u32,
    last: Timestamp,
    /// What the last token that was replaced early is minted from.
    minted_from: Option<MintInputs>,
    /// The metadata that was last put right.
    labelled: Option<(String, Option<Timestamp>)>,
    /// Whether the last write was a token's: the labels that follow are part of that repair.
    stored: bool,
}

impl Repeats {
    /// Whether other writers change the Secret so often that its token should be kept for the next repair.
    pub(in crate::token) const fn keeps_token(&self) -> bool {
        self.repairs >= FREE_REPAIRS
    }

    /// When the Secret may be put right again.
    pub(in crate::token) fn next_repair(&self, now: Timestamp) -> Timestamp {
        self.last(now) + pause(self.repairs, FREE_REPAIRS)
    }

    /// The last repair or change; now, if it lies in the future since the clock was set back.
    fn last(&self, now: Timestamp) -> Timestamp {
        self.last.min(now)
    }

    /// When a token may be replaced before its time.
    pub(in crate::token) fn next_mint(&self, trigger: Trigger, inputs: &MintInputs, now: Timestamp) -> Timestamp {
        if self.is_repair(trigger, inputs) {
            self.next_repair(now)
        } else {
            self.last(now) + pause(self.changes, FREE_CHANGES)
        }
    }

    /// Whether a token is replaced for no change of what is wanted.
    pub(in crate::token) fn is_repair(&self, trigger: Trigger, inputs: &MintInputs) -> bool {
        matches!(trigger, Trigger::SecretDeleted | Trigger::SecretEdited) || self.minted_from.as_ref() == Some(inputs)
    }

    /// Whether labels and owner are to be written for no change of what is wanted.
    pub(in crate::token) fn is_relabelled_again(&self, seen: &Observation<'_>) -> bool {
        !self.stored && (damage(seen).is_some() || self.has_labelled(seen))
    }

    /// Whether the metadata that is wanted was the last that was written.
    fn has_labelled(&self, seen: &Observation<'_>) -> bool {
        let renewal_time = seen.schedule().map(|schedule| schedule.renewal_time);
        let labelled = self.labelled.as_ref();
        labelled.is_some_and(|(hash, time)| *hash == seen.metadata_hash && *time == renewal_time)
    }

    /// Counts a write that has landed.
    pub(super) fn count(&mut self, seen: &Observation<'_>, order: &Order) {
        match order {
            Order::Store(order) => self.count_store(order, seen.now),
            Order::Relabel { renewal_time, again } => {
                if *again {
                    self.repairs = self.repairs.saturating_add(1);
                    self.last = seen.now;
                }
                self.stored = false;
                self.labelled = Some((seen.metadata_hash.clone(), *renewal_time));
            }
        }
    }

    pub(super) const fn is_any(&self) -> bool {
        self.repairs > 0 || self.changes > 0 || self.labelled.is_some() || self.stored
    }

    /// Whether nothing was counted: what the token was minted from is in the Secret as well.
    pub(super) const fn is_forgettable(&self) -> bool {
        self.repairs == 0 && self.changes == 0 && self.labelled.is_none()
    }

    fn count_store(&mut self, order: &StoreOrder, now: Timestamp) {
        let token = &order.token;
        match order.trigger {
            Trigger::Due => *self = Self::default(),
            Trigger::FirstIssue => {}
            trigger if token.revision.is_some() || self.is_repair(trigger, &token.inputs) => {
                self.repairs = self.repairs.saturating_add(1);
                self.last = now;
            }
            _ => {
                self.changes = self.changes.saturating_add(1);
                self.last = now;
            }
        }
        self.minted_from = Some(token.inputs.clone());
        self.stored = true;
    }

    /// What the status says while a repair waits.
    pub(super) fn undone<I>(&self, seen: &Observation<'_>, next: Timestamp) -> Failures<I> {
        let (name, at) = (seen.token.target_name(), whole_second(next));
        let since = match seen.wants_connection() {
            true => "",
            false => " since its token was last renewed in its time",
        };
        let message = format!(
            "Secret {name} has been put right {} times{since}, and {}. Find out who \
             else writes it (kubectl get secret {name} -o yaml --show-managed-fields) and have them leave it alone. It is \
             put right again at {at}",
            self.repairs,
            what_is_wrong(seen)
        );
        self.failures(self.repairs, next, Reason::SecretRewritten, message)
    }

    /// What the status says while a change waits.
    pub(super) fn changing<I>(&self, next: Timestamp) -> Failures<I> {
        let message = format!(
            "the spec, the key or the renewal request has changed {} times since a token was last renewed in its time, and \
             each change costs a token. Find out what keeps changing them. The next token is asked for at {}",
            self.changes,
            whole_second(next)
        );
        self.failures(0, next, Reason::ChangedTooOften, message)
    }

    const fn failures<I>(&self, failed: u32, next: Timestamp, reason: Reason, message: String) -> Failures<I> {
        Failures {
            failed,
            last: self.last,
            next,
            inputs: None,
            reason,
            message,
        }
    }
}

/// Doubles from the smallest distance of two mints on, up to the time after which everything is looked at anyway.
fn pause(done: u32, free: u32) -> SignedDuration {
    match done.checked_sub(free) {
        Some(further) => (MIN_INTERVAL * (1 << further.min(8))).min(MAX_WAIT),
        None => SignedDuration::ZERO,
    }
}

fn damage<'a>(seen: &'a Observation<'_>) -> Option<&'a str> {
    match &seen.target {
        TargetState::Ours(stored) => stored.damage.as_deref(),
        TargetState::Absent | TargetState::Foreign(_) => None,
    }
}

/// What another writer has done to the Secret, as part of a sentence.
pub(super) fn what_is_wrong<'a>(seen: &'a Observation<'_>) -> &'a str {
    match &seen.target {
        TargetState::Absent => "it is deleted again",
        TargetState::Foreign(_) | TargetState::Ours(_) => {
            damage(seen).unwrap_or("its annotations of realtime-token.dev are not as the operator writes them")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{looked, wanted};
    use super::*;
    use crate::token::fixtures::{at, inputs, ours, realtime_token, renewal, stored, unstored};

    fn damaged(damage: Option<&str>) -> TargetState {
        let mut stored = stored(at(0), 1800);
        stored.damage = damage.map(str::to_owned);
        ours(stored)
    }

    fn counted(repairs: u32, changes: u32) -> Repeats {
        Repeats {
            repairs,
            changes,
            ..Repeats::default()
        }
    }

    fn store(trigger: Trigger, spec: &str, revision: Option<i64>) -> Order {
        let mut token = unstored(at(55), 1800, revision);
        token.inputs = inputs(spec, "key", None);
        Order::Store(Box::new(StoreOrder {
            trigger,
            token,
            revision: 2,
            renewal_time: renewal(at(55), 1800),
            replaces: None,
        }))
    }

    #[test]
    fn a_clock_that_was_set_back_delays_by_no_more_than_the_pause() {
        let wanted = inputs("spec", "key", None);
        let repeats = |repairs, changes| Repeats {
            last: at(3600),
            ..counted(repairs, changes)
        };
        let next = |repeats: &Repeats, trigger| repeats.next_mint(trigger, &wanted, at(0));
        assert_eq!(next(&repeats(1, 0), Trigger::SecretDeleted), at(0));
        assert_eq!(next(&repeats(0, 1), Trigger::SpecChanged), at(0));
        assert_eq!(next(&repeats(3, 0), Trigger::SecretEdited), at(0) + MIN_INTERVAL);
        assert_eq!(next(&repeats(0, 10), Trigger::SpecChanged), at(0) + MIN_INTERVAL);
        assert_eq!(next(&repeats(90, 0), Trigger::SecretEdited), at(0) + MAX_WAIT);
    }

    /// An admission policy that changes an annotation looks like a changed spec.
    #[test]
    fn a_token_from_the_same_inputs_is_a_repair_whatever_the_trigger() {
        let repeats = Repeats {
            minted_from: Some(inputs("spec", "key", None)),
            ..Repeats::default()
        };
        let is_repair = |trigger, spec| repeats.is_repair(trigger, &inputs(spec, "key", None));
        assert!(is_repair(Trigger::SpecChanged, "spec"));
        assert!(!is_repair(Trigger::SpecChanged, "other"));
        assert!(is_repair(Trigger::SecretDeleted, "other") && is_repair(Trigger::SecretEdited, "other"));
        let first = Repeats::default();
        assert!(!first.is_repair(Trigger::CredentialChanged, &inputs("spec", "key", None)));
    }

    #[test]
    fn a_token_that_is_due_ends_the_count() {
        let token = realtime_token();
        let seen = looked(&token, ours(stored(at(0), 1800)), wanted());
        let count = |trigger, spec, revision| {
            let mut repeats = counted(2, 2);
            repeats.count(&seen, &store(trigger, spec, revision));
            assert_eq!(repeats.minted_from, Some(inputs(spec, "key", None)));
            assert!(repeats.stored);
            assert_eq!(repeats.last == seen.now, repeats.repairs + repeats.changes == 5);
            (repeats.repairs, repeats.changes)
        };
        assert_eq!(count(Trigger::Due, "spec", None), (0, 0));
        assert_eq!(count(Trigger::FirstIssue, "spec", None), (2, 2));
        assert_eq!(count(Trigger::SecretDeleted, "spec", None), (3, 2));
        assert_eq!(count(Trigger::SpecChanged, "spec", None), (2, 3));
        assert_eq!(
            count(Trigger::SpecChanged, "spec", Some(1)),
            (3, 2),
            "a token that was stored before"
        );
    }

    #[test]
    fn labels_that_are_put_right_are_repairs_and_changed_ones_are_none() {
        let token = realtime_token();
        let seen = looked(&token, ours(stored(at(0), 1800)), wanted());
        for (again, repairs) in [(true, 1), (false, 0)] {
            let mut repeats = Repeats {
                stored: true,
                ..Repeats::default()
            };
            let renewal_time = Some(renewal(at(0), 1800));
            repeats.count(&seen, &Order::Relabel { renewal_time, again });
            assert_eq!((repeats.repairs, repeats.changes, repeats.stored), (repairs, 0, false));
            assert!(repeats.has_labelled(&seen));
        }
    }

    #[test]
    fn labels_are_written_again_if_they_were_so_before_or_another_writer_changed_them() {
        let token = realtime_token();
        let labelled = |hash: &str, time| Repeats {
            labelled: Some((hash.to_owned(), time)),
            ..Repeats::default()
        };
        let is_again =
            |repeats: &Repeats, damage| repeats.is_relabelled_again(&looked(&token, damaged(damage), wanted()));
        let time = Some(renewal(at(0), 1800));
        assert!(!is_again(&Repeats::default(), None));
        assert!(is_again(&Repeats::default(), Some("a label is gone")));
        assert!(is_again(&labelled("desired", time), None));
        assert!(!is_again(&labelled("other", time), None));
        assert!(!is_again(&labelled("desired", None), None));
        let after_a_token = Repeats {
            stored: true,
            ..labelled("desired", time)
        };
        assert!(
            !is_again(&after_a_token, Some("a label is gone")),
            "part of the token's write"
        );
    }

    #[test]
    fn what_is_wrong_names_the_damage() {
        let token = realtime_token();
        let says = |target| what_is_wrong(&looked(&token, target, wanted())).to_owned();
        assert_eq!(says(TargetState::Absent), "it is deleted again");
        assert_eq!(says(damaged(Some("a label is gone"))), "a label is gone");
        assert!(says(damaged(None)).contains("are not as the operator writes them"));
    }

    #[test]
    fn what_was_counted_is_kept() {
        let labelled = Repeats {
            labelled: Some(("desired".to_owned(), None)),
            ..Repeats::default()
        };
        for repeats in [counted(1, 0), counted(0, 1), labelled] {
            assert!(repeats.is_any() && !repeats.is_forgettable(), "{repeats:?}");
        }
        let stored = Repeats {
            stored: true,
            ..Repeats::default()
        };
        assert!(stored.is_any() && stored.is_forgettable());
        assert!(!Repeats::default().is_any() && Repeats::default().is_forgettable());
        assert!(!counted(2, 9).keeps_token() && counted(3, 0).keeps_token());
    }
}
