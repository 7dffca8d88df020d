//! What to do with a token, from what was seen and what is remembered.

use jiff::{SignedDuration, Timestamp};

use super::backoff::{self, WriteFailures, WriteInputs};
use super::lifecycle::Repeats;
use super::secret::{Issued, RequestsEndpoint, Stored, TargetState};
use super::{Blocked, Lifecycle, MintInputs, Observation, UnstoredToken};
use crate::api::{Reason, TargetContent};

/// The smallest distance between two mints of one RealtimeToken, whatever the inputs.
pub(crate) const MIN_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
/// No wait is longer, so that a stepped clock or a suspended node is noticed.
pub(crate) const MAX_WAIT: SignedDuration = SignedDuration::from_secs(300);

/// Why a token is minted. Nothing else mints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trigger {
    FirstIssue,
    Due,
    SpecChanged,
    /// The annotation asks for one.
    Forced,
    CredentialChanged,
    SecretDeleted,
    SecretEdited,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    Wait {
        /// Strictly in the future.
        until: Timestamp,
        why: WaitReason,
    },
    Mint(Trigger),
    /// Write the token in memory.
    Store(Trigger),
    /// Write the Secret's labels, annotations, owner and connection; a token in it stays. Creates a Secret that is to hold
    /// no token.
    Relabel,
    /// Nothing until a user changes something.
    Blocked(Blocked),
}

/// What a [`Decision::Wait`] waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WaitReason {
    Fresh,
    MintBackoff,
    WriteBackoff,
    MinInterval,
    /// Other writers undo what the operator writes, again and again.
    Undone {
        next: Timestamp,
    },
    /// What is wanted changes again and again.
    ChangedTooOften {
        next: Timestamp,
    },
    Suspended,
    /// The serving certificate has not been read or made yet.
    EndpointUnknown,
}

/// The target as the checks see it.
struct Target<'a> {
    stored: Option<&'a Stored>,
    /// The token in it, if its annotations can be read.
    issued: Option<&'a Issued>,
    inputs: &'a MintInputs,
    /// Whether this RealtimeToken ever had a token.
    issued_before: bool,
    due: bool,
}

type Check = fn(&Target<'_>) -> bool;

/// Why a token is minted, in the order in which the reasons are looked for. The first that holds is the trigger.
const CHECKS: [(Trigger, Check); 7] = [
    // There never was a token: readers wait for the first one.
    (Trigger::FirstIssue, |it| it.stored.is_none() && !it.issued_before),
    // The token was in the Secret only: readers have none until another is written.
    (Trigger::SecretDeleted, |it| it.stored.is_none()),
    // The token in the Secret is of another spec, or the Secret was to hold none. Before SecretEdited: a key that the new
    // spec adds to the Secret is missing too, and that is no edit.
    (Trigger::SpecChanged, |it| {
        let held_no_token = |stored: &Stored| stored.content == TargetContent::Connection;
        it.stored.is_some_and(held_no_token)
            || it
                .issued
                .is_some_and(|issued| issued.inputs.fingerprint != it.inputs.fingerprint)
    }),
    // Readers get what another writer has put there, and the token that was there may be lost.
    (Trigger::SecretEdited, |it| {
        it.issued.is_none() || it.stored.is_some_and(|stored| !stored.intact)
    }),
    // A user asks for a new token, whatever the old one is good for: it may have leaked.
    (Trigger::Forced, |it| {
        it.issued
            .is_some_and(|issued| !issued.inputs.obeys(it.inputs.renew_request.as_deref()))
    }),
    // The key that it was minted with may be revoked, and the token with it.
    (Trigger::CredentialChanged, |it| {
        it.issued
            .is_some_and(|issued| issued.inputs.credential_revision != it.inputs.credential_revision)
    }),
    // A successor must reach the readers before the token falls below its floor.
    (Trigger::Due, |it| it.due),
];

/// What to do next. Looks at, in this order: suspension, ownership, what blocks, whether the Secret is to hold a connection
/// and no token ([`Observation::wants_connection`]), [`CHECKS`], a token in memory, the backoffs, a Secret that can't be
/// written, what is undone or changed again and again, the smallest interval.
pub(crate) fn decide(seen: &Observation<'_>, state: &Lifecycle) -> Decision {
    if seen.token.spec.suspend {
        return wait(seen, seen.now + MAX_WAIT, WaitReason::Suspended);
    }
    if let TargetState::Foreign(owner) = &seen.target {
        return Decision::Blocked(secret_conflict(&seen.token.target_name(), owner));
    }
    let inputs = match &seen.inputs {
        Ok(inputs) => inputs,
        Err(blocked) => return Decision::Blocked(blocked.clone()),
    };
    if seen.wants_connection() {
        return connect(seen, state, inputs);
    }
    match replacement(seen, state, inputs) {
        Some(trigger) => replace(seen, state, inputs, trigger),
        None if !has_desired_metadata(seen) => relabel(seen, state, inputs),
        None => wait(seen, due_at(seen, state).unwrap_or(seen.now), WaitReason::Fresh),
    }
}

/// The Secret is only to say where to ask: whatever is the matter, no token is minted.
fn connect(seen: &Observation<'_>, state: &Lifecycle, inputs: &MintInputs) -> Decision {
    match seen.endpoint {
        RequestsEndpoint::NotEnabled => Decision::Blocked(not_enabled()),
        RequestsEndpoint::Unknown => wait(seen, seen.now + MAX_WAIT, WaitReason::EndpointUnknown),
        RequestsEndpoint::Known(_) if seen.holds_connection() && has_desired_metadata(seen) => {
            wait(seen, seen.now + MAX_WAIT, WaitReason::Fresh)
        }
        RequestsEndpoint::Known(_) => relabel(seen, state, inputs),
    }
}

pub(super) fn not_enabled() -> Blocked {
    Blocked::new(
        Reason::RequestsNotEnabled,
        "this installation of the operator hands out no tokens on request: install its chart with requests.enabled=true \
         (without the chart, start the operator with --requests-listen), or remove spec.requests and target.content",
    )
}

pub(super) fn not_known() -> Blocked {
    Blocked::new(
        Reason::Pending,
        "the certificate of the server of tokens on request has not been read or made yet; if this stays, see the \
         operator's log",
    )
}

fn secret_conflict(secret: &str, owner: &str) -> Blocked {
    Blocked::new(
        Reason::SecretConflict,
        format!(
            "Secret {secret} exists and is not controlled by this RealtimeToken ({owner}); it is left alone. Delete that \
             Secret, or create a RealtimeToken with another target.name"
        ),
    )
}

/// Why the stored token won't do, if it won't.
fn replacement(seen: &Observation<'_>, state: &Lifecycle, inputs: &MintInputs) -> Option<Trigger> {
    let stored = match &seen.target {
        TargetState::Ours(stored) => Some(&**stored),
        TargetState::Absent | TargetState::Foreign(_) => None,
    };
    let target = Target {
        stored,
        issued: seen.issued(),
        inputs,
        issued_before: seen.prior.revision.is_some(),
        due: due_at(seen, state).is_some_and(|due| due <= seen.now),
    };
    let mut checks = CHECKS.iter();
    checks.find(|(_, check)| check(&target)).map(|(trigger, _)| *trigger)
}

fn replace(seen: &Observation<'_>, state: &Lifecycle, inputs: &MintInputs, trigger: Trigger) -> Decision {
    if let Some(token) = &state.unstored
        && can_be_stored(seen, token, inputs)
    {
        return store(seen, state, inputs, trigger, token);
    }
    let later = |earliest: Timestamp| earliest > seen.now;
    if let Some(failures) = &state.mint_failures
        && let Some(earliest) = Some(failures.earliest(inputs, MIN_INTERVAL, seen.now)).filter(|at| later(*at))
    {
        return wait(seen, earliest, WaitReason::MintBackoff);
    }
    // Before the restart a token could not be written, and was lost with the process. Another may fare no better.
    if let Some(failures) = &state.write_failures
        && failures.inputs.is_none()
        && !(trigger == Trigger::Due && failures.reason == Reason::SecretRewritten)
        && let Some(next) = Some(failures.believable_next(seen.now)).filter(|at| later(*at))
    {
        return wait(seen, next, WaitReason::WriteBackoff);
    }
    if is_hopeless(seen, state) {
        return wait(seen, seen.now + MAX_WAIT, WaitReason::WriteBackoff);
    }
    if let Some(repeats) = &state.repeats
        && trigger != Trigger::Due
        && kept_renewal(seen, state).is_none_or(later)
        && let Some(next) = Some(repeats.next_mint(trigger, inputs, seen.now)).filter(|at| later(*at))
    {
        let undone = repeats.is_repair(trigger, inputs);
        let why = if undone {
            WaitReason::Undone { next }
        } else {
            WaitReason::ChangedTooOften { next }
        };
        return wait(seen, next, why);
    }
    match last_mint(seen, state)
        .map(|last| last + MIN_INTERVAL)
        .filter(|at| later(*at))
    {
        Some(earliest) => wait(seen, earliest, WaitReason::MinInterval),
        None => Decision::Mint(trigger),
    }
}

/// A token that was stored before is a repair. One that never was is due, whatever becomes of the labels.
fn store(
    seen: &Observation<'_>,
    state: &Lifecycle,
    inputs: &MintInputs,
    trigger: Trigger,
    token: &UnstoredToken,
) -> Decision {
    let decision = Decision::Store(trigger);
    let rewritten = |failures: &WriteFailures| failures.reason == Reason::SecretRewritten;
    match token.revision {
        Some(_) => repair(seen, state, write(seen, state, inputs, decision)),
        None if state.write_failures.as_deref().is_some_and(rewritten) => decision,
        None => write(seen, state, inputs, decision),
    }
}

fn relabel(seen: &Observation<'_>, state: &Lifecycle, inputs: &MintInputs) -> Decision {
    let decision = write(seen, state, inputs, Decision::Relabel);
    match is_relabelled_again(state, seen) {
        true => repair(seen, state, decision),
        false => decision,
    }
}

/// Whether labels and owner are to be written for no change of what is wanted.
pub(super) fn is_relabelled_again(state: &Lifecycle, seen: &Observation<'_>) -> bool {
    let fresh = Repeats::default();
    state.repeats.as_deref().unwrap_or(&fresh).is_relabelled_again(seen)
}

/// What is undone again and again is put right after ever longer pauses.
fn repair(seen: &Observation<'_>, state: &Lifecycle, decision: Decision) -> Decision {
    let next = state.repeats.as_ref().map(|repeats| repeats.next_repair(seen.now));
    match (next.filter(|next| *next > seen.now), &decision) {
        (Some(next), Decision::Store(_) | Decision::Relabel) => {
            // Of the token in the Secret, and of one that would be written into it.
            let renewals = [due_at(seen, state), kept_renewal(seen, state)].into_iter().flatten();
            let until = renewals.filter(|due| *due > seen.now).fold(next, Ord::min);
            wait(seen, until, WaitReason::Undone { next })
        }
        _ => decision,
    }
}

/// When the token in memory is due that the Secret held.
pub(super) fn kept_renewal(seen: &Observation<'_>, state: &Lifecycle) -> Option<Timestamp> {
    let token = state.unstored.as_ref().filter(|token| token.revision.is_some())?;
    let minted = &token.minted;
    Some(seen.schedule_of(minted.issued_at, minted.usable_until).renewal_time)
}

/// Whether a new token could not be stored either: this very Secret is immutable, or its namespace is being deleted. A
/// failure that is known from the status only says nothing: it may be of another cluster, or long over.
fn is_hopeless(seen: &Observation<'_>, state: &Lifecycle) -> bool {
    state
        .write_failures
        .as_ref()
        .is_some_and(|failures| match failures.reason {
            Reason::NamespaceTerminating => failures.inputs.is_some(),
            Reason::SecretImmutable => {
                let tried = failures.inputs.as_ref().and_then(|inputs| inputs.secret.as_deref());
                tried.is_some() && tried == seen.target.uid()
            }
            _ => false,
        })
}

/// A write that failed is left alone for a while, unless it would be another one now.
fn write(seen: &Observation<'_>, state: &Lifecycle, inputs: &MintInputs, decision: Decision) -> Decision {
    let Some(failures) = &state.write_failures else {
        return decision;
    };
    let inputs = WriteInputs {
        mint: inputs.clone(),
        metadata_hash: seen.metadata_hash.clone(),
        secret: seen.target.uid().map(str::to_owned),
    };
    match failures.earliest(&inputs, backoff::SHORTEST, seen.now) {
        earliest if earliest > seen.now => wait(seen, earliest, WaitReason::WriteBackoff),
        _ => decision,
    }
}

/// A token in memory is stored, or stored once more after its Secret was lost, rather than replaced by a new one.
fn can_be_stored(seen: &Observation<'_>, token: &UnstoredToken, inputs: &MintInputs) -> bool {
    let minted = &token.minted;
    let superseded = stored_at(seen).is_some_and(|stored| stored > minted.issued_at);
    let schedule = seen.schedule_of(minted.issued_at, minted.usable_until);
    // One that was never stored is worth storing to its end: the provider was asked for it.
    let in_time = schedule.renewal_time > seen.now || token.revision.is_none() && minted.usable_until > seen.now;
    // After a clock was set back, nothing is known of the end of one that was stored before.
    let believable = token.revision.is_none() || is_believable(minted.issued_at, seen.now);
    token.inputs.satisfies(inputs) && !superseded && in_time && believable
}

/// When the last token was asked for, as far as is known. A failure that still stands has a backoff of its own.
fn last_mint(seen: &Observation<'_>, state: &Lifecycle) -> Option<Timestamp> {
    let failed = state.last_failure.filter(|_| state.mint_failures.is_none());
    let remembered = [state.last_mint, failed].into_iter().flatten();
    let remembered = remembered.filter(|at| is_believable(*at, seen.now)).max();
    let reported = seen.prior.issued_at.as_ref().map(|time| time.0);
    let reported = reported.filter(|at| *at <= seen.now);
    stored_at(seen).max(remembered).max(reported)
}

fn stored_at(seen: &Observation<'_>) -> Option<Timestamp> {
    let issued_at = seen.issued()?.issued_at;
    Some(issued_at).filter(|at| is_believable(*at, seen.now))
}

/// When the token in the Secret is due. When one ends that was issued in the future is unknown: it is replaced.
fn due_at(seen: &Observation<'_>, state: &Lifecycle) -> Option<Timestamp> {
    let renewal_time = renewal_time(seen)?;
    Some(
        state
            .replace_at
            .map_or(renewal_time, |replace_at| renewal_time.min(replace_at)),
    )
}

/// A mint in the future was timed by a clock that has been set back since. How long ago it was is unknown, so it neither
/// holds back the next one nor makes a token look superseded.
pub(super) fn is_believable(mint: Timestamp, now: Timestamp) -> bool {
    mint <= now + MIN_INTERVAL
}

fn renewal_time(seen: &Observation<'_>) -> Option<Timestamp> {
    seen.schedule().map(|schedule| schedule.renewal_time)
}

pub(super) fn has_desired_metadata(seen: &Observation<'_>) -> bool {
    if seen.has_unknown_endpoint() {
        return true; // which metadata is desired is not known
    }
    match &seen.target {
        TargetState::Ours(stored) => {
            stored.metadata_hash.as_ref() == Some(&seen.metadata_hash) && stored.renewal_time == renewal_time(seen)
        }
        TargetState::Absent | TargetState::Foreign(_) => true,
    }
}

fn wait(seen: &Observation<'_>, until: Timestamp, why: WaitReason) -> Decision {
    Decision::Wait {
        until: next_look(seen, until).max(seen.now + SignedDuration::from_millis(1)),
        why,
    }
}

/// This time, or before it when the token falls below its floor or ends, since the conditions change then.
pub(super) fn next_look(seen: &Observation<'_>, until: Timestamp) -> Timestamp {
    let until = until.min(seen.now + MAX_WAIT);
    let (Some(issued), Some(schedule)) = (seen.issued(), seen.schedule()) else {
        return until;
    };
    // At the floor itself minRemainingSeconds are left yet.
    let below_floor = schedule.floor_time + SignedDuration::from_millis(1);
    let changes = [below_floor, issued.usable_until];
    let next = changes.into_iter().filter(|change| *change > seen.now).min();
    next.map_or(until, |change| until.min(change))
}

#[cfg(test)]
mod tests;
