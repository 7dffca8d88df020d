//! Tokens for Secrets: the slot with the credential's budget before the mint, and what the budget learns from its end.
//! The controller and `local` share it; when a mint is due, and what its end means for the RealtimeToken, is the
//! lifecycle's.

use jiff::Timestamp;

use super::Issuer;
use super::ask::{MintedWith, NotMinted, ending, mint_end};
use crate::api::Reason;
use crate::budget::{Admission, Ending, Priority};
use crate::clock::now;
use crate::cluster::Name;
use crate::resolve::Resolved;
use crate::token::lifecycle::{Pending, Situation};
use crate::token::{Event, Observation};

/// A mint that holds a slot with the credential's budget until [`Issuer::ended`].
#[derive(Clone)]
pub(crate) struct AdmittedMint {
    pub(crate) token: Name,
    resolved: Resolved,
    began: Timestamp,
    /// Whether tokens are handed out on request beside this one.
    on_request: bool,
}

impl Issuer {
    /// Admits a mint that is due if the credential's budget has a slot. Else the mint is queued, and the budget says when
    /// to try again.
    pub(crate) fn admit(
        &self,
        token: &Name,
        resolved: &Resolved,
        pending: &Pending,
        seen: &Observation<'_>,
    ) -> Result<AdmittedMint, Admission> {
        let priority = match pending.swap_by {
            Some(by) => Priority::Renewal { by },
            None => Priority::FirstIssue { since: seen.now },
        };
        match self.budgets.acquire(&resolved.credential, token, priority, seen.now) {
            Admission::Go => Ok(AdmittedMint {
                token: token.clone(),
                resolved: resolved.clone(),
                began: seen.now,
                on_request: seen.token.spec.requests.is_some(),
            }),
            admission => Err(admission),
        }
    }

    /// Those that wait for a place don't begin.
    pub(crate) fn begin_no_more_for_secrets(&self) {
        self.for_secrets.stop();
    }

    /// Waits for a place among the mints in flight, and mints if that is wanted then.
    pub(crate) async fn mint_for_secret(
        &self,
        mint: &mut AdmittedMint,
        is_wanted: impl Fn() -> bool,
    ) -> Result<MintedWith, NotMinted> {
        let Some(_place) = self.for_secrets.enter(&mint.resolved, is_wanted).await else {
            return Err(NotMinted::NotBegun);
        };
        mint.began = now();
        self.mint(&mint.token, &mint.resolved).await
    }

    /// Takes in the end of a mint. `step_lifecycle` is called before the slot is given back: giving it back may end the
    /// backoff that this step begins.
    pub(crate) fn ended(
        &self,
        mint: &AdmittedMint,
        result: Result<MintedWith, NotMinted>,
        step_lifecycle: impl FnOnce(Event<'static>),
    ) {
        let now = now();
        let AdmittedMint { token, resolved, .. } = mint;
        let ending = ending(&result, mint.began, now);
        let end = mint_end(result, resolved, mint.on_request);
        let slot = match ending {
            Ending::Unavailable { .. } => self.budgets.slot(&resolved.credential, now),
            _ => None,
        };
        step_lifecycle(Event::MintEnded { end, slot, now });
        let longer = self.budgets.release(&resolved.credential, token, ending, now);
        self.limited(resolved, longer);
    }

    /// Tells the credential's budget of a RealtimeToken that waits for its provider to be available again.
    pub(crate) fn wait_out(&self, token: &Name, resolved: Option<&Resolved>, situation: &Situation, now: Timestamp) {
        if let (Situation::MintFailing(failures), Some(resolved)) = (situation, resolved)
            && failures.reason == Reason::ProviderUnavailable
            && failures.next > now
        {
            let (failed, last) = (failures.failed, failures.last);
            self.budgets.wait_out(&resolved.credential, token, failed, last, now);
        }
    }
}
