//! What a new process knows of a RealtimeToken: the failures that its status tells of.

use crate::api::{ConditionType, RealtimeToken, RealtimeTokenStatus, Reason};
use crate::token::backoff::{Failures, MintFailures, WriteFailures};

/// The failures that a status records, after a restart: of mints, or of writes. What was tried is not in it.
pub(in crate::token) fn restored_failures(token: &RealtimeToken) -> (Option<MintFailures>, Option<WriteFailures>) {
    let Some(status) = &token.status else {
        return (None, None);
    };
    // Another spec asks for something else: a failure of the old one does not hold it back.
    if status.observed_generation != token.metadata.generation {
        return (None, None);
    }
    (
        restored(status, status.failed_mint_attempts),
        restored(status, status.failed_write_attempts),
    )
}

fn restored<I>(status: &RealtimeTokenStatus, failed: Option<i64>) -> Option<Failures<I>> {
    let failed = u32::try_from(failed?).ok().filter(|failed| *failed > 0)?;
    let mut conditions = status.conditions.iter();
    let renewing = conditions.find(|condition| condition.type_ == ConditionType::Renewing.as_str())?;
    let mut reasons = Reason::ALL.iter();
    Some(Failures {
        failed,
        last: status.last_failure_time.as_ref()?.0,
        next: status.next_attempt_time.as_ref()?.0,
        inputs: None,
        reason: *reasons.find(|reason| reason.as_str() == renewing.reason)?,
        message: renewing.message.clone(),
    })
}
