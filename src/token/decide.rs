//! Observed -> Decision.

use jiff::{SignedDuration, Timestamp};

use super::{Decision, Held, Observed, TargetState, Trigger, WaitReason, Wanted, backoff, schedule};
use crate::api::Reason;

/// The smallest distance between two mints of one RealtimeToken, whatever the inputs.
pub const MIN_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// No wait is longer, so that a stepped clock or a suspended node is noticed.
pub const MAX_WAIT: SignedDuration = SignedDuration::from_secs(300);

/// What to do next. Looks at, in this order: suspension, ownership, what blocks, the Secret, the fingerprint, a forced
/// renewal, the credential, freshness, a token at hand, the smallest interval, backoff.
#[must_use]
pub fn decide(seen: &Observed<'_>) -> Decision {
    if let TargetState::Foreign(owner) = seen.target
        && !seen.suspended
    {
        return Decision::Blocked(super::Blocked::new(
            Reason::SecretConflict,
            format!(
                "the Secret exists and is not controlled by this RealtimeToken ({owner}); it is left alone. Delete \
                 that Secret, or create a RealtimeToken with another target.name"
            ),
        ));
    }
    if seen.suspended {
        return wait(seen, seen.now + MAX_WAIT, WaitReason::Suspended);
    }
    let wanted = match &seen.wanted {
        Ok(wanted) => wanted,
        Err(blocked) => return Decision::Blocked((*blocked).clone()),
    };
    match trigger(seen, wanted) {
        Some(trigger) => act_on(seen, wanted, trigger),
        None if !same_metadata(seen) => write(seen, wanted, Decision::Relabel),
        None => wait(seen, renewal_time(seen).unwrap_or(seen.now), WaitReason::Fresh),
    }
}

/// Why the stored token won't do, if it won't.
fn trigger(seen: &Observed<'_>, wanted: &Wanted<'_>) -> Option<Trigger> {
    let stored = match seen.target {
        TargetState::Ours(stored) => stored,
        TargetState::Absent if seen.issued_before => return Some(Trigger::SecretDeleted),
        TargetState::Absent | TargetState::Foreign(_) => return Some(Trigger::FirstIssue),
    };
    let Some(issued) = stored.issued.as_ref().filter(|_| stored.intact) else {
        return Some(Trigger::SecretEdited);
    };
    if issued.fingerprint != wanted.fingerprint {
        Some(Trigger::SpecChanged)
    } else if wanted.renew_request.is_some() && issued.renew_request.as_deref() != wanted.renew_request {
        Some(Trigger::Forced)
    } else if issued.credential_revision != wanted.credential_revision {
        Some(Trigger::CredentialChanged)
    } else if renewal_time(seen).is_some_and(|due| due <= seen.now) {
        Some(Trigger::Due)
    } else {
        None
    }
}

fn act_on(seen: &Observed<'_>, wanted: &Wanted<'_>, trigger: Trigger) -> Decision {
    if let Some(held) = seen.held
        && serves(seen, held, wanted)
    {
        return write(seen, wanted, Decision::Store(trigger));
    }
    if let Some(attempts) = seen.attempts {
        let asked = attempts.asked.as_deref();
        let next = if asked.is_none_or(|asked| asked == asked_for(wanted)) {
            attempts.next
        } else {
            // Another question is asked at once, but not in a flood if somebody keeps changing it.
            attempts.last.min(seen.now) + backoff::SHORTEST
        };
        if next > seen.now {
            return wait(seen, next, WaitReason::Backoff);
        }
    }
    let minted = seen.last_mint.filter(|last| believable(*last, seen.now));
    let last = stored_at(seen).max(minted);
    match last
        .map(|last| last + MIN_INTERVAL)
        .filter(|earliest| *earliest > seen.now)
    {
        Some(earliest) => wait(seen, earliest, WaitReason::MinInterval),
        None => Decision::Mint(trigger),
    }
}

/// A write that the API server refused is left alone for a while, unless it would be another one now.
fn write(seen: &Observed<'_>, wanted: &Wanted<'_>, decision: Decision) -> Decision {
    match seen.attempts {
        Some(attempts)
            if attempts.reason == Reason::SecretWriteFailed
                && attempts.next > seen.now
                && attempts.asked.as_deref() == Some(&written_for(wanted, seen.metadata_hash)) =>
        {
            wait(seen, attempts.next, WaitReason::Backoff)
        }
        _ => decision,
    }
}

/// A token at hand is stored, or stored once more after its Secret was lost, rather than replaced by a new one.
fn serves(seen: &Observed<'_>, held: &Held, wanted: &Wanted<'_>) -> bool {
    let matches = held.fingerprint == wanted.fingerprint
        && held.credential_revision == wanted.credential_revision
        // Taking the annotation away asks for nothing.
        && (wanted.renew_request.is_none() || held.renew_request.as_deref() == wanted.renew_request);
    let plan = schedule::plan(seen.renewal, seen.uid, held.minted.issued_at, held.minted.usable_until);
    let stale = stored_at(seen).is_some_and(|stored| stored > held.minted.issued_at);
    matches
        && !stale
        && (held.revision.is_none() && held.minted.usable_until > seen.now || plan.renewal_time > seen.now)
}

/// What an attempt asked for, to notice that a later one would ask for something else.
#[must_use]
pub fn asked_for(wanted: &Wanted<'_>) -> String {
    format!(
        "{}/{}/{}",
        wanted.fingerprint,
        wanted.credential_revision,
        wanted.renew_request.unwrap_or_default()
    )
}

/// What a write was for, to notice that a later one would write something else.
#[must_use]
pub fn written_for(wanted: &Wanted<'_>, metadata_hash: &str) -> String {
    format!("{}/{metadata_hash}", asked_for(wanted))
}

fn stored_at(seen: &Observed<'_>) -> Option<Timestamp> {
    let issued_at = match seen.target {
        TargetState::Ours(stored) => stored.issued.as_ref()?.issued_at,
        TargetState::Absent | TargetState::Foreign(_) => return None,
    };
    Some(issued_at).filter(|at| believable(*at, seen.now))
}

/// A mint that lies in the future was timed by a clock that has been set back since: it says nothing about how long
/// ago it was, and must neither hold back the next one nor make it look stale.
fn believable(mint: Timestamp, now: Timestamp) -> bool {
    mint <= now + MIN_INTERVAL
}

fn renewal_time(seen: &Observed<'_>) -> Option<Timestamp> {
    let TargetState::Ours(stored) = seen.target else {
        return None;
    };
    let issued = stored.issued.as_ref()?;
    Some(schedule::plan(seen.renewal, seen.uid, issued.issued_at, issued.usable_until).renewal_time)
}

fn same_metadata(seen: &Observed<'_>) -> bool {
    match seen.target {
        TargetState::Ours(stored) => {
            stored.metadata_hash.as_deref() == Some(seen.metadata_hash) && stored.renewal_time == renewal_time(seen)
        }
        TargetState::Absent | TargetState::Foreign(_) => true,
    }
}

/// Wakes also when the token falls below its floor and when it ends, since the conditions change then.
fn wait(seen: &Observed<'_>, until: Timestamp, why: WaitReason) -> Decision {
    let mut until = until.min(seen.now + MAX_WAIT);
    if let TargetState::Ours(stored) = seen.target
        && let Some(issued) = &stored.issued
    {
        let plan = schedule::plan(seen.renewal, seen.uid, issued.issued_at, issued.usable_until);
        for change in [plan.floor_time, issued.usable_until] {
            if change > seen.now {
                until = until.min(change);
            }
        }
    }
    Decision::Wait {
        until: until.max(seen.now + SignedDuration::from_millis(1)),
        why,
    }
}

#[cfg(test)]
mod tests;
