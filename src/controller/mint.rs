//! A mint, in a task of its own: a provider that hangs or an adapter that panics holds up no reconcile.

use std::sync::Arc;

use kube::Resource;
use kube::runtime::reflector::ObjectRef;

use super::context::Context;
use super::look::Look;
use crate::cluster::Cached;
use crate::token::Event;
use crate::token::lifecycle::{Limit, MintEnd, Pending};

/// What became of a mint that is due.
pub(super) enum Begun {
    /// It is under way; its end has the RealtimeToken reconciled again.
    Started,
    /// It waits for the credential's budget, which will have the RealtimeToken reconciled.
    Deferred(Option<Limit>),
    /// The operator is stopping.
    Stopping,
}

/// Begins a mint, if the credential's budget allows.
pub(super) fn begin(look: &Look<'_>, pending: Box<Pending>, ctx: &Arc<Context>) -> Begun {
    let Some(resolved) = look.resolved.as_ref().filter(|_| !ctx.tasks.is_closed()) else {
        return Begun::Stopping;
    };
    let mut mint = match ctx.issuer.admit(&look.name, resolved, &pending, &look.seen) {
        Ok(mint) => mint,
        Err(admission) => return Begun::Deferred(admission.limit(resolved.key_title())),
    };
    let (uid, generation) = (look.seen.uid().to_owned(), look.seen.token.metadata.generation);
    ctx.lifecycles.step(&look.name, &uid, Event::MintStarted(pending));
    let ctx = Arc::clone(ctx);
    ctx.tasks.clone().spawn(async move {
        let name = mint.token.clone();
        // It may have waited for long for others.
        let is_as_it_was = |token: &Cached| {
            let meta = token.meta();
            meta.uid.as_deref() == Some(&*uid) && meta.generation == generation && meta.deletion_timestamp.is_none()
        };
        let is_wanted = || {
            let token = ctx.tokens.get(&ObjectRef::new(&name.name).within(&name.namespace));
            !ctx.tasks.is_closed() && ctx.leadership.is_held() && token.is_some_and(|token| is_as_it_was(&token))
        };
        let result = ctx.issuer.mint_for_secret(&mut mint, is_wanted).await;
        ctx.issuer.ended(&mint, result, |event| {
            if let Event::MintEnded {
                end: MintEnd::Failed(error),
                ..
            } = &event
            {
                tracing::warn!(token = %name, reason = %error.reason(), "mint failed: {error}");
            }
            ctx.lifecycles.step(&name, &uid, event);
        });
        ctx.nudge(&name);
    });
    Begun::Started
}
