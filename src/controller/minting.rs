//! A mint, in a task of its own: a provider that hangs or an adapter that panics holds up nobody's reconcile.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::context::Context;
use crate::api::Reason;
use crate::budget::Ending;
use crate::clock::{now, whole_second};
use crate::cluster::Name;
use crate::metrics::outcome;
use crate::mint::Endpoint;
use crate::resolve::Resolved;
use crate::token::report::provider::KeyVerdict;
use crate::token::{Attempts, Held, backoff};
use crate::token::{MintError, Minted};

/// Above the HTTP client's own limit; what takes longer is stuck.
const TIMEOUT: Duration = Duration::from_secs(45);
/// How long a credential is left alone if the provider limits it without saying for how long.
const UNSTATED_LIMIT: SignedDuration = SignedDuration::from_secs(10);

/// One mint.
pub(super) struct Order {
    /// The RealtimeToken.
    pub name: Name,
    /// Its uid.
    pub uid: String,
    /// What to ask of whom with which key.
    pub resolved: Resolved,
    /// The key, as the owner of the RealtimeToken knows it.
    pub key_title: String,
    /// The forced renewal that the token will obey.
    pub renew_request: Option<String>,
    /// What is asked for, to notice that a later attempt asks for something else.
    pub asked: String,
    /// The end of the current token's life, if there is one.
    pub usable_until: Option<Timestamp>,
    /// Until when its successor must be stored to keep the floor.
    pub swap_by: Option<Timestamp>,
}

/// Starts the mint; the RealtimeToken is reconciled again when it has ended.
pub(super) fn start(ctx: &Arc<Context>, order: Order) {
    let ctx = Arc::clone(ctx);
    ctx.tasks.clone().spawn(async move {
        let result = AssertUnwindSafe(tokio::time::timeout(TIMEOUT, mint(&ctx, &order)))
            .catch_unwind()
            .await;
        let result = match result {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(Failure::Mint(MintError::Unavailable {
                message: format!("the mint did not end within {} s", TIMEOUT.as_secs()),
            })),
            Err(_) => {
                tracing::error!(token = %order.name, "a mint panicked; this is a bug of the operator");
                Err(Failure::Mint(MintError::Unavailable {
                    message: "the mint panicked; see the operator's log".into(),
                }))
            }
        };
        finish(&ctx, &order, result);
    });
}

enum Failure {
    /// The provider, or the way to it.
    Mint(MintError),
    /// The key is gone: the next reconcile finds that out and says so.
    KeyGone,
}

async fn mint(ctx: &Context, order: &Order) -> Result<Held, Failure> {
    let provider = order.resolved.ask.block.provider();
    let credential = ctx
        .credentials
        .credential(&order.resolved.key, provider.secret_fields())
        .await;
    let (credential, credential_revision) = match credential {
        Ok(Ok(credential)) => credential,
        Ok(Err(_)) => return Err(Failure::KeyGone),
        Err(problem) => {
            tracing::warn!(token = %order.name, %problem, "the {} can't be read", order.resolved.key);
            let message = format!("the {} can't be read; see the operator's log", order.key_title);
            return Err(Failure::Mint(MintError::Unavailable { message }));
        }
    };
    let began = Instant::now();
    let minted = ctx.providers.mint(&order.resolved.ask, &credential, now()).await;
    ctx.metrics.minted(
        provider.name(),
        outcome(minted.as_ref().err().map(MintError::reason)),
        began.elapsed(),
    );
    let verdict = match &minted {
        // A signature says nothing of whether the provider knows the key.
        Ok(_) if provider.endpoint() == Endpoint::Local => None,
        Ok(_) => Some(Ok(())),
        Err(error) if error.reason() == Reason::CredentialRejected => Some(Err(error.to_string())),
        Err(_) => None,
    };
    if let Some(result) = verdict {
        let revision = credential_revision.clone();
        ctx.budgets
            .note_verdict(&order.resolved.key, KeyVerdict { revision, result });
    }
    minted
        .map(|minted| held(order, minted, credential_revision))
        .map_err(Failure::Mint)
}

fn held(order: &Order, minted: Minted, credential_revision: String) -> Held {
    Held {
        minted,
        fingerprint: order.resolved.fingerprint.clone(),
        credential_revision,
        renew_request: order.renew_request.clone(),
        revision: None,
    }
}

fn finish(ctx: &Context, order: &Order, result: Result<Held, Failure>) {
    let now = now();
    let mut ending = Ending::Answered;
    match &result {
        // A limit stands: this answer may be to a call from before it.
        Ok(_) | Err(Failure::KeyGone) => {}
        Err(Failure::Mint(error)) => {
            if let MintError::Throttled { retry_after, .. } = error {
                ending = Ending::Throttled(now + retry_after.unwrap_or(UNSTATED_LIMIT));
            }
            tracing::warn!(token = %order.name, reason = %error.reason(), "mint failed: {error}");
        }
    }
    ctx.memories.if_known(&order.name, &order.uid, |memory| {
        memory.minting = false;
        match result {
            Ok(held) => {
                memory.attempts = None;
                memory.last_mint = Some(held.minted.issued_at);
                memory.held = Some(Box::new(held));
            }
            Err(Failure::Mint(error)) => {
                let failed = memory
                    .attempts
                    .as_ref()
                    .map_or(0, |attempts| attempts.failed)
                    .saturating_add(1);
                memory.attempts = Some(Box::new(attempts(order, &error, failed, now, ending)));
            }
            Err(Failure::KeyGone) => {}
        }
    });
    let limited_longer = ctx.budgets.release(&order.resolved.key, ending, now);
    if limited_longer.is_positive() {
        let provider = order.resolved.ask.block.provider().name();
        ctx.metrics.limited(provider, limited_longer.as_secs_f64());
    }
    ctx.nudge(&order.name);
}

fn attempts(order: &Order, error: &MintError, failed: u32, now: Timestamp, ending: Ending) -> Attempts {
    let left = backoff::slack(order.swap_by, order.usable_until, now);
    let mut next = now + backoff::delay(error, failed, &order.uid, left);
    if let Ending::Throttled(until) = ending {
        next = next.max(until);
    }
    let at = whole_second(next);
    Attempts {
        failed,
        last: now,
        next,
        asked: Some(order.asked.clone()),
        reason: error.reason(),
        message: format!("{error} (attempt {failed}; the next at {at}, or as soon as the spec or the key changes)"),
    }
}
