//! One RealtimeToken: look, step, report, perform.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;

use super::context::Context;
use super::look::look;
use super::mint::Begun;
use super::{mint, report, write};
use crate::api::RealtimeToken;
use crate::clock::now;
use crate::cluster::{ClusterError, Name};
use crate::token::decide::MAX_WAIT;
use crate::token::{Effect, Event};

/// Carries one RealtimeToken a step further. Only a Kubernetes API that could not be asked is an error; the rest is a state.
pub(super) async fn reconcile(token: &RealtimeToken, ctx: &Arc<Context>) -> Result<Action, ClusterError> {
    let name = Name::of(token);
    let uid = token.metadata.uid.as_deref().unwrap_or_default();
    if token.metadata.deletion_timestamp.is_some() || ctx.lifecycles.is_minting(&name, uid) {
        return Ok(Action::await_change());
    }
    let mut look = look(token, name, ctx).await?;
    let mut step = ctx.lifecycles.looked(&look.name, &look.seen);
    if !matches!(step.effect, Effect::Mint { .. }) {
        ctx.issuer.budgets.leave(&look.name); // suspended, blocked or as it should be by now
    }
    if let Some(situation) = &step.situation {
        mint::wait_out(&look, situation, ctx);
    }
    loop {
        report::report(&mut look, &step, ctx).await?;
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

/// The scheduler counts from now on, by a monotonic clock.
pub(super) fn requeue_at(until: Timestamp) -> Action {
    let now = now();
    let wait = until
        .min(now + MAX_WAIT)
        .duration_since(now)
        .max(SignedDuration::from_millis(1));
    Action::requeue(wait.unsigned_abs())
}
