//! Tokens for requests: a slot with the credential's budget, the mint, and what becomes of it if the caller no longer waits.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::ask::{MintedWith, NotMinted, ending, unreadable};
use super::in_flight::Place;
use super::{Claim, Issuer};
use crate::api::Reason;
use crate::budget::{NoSlot, Slot, SlotRequest};
use crate::clock::now;
use crate::cluster::Name;
use crate::mint::Endpoint;
use crate::resolve::{CredentialRef, Resolved};
use crate::token::{Blocked, MintError, Minted};

/// The time that is kept for the provider's answer: no slot is waited for until so shortly before the deadline, when a
/// mint would most likely be thrown away.
const FOR_THE_ANSWER: Duration = Duration::from_secs(2);

/// Why a request gets no token. The messages are for the owner of the RealtimeToken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NotIssued {
    /// The credential is limited for longer than the caller waits.
    Limited { until: Timestamp, reason: Reason },
    /// Others go first for longer than the caller waits, or the operator's process ends.
    Busy,
    /// Secret or key are not there.
    CredentialGone(Blocked),
    /// The key Secret can't be read now; the log says why.
    CredentialUnreadable,
    /// The provider gave no token, or did so just now and is not asked again yet.
    Failed(MintError),
    /// The provider had not answered by the deadline.
    TooSlow,
}

impl Issuer {
    /// Mints a token for a request. A mint that has begun goes on if the caller goes away, so that the budget learns of
    /// its end; its token is thrown away.
    pub(crate) async fn issue(
        self: &Arc<Self>,
        token: &Name,
        resolved: &Resolved,
        claim: Claim,
        deadline: Instant,
    ) -> Result<Minted, NotIssued> {
        let credential = &resolved.credential;
        let revision = self.revision_by(token, resolved, deadline).await?;
        let wanted = SlotRequest {
            credential,
            token,
            revision: &revision,
            claim,
        };
        let needs_answer = resolved.ask.block.provider().endpoint() != Endpoint::Local;
        let earlier = needs_answer.then(|| deadline.checked_sub(FOR_THE_ANSWER)).flatten();
        let mint_by = earlier.unwrap_or(deadline);
        let mut slot = self.budgets.slot_for_request(wanted, mint_by, now).await?;
        let place = self.for_requests.enter(resolved, || true);
        let Ok(Some(place)) = timeout_at(mint_by, place).await else {
            return Err(NotIssued::Busy);
        };
        slot.began = now();
        let answer = self.begin(token.clone(), resolved.clone(), slot, place);
        match timeout_at(deadline, answer).await {
            Ok(Ok(Ok(issued))) => Ok(issued.minted),
            Ok(Ok(Err(NotMinted::CredentialGone(blocked)))) => Err(NotIssued::CredentialGone(blocked)),
            Ok(Ok(Err(NotMinted::CredentialUnreadable))) => Err(NotIssued::CredentialUnreadable),
            Ok(Ok(Err(NotMinted::Failed(error)))) => Err(NotIssued::Failed(error)),
            Ok(Ok(Err(NotMinted::NotBegun)) | Err(_)) => Err(NotIssued::Busy), // the operator's process ends
            Err(_) => Err(NotIssued::TooSlow),
        }
    }

    /// The key's revision: without a key no slot is taken.
    async fn revision_by(&self, token: &Name, resolved: &Resolved, deadline: Instant) -> Result<String, NotIssued> {
        let Resolved { ask, credential, .. } = resolved;
        let revision = self.revision(credential, ask.block.provider().secret_fields());
        match timeout_at(deadline, revision).await {
            Ok(Ok(Ok(revision))) => Ok(revision),
            Ok(Ok(Err(blocked))) => Err(NotIssued::CredentialGone(resolved.without_platform_names(blocked))),
            Ok(Err(problem)) => {
                unreadable(token, credential, &problem);
                Err(NotIssued::CredentialUnreadable)
            }
            Err(_) => {
                tracing::warn!(%token, "the {credential} could not be read by the deadline of a request");
                Err(NotIssued::CredentialUnreadable)
            }
        }
    }

    fn begin(
        self: &Arc<Self>,
        token: Name,
        resolved: Resolved,
        slot: Slot<CredentialRef, Name>,
        place: Place,
    ) -> oneshot::Receiver<Result<MintedWith, NotMinted>> {
        let (sender, receiver) = oneshot::channel();
        let issuer = Arc::clone(self);
        tokio::spawn(async move {
            let result = issuer.mint(&token, &resolved).await;
            drop(place);
            issuer.finish(&token, &resolved, slot, &result);
            let _ = sender.send(result); // a token that no caller waits for is dropped here
        });
        receiver
    }

    fn finish(
        &self,
        token: &Name,
        resolved: &Resolved,
        slot: Slot<CredentialRef, Name>,
        result: &Result<MintedWith, NotMinted>,
    ) {
        let now = now();
        if let Err(NotMinted::Failed(error)) = result {
            // Without the message: a provider may quote what a caller has put into the session.
            tracing::debug!(%token, reason = %error.reason(), "a mint for a request failed");
        }
        let rejected = match result {
            // Asking costs nothing where the token is signed here, and the key may do for another token.
            Err(NotMinted::Failed(error)) if resolved.ask.block.provider().endpoint() != Endpoint::Local => Some(error),
            _ => None,
        };
        let rejected = rejected.filter(|error| error.is_of_credential());
        let ending = ending(result, slot.began, now);
        let longer = slot.release(ending, rejected, now);
        self.limited(resolved, longer);
    }
}

impl From<NoSlot> for NotIssued {
    fn from(no: NoSlot) -> Self {
        match no {
            NoSlot::Limited { until, reason } => Self::Limited { until, reason },
            NoSlot::Busy => Self::Busy,
            NoSlot::Rejected(error) => Self::Failed(error),
        }
    }
}
