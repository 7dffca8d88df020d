//! A mint, in a task of its own: a provider that hangs or an adapter that panics holds up no reconcile.

use std::sync::Arc;

use jiff::Timestamp;

use super::context::Context;
use super::look::Look;
use crate::api::Reason;
use crate::budget::{Admission, Ending, Priority};
use crate::clock::now;
use crate::cluster::Name;
use crate::issuer::{Issued, NotMinted, ending, mint_end};
use crate::resolve::Resolved;
use crate::token::Event;
use crate::token::lifecycle::{Limit, MintEnd, Pending, Situation};

/// What became of a mint that is due.
pub(super) enum Begun {
    /// It is under way; its end has the RealtimeToken reconciled again.
    Started,
    /// It waits for the credential's budget, which will have the RealtimeToken reconciled.
    Deferred(Option<Limit>),
    /// The operator is stopping.
    Stopping,
}

struct Order {
    name: Name,
    uid: String,
    resolved: Resolved,
    began: Timestamp,
    /// Whether tokens are handed out on request beside this one.
    on_request: bool,
}

/// Begins a mint, if the credential's budget allows.
pub(super) fn begin(look: &Look<'_>, pending: Box<Pending>, ctx: &Arc<Context>) -> Begun {
    let Some(resolved) = look.resolved.as_ref().filter(|_| !ctx.tasks.is_closed()) else {
        return Begun::Stopping;
    };
    let (seen, name, key) = (&look.seen, &look.name, &resolved.credential);
    let priority = match pending.swap_by {
        Some(by) => Priority::Renewal { by },
        None => Priority::FirstIssue { since: seen.now },
    };
    let admission = ctx.issuer.budgets.acquire(key, name, priority, seen.now);
    if admission != Admission::Go {
        return Begun::Deferred(admission.limit(resolved.key_title()));
    }
    ctx.lifecycles.step(name, seen.uid(), Event::MintStarted(pending));
    start(
        ctx,
        Order {
            name: name.clone(),
            uid: seen.uid().to_owned(),
            resolved: resolved.clone(),
            began: seen.now,
            on_request: seen.token.spec.requests.is_some(),
        },
    );
    Begun::Started
}

/// Has the credential's budget know of a RealtimeToken that waits for the provider to be in order.
pub(super) fn wait_out(look: &Look<'_>, situation: &Situation, ctx: &Context) {
    if let (Situation::MintFailing(failures), Some(resolved)) = (situation, &look.resolved)
        && failures.reason == Reason::ProviderUnavailable
        && failures.next > look.seen.now
    {
        let (failed, last) = (failures.failed, failures.last);
        ctx.issuer
            .budgets
            .wait_out(&resolved.credential, &look.name, failed, last, look.seen.now);
    }
}

fn start(ctx: &Arc<Context>, order: Order) {
    let ctx = Arc::clone(ctx);
    ctx.tasks.clone().spawn(async move {
        let result = ctx.issuer.mint(&order.name, &order.resolved).await;
        finish(&ctx, &order, result);
    });
}

fn finish(ctx: &Context, order: &Order, result: Result<Issued, NotMinted>) {
    let now = now();
    let Order { resolved, .. } = order;
    let ending = ending(&result, order.began, now);
    let end = mint_end(result, resolved, order.on_request);
    if let MintEnd::Failed(error) = &end {
        tracing::warn!(token = %order.name, reason = %error.reason(), "mint failed: {error}");
    }
    let budgets = &ctx.issuer.budgets;
    let slot = match ending {
        Ending::Unavailable { .. } => budgets.slot(&resolved.credential, now),
        _ => None,
    };
    // Before the slot is given back, which may end the backoff that begins here.
    ctx.lifecycles
        .step(&order.name, &order.uid, Event::MintEnded { end, slot, now });
    let longer = budgets.release(&resolved.credential, &order.name, ending, now);
    ctx.issuer.limited(resolved, longer);
    ctx.nudge(&order.name);
}
