//! A mint, in a task of its own.

use jiff::Timestamp;
use tokio_util::task::AbortOnDropHandle;

use super::{Keeper, Look};
use crate::api::Reason;
use crate::budget::{Admission, Ending, Priority};
use crate::clock::now;
use crate::issuer::{Issued, NotMinted, ending, mint_end};
use crate::resolve::Resolved;
use crate::token::lifecycle::{Limit, Pending, Situation};
use crate::token::{Event, MintError};
use std::sync::Arc;

/// How the owner of the directory knows the key.
const KEY: &str = "provider's key";

/// A mint under way.
pub(super) struct Mint {
    resolved: Resolved,
    began: Timestamp,
    /// Whether tokens are handed out on request beside this one.
    on_request: bool,
    task: AbortOnDropHandle<Result<Issued, NotMinted>>,
}

impl Mint {
    pub(super) async fn end(&mut self) -> Result<Issued, NotMinted> {
        let ended = (&mut self.task).await;
        ended.unwrap_or_else(|_| Err(NotMinted::Failed(MintError::internal("the mint was given up"))))
    }
}

impl Keeper {
    /// Begins a mint, if the budget of the key allows; else says which limit holds it back.
    pub(super) fn begin_mint(&mut self, look: &Look<'_>, pending: Box<Pending>) -> Result<Mint, Option<Limit>> {
        let seen = &look.seen;
        let resolved = look.resolved.as_ref().ok_or(None)?;
        let priority = match pending.swap_by {
            Some(by) => Priority::Renewal { by },
            None => Priority::FirstIssue { since: seen.now },
        };
        let budgets = &self.parts.issuer.budgets;
        let admission = budgets.acquire(&resolved.credential, &self.name, priority, seen.now);
        if admission != Admission::Go {
            return Err(admission.limit(KEY.to_owned()));
        }
        self.lifecycle.step(Event::MintStarted(pending));
        let (issuer, name) = (Arc::clone(&self.parts.issuer), self.name.clone());
        let of_task = resolved.clone();
        let task = tokio::spawn(async move { issuer.mint(&name, &of_task).await });
        Ok(Mint {
            resolved: resolved.clone(),
            began: seen.now,
            on_request: seen.token.spec.requests.is_some(),
            task: AbortOnDropHandle::new(task),
        })
    }

    pub(super) fn mint_ended(&mut self, mint: Mint, result: Result<Issued, NotMinted>) {
        let now = now();
        let Mint {
            resolved,
            began,
            on_request,
            ..
        } = mint;
        let ending = ending(&result, began, now);
        let end = mint_end(result, &resolved, on_request);
        let budgets = &self.parts.issuer.budgets;
        let slot = match ending {
            Ending::Unavailable { .. } => budgets.slot(&resolved.credential, now),
            _ => None,
        };
        // Before the slot is given back, which may end the backoff that begins here.
        self.lifecycle.step(Event::MintEnded { end, slot, now });
        budgets.release(&resolved.credential, &self.name, ending, now);
    }

    /// Has the budget know that a provider is waited for that is out of order.
    pub(super) fn wait_out(&self, look: &Look<'_>, situation: &Situation) {
        if let (Situation::MintFailing(failures), Some(resolved)) = (situation, &look.resolved)
            && failures.reason == Reason::ProviderUnavailable
            && failures.next > look.seen.now
        {
            let (failed, last, now) = (failures.failed, failures.last, look.seen.now);
            let budgets = &self.parts.issuer.budgets;
            budgets.wait_out(&resolved.credential, &self.name, failed, last, now);
        }
    }
}
