//! A mint, in a task of its own: a provider that hangs or an adapter that panics holds up no reconcile.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::Timestamp;
use tokio::time::Instant;

use super::context::Context;
use super::credential::NotObtained;
use super::look::{Look, key_title};
use crate::api::Reason;
use crate::budget::{Admission, Ending, Priority};
use crate::clock::now;
use crate::cluster::Name;
use crate::metrics::outcome;
use crate::mint::Endpoint;
use crate::resolve::{CredentialRef, Resolved};
use crate::token::lifecycle::{Limit, MintEnd, Pending, Situation};
use crate::token::report::provider::KeyVerdict;
use crate::token::{Blocked, Event, MintError};

/// Above the HTTP client's own limit; what takes longer is stuck. Reading a key and exchanging a token have their own.
const TIMEOUT: Duration = Duration::from_secs(45);

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
    /// The key, as the owner of the RealtimeToken knows it.
    key_title: String,
    /// Whether the key is the platform team's.
    is_lent: bool,
    began: Timestamp,
}

/// Begins a mint, if the credential's budget allows.
pub(super) fn begin(
    look: &Look<'_>,
    pending: Box<Pending>,
    floor_time: Option<Timestamp>,
    ctx: &Arc<Context>,
) -> Begun {
    let Some(resolved) = look.resolved.as_ref().filter(|_| !ctx.tasks.is_closed()) else {
        return Begun::Stopping;
    };
    let (seen, name, key) = (&look.seen, &look.name, &resolved.credential);
    let priority = Priority {
        has_token: floor_time.is_some_and(|floor| floor > seen.now),
        deadline: floor_time.unwrap_or(seen.now),
    };
    let limited = |until, reason| {
        Some(Limit {
            until,
            key: key_title(seen.token, key),
            reason,
        })
    };
    let limit = match ctx.budgets.acquire(key, name, priority, resolved.rate_limit, seen.now) {
        Admission::Go => {
            ctx.lifecycles.step(name, seen.uid(), Event::MintStarted(pending));
            start(
                ctx,
                Order {
                    name: name.clone(),
                    uid: seen.uid().to_owned(),
                    key_title: key_title(seen.token, key),
                    is_lent: seen.token.spec.credentials.provider_ref.is_some(),
                    resolved: resolved.clone(),
                    began: seen.now,
                },
            );
            return Begun::Started;
        }
        Admission::Queued => None,
        Admission::Limited(until) => limited(until, Reason::RateLimited),
        Admission::Exhausted(until) => limited(until, Reason::QuotaExhausted),
        Admission::Unavailable(until) => limited(until, Reason::ProviderUnavailable),
    };
    Begun::Deferred(limit)
}

/// Has the credential's budget know of a RealtimeToken that waits for the provider to be in order.
pub(super) fn wait_out(look: &Look<'_>, situation: &Situation, ctx: &Context) {
    if let (Situation::MintFailing(failures), Some(resolved)) = (situation, &look.resolved)
        && failures.reason == Reason::ProviderUnavailable
        && failures.next > look.seen.now
    {
        let (failed, last) = (failures.failed, failures.last);
        ctx.budgets
            .wait_out(&resolved.credential, &look.name, failed, last, look.seen.now);
    }
}

fn start(ctx: &Arc<Context>, order: Order) {
    let ctx = Arc::clone(ctx);
    ctx.tasks.clone().spawn(async move {
        let end = AssertUnwindSafe(mint(&ctx, &order)).catch_unwind().await;
        let end = end.unwrap_or_else(|_| {
            tracing::error!(token = %order.name, "a mint panicked; this is a bug of the operator");
            MintEnd::Failed(MintError::internal("the mint panicked; see the operator's log"))
        });
        finish(&ctx, &order, end);
    });
}

async fn mint(ctx: &Context, order: &Order) -> MintEnd {
    let Resolved { ask, credential, .. } = &order.resolved;
    let provider = ask.block.provider();
    let mut may_repeat = true;
    loop {
        let obtained = match ctx.obtain(credential, provider.secret_fields()).await {
            Ok(obtained) => obtained,
            Err(problem) => return not_obtained(ctx, order, problem),
        };
        let began = Instant::now();
        let minted = ctx.providers.mint(ask, &obtained.credential, now());
        let minted = tokio::time::timeout(TIMEOUT, minted).await.unwrap_or_else(|_| {
            let message = format!("the mint did not end within {} s", TIMEOUT.as_secs());
            Err(MintError::unavailable(message))
        });
        let failure = minted.as_ref().err().map(MintError::reason);
        ctx.metrics.minted(provider.name(), outcome(failure), began.elapsed());
        let is_refused = failure == Some(Reason::CredentialRejected);
        if is_refused && ctx.drop_refused(&obtained) && std::mem::take(&mut may_repeat) {
            continue; // a refused call has minted nothing
        }
        let verdict = match &minted {
            // A signature says nothing of whether the provider knows the key.
            Ok(_) if provider.endpoint() == Endpoint::Local => None,
            Ok(_) => Some(Ok(())),
            Err(error) if is_refused => Some(Err(Blocked::new(error.reason(), error.to_string()))),
            Err(_) => None,
        };
        let revision = obtained.revision;
        if let Some(result) = verdict {
            let revision = revision.clone();
            ctx.budgets.note_verdict(credential, KeyVerdict { revision, result });
        }
        return match minted {
            Ok(minted) => MintEnd::Minted {
                minted,
                credential_revision: revision,
            },
            Err(error) => MintEnd::Failed(error),
        };
    }
}

fn not_obtained(ctx: &Context, order: &Order, problem: NotObtained) -> MintEnd {
    let credential = &order.resolved.credential;
    let error = match problem {
        NotObtained::Gone => return MintEnd::CredentialGone,
        NotObtained::Unreadable(problem) => {
            tracing::warn!(token = %order.name, %problem, "the {credential} can't be read");
            let message = format!("the {} can't be read; see the operator's log", order.key_title);
            return MintEnd::Failed(MintError::internal(message));
        }
        NotObtained::Exchange(error) => error,
    };
    let provider = order.resolved.ask.block.provider();
    ctx.metrics.not_asked(provider.name(), outcome(Some(error.reason())));
    let is_of_the_identity = matches!(
        error,
        MintError::Rejected { credential: true, .. } | MintError::NoCredential { .. }
    );
    if let CredentialRef::Identity(identity) = credential
        && is_of_the_identity
    {
        let refused = Blocked::new(error.reason(), error.to_string());
        let (revision, result) = (identity.revision(), Err(refused));
        ctx.budgets.note_verdict(credential, KeyVerdict { revision, result });
    }
    // Names of the operator's own namespace are not the tenant's to see.
    if !order.is_lent {
        return MintEnd::Failed(error);
    }
    tracing::warn!(token = %order.name, %error, "no access token for the {credential}");
    let where_it_stands = match is_of_the_identity {
        true => "its status",
        false => "the operator's log",
    };
    MintEnd::Failed(error.saying(format!(
        "there is no access token for the {}; {where_it_stands} says more to the platform team",
        order.key_title
    )))
}

fn finish(ctx: &Context, order: &Order, end: MintEnd) {
    let now = now();
    let credential = &order.resolved.credential;
    let ending = ending(&end, order.began, now);
    if let MintEnd::Failed(error) = &end {
        tracing::warn!(token = %order.name, reason = %error.reason(), "mint failed: {error}");
    }
    let slot = match ending {
        Ending::Unavailable { .. } => ctx.budgets.slot(credential, now),
        _ => None,
    };
    // Before the slot is given back, which may end the backoff that begins here.
    ctx.lifecycles
        .step(&order.name, &order.uid, Event::MintEnded { end, slot, now });
    let limited_longer = ctx.budgets.release(credential, &order.name, ending, now);
    if limited_longer.is_positive() {
        let provider = order.resolved.ask.block.provider().name();
        ctx.metrics.limited(provider, limited_longer.as_secs_f64());
    }
    ctx.nudge(&order.name);
}

fn ending(end: &MintEnd, began: Timestamp, now: Timestamp) -> Ending {
    let error = match end {
        MintEnd::Minted { .. } => return Ending::Granted,
        MintEnd::CredentialGone => return Ending::NotAsked,
        MintEnd::Failed(error) => error,
    };
    match (error, error.limit()) {
        (MintError::Unavailable { .. }, _) => Ending::Unavailable { began },
        (MintError::Internal { .. } | MintError::NoCredential { .. }, _) => Ending::NotAsked,
        (MintError::QuotaExhausted { .. }, Some(wait)) => Ending::Exhausted(now + wait),
        (_, Some(wait)) => Ending::Throttled(now + wait),
        (_, None) => Ending::Refused,
    }
}
