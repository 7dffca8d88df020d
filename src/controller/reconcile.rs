//! One RealtimeToken: look, step, report, perform.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;

use super::context::Context;
use super::error::ReconcileError;
use super::look::look;
use super::mint::Begun;
use super::{mint, report, write};
use crate::api::RealtimeToken;
use crate::clock::now;
use crate::cluster::Name;
use crate::token::decide::MAX_WAIT;
use crate::token::{Effect, Event, backoff, schedule};

/// Reconciles one RealtimeToken. Only a failed request to the Kubernetes API is an error; everything else is a state.
pub(super) async fn reconcile(token: &RealtimeToken, ctx: &Arc<Context>) -> Result<Action, ReconcileError> {
    let name = Name::of(token);
    let result = step_to_rest(token, name.clone(), ctx).await;
    if result.is_err() {
        ctx.issuer.budgets.give_up_slot(&name); // others needn't wait until it is tried again
    }
    result
}

/// Performs one step of the lifecycle after the other, until nothing is to be done now.
async fn step_to_rest(token: &RealtimeToken, name: Name, ctx: &Arc<Context>) -> Result<Action, ReconcileError> {
    let uid = token.metadata.uid.as_deref().unwrap_or_default();
    if token.metadata.deletion_timestamp.is_some() || ctx.lifecycles.is_minting(&name, uid) {
        ctx.issuer.budgets.leave(&name); // it may wait for a slot with the key that it named before
        return Ok(Action::await_change());
    }
    let looked = look(token, name.clone(), ctx).await;
    let mut look = looked.map_err(|error| {
        ctx.note_failure(&name, &error);
        ReconcileError::cluster(error, quarter_of_slack(token, &name, ctx))
    })?;
    let mut step = ctx.lifecycles.looked(&look.name, &look.seen);
    if step.effect.replaces_deleted_secret() {
        // The garbage collector deletes a Secret after its RealtimeToken, and the watches may show it the other way round.
        let exists = ctx.targets.owner_exists(&name, uid).await;
        if !exists.map_err(|error| ReconcileError::cluster(error, None))? {
            return Ok(Action::await_change());
        }
    }
    if !matches!(step.effect, Effect::Mint { .. }) {
        ctx.issuer.budgets.leave(&look.name); // suspended, blocked or as it should be by now
    }
    if let Some(situation) = &step.situation {
        ctx.issuer
            .wait_out(&look.name, look.resolved.as_ref(), situation, look.seen.now);
    }
    loop {
        report::report(&mut look, &step, ctx)
            .await
            .map_err(|error| ReconcileError::cluster(error, step.effect.wait(now())))?;
        let event = match step.effect {
            Effect::Nothing => return Ok(Action::await_change()),
            Effect::Wait(until) => return Ok(requeue_at(until)),
            Effect::Mint { trigger, pending } => {
                tracing::debug!(token = %look.name, ?trigger, "a mint is due");
                match mint::begin(&look, pending, ctx) {
                    Begun::Started | Begun::Stopping => return Ok(Action::await_change()),
                    Begun::Deferred(limit) => Event::MintDeferred {
                        seen: &look.seen,
                        limit,
                    },
                }
            }
            Effect::Write(order) => {
                let end = write::write(&mut look, &order, ctx).await;
                Event::WriteEnded {
                    seen: &look.seen,
                    order,
                    end,
                }
            }
        };
        step = match ctx.lifecycles.step(&look.name, uid, event) {
            Some(step) => step,
            None => return Ok(Action::await_change()), // deleted, or created anew
        };
    }
}

/// How long a look that failed may be put off, if there is a token whose successor must be stored in time. A quarter of
/// the time that is left, so that there is always time for another try.
fn quarter_of_slack(token: &RealtimeToken, name: &Name, ctx: &Context) -> Option<SignedDuration> {
    let status = ctx.lifecycles.known_status(name, token);
    let (issued_at, usable_until) = (status.issued_at?.0, status.usable_until?.0);
    let uid = token.metadata.uid.as_deref().unwrap_or_default();
    let swap_by = schedule::plan(&token.spec.renewal, uid, issued_at, usable_until).swap_by;
    Some(backoff::longest(backoff::slack(
        Some(swap_by),
        Some(usable_until),
        now(),
    )))
}

/// The scheduler counts from now on, by a monotonic clock.
pub(super) fn requeue_at(until: Timestamp) -> Action {
    let now = now();
    let wait = until
        .min(now + MAX_WAIT)
        .duration_since(now)
        .max(SignedDuration::from_millis(1));
    Action::requeue(wait.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// So that a clock that was stepped, or a node that was suspended, is noticed within five minutes.
    #[tokio::test(start_paused = true)]
    async fn no_wait_is_longer_than_five_minutes() {
        for (seconds, wait) in [(-5, 0), (20, 20), (300, 300), (301, 300), (86_400, 300)] {
            let wait = Duration::from_secs(wait).max(Duration::from_millis(1));
            assert_eq!(
                requeue_at(now() + SignedDuration::from_secs(seconds)),
                Action::requeue(wait)
            );
        }
    }
}
