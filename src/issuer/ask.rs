//! One mint: the credential, the request, and what its outcome says of the credential. The slot with the credential's
//! budget is taken by [`for_secret`](super::for_secret) and [`issue`](super::issue).

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::Issuer;
use super::credential::NotObtained;
use crate::api::{FALLBACK_KEY, Reason};
use crate::budget::Ending;
use crate::clock::now;
use crate::cluster::{ClusterError, Name};
use crate::metrics::outcome;
use crate::mint::{self, Endpoint};
use crate::resolve::{CredentialRef, Resolved};
use crate::token::lifecycle::MintEnd;
use crate::token::report::provider::KeyVerdict;
use crate::token::{Blocked, MintError, Minted};

/// Far above the HTTP client's own limit: what takes longer is stuck. Reading a key and exchanging a token have limits of
/// their own.
const TIMEOUT: Duration = Duration::from_secs(2 * mint::TIMEOUT.as_secs() + 5);

/// A token, and the revision of the credential that it was minted with.
pub(crate) struct MintedWith {
    pub(crate) minted: Minted,
    pub(crate) credential_revision: String,
}

/// Why a mint gave no token. The messages are for the owner of the RealtimeToken.
#[derive(Debug)]
pub(crate) enum NotMinted {
    /// Secret or key are gone.
    CredentialGone(Blocked),
    /// The key Secret can't be read now; the log says why.
    CredentialUnreadable,
    /// It waited for others in flight, and is not wanted any more, or the process stops.
    NotBegun,
    Failed(MintError),
}

impl Issuer {
    /// Mints once. Asks a second time with another access token if the provider refuses one that may have been revoked.
    pub(super) async fn mint(&self, token: &Name, resolved: &Resolved) -> Result<MintedWith, NotMinted> {
        let mint = AssertUnwindSafe(self.mint_once(token, resolved)).catch_unwind();
        mint.await.unwrap_or_else(|_| {
            tracing::error!(%token, "a mint panicked; this is a bug of the operator");
            let error = MintError::internal("the mint panicked; see the operator's log");
            Err(NotMinted::Failed(error))
        })
    }

    async fn mint_once(&self, token: &Name, resolved: &Resolved) -> Result<MintedWith, NotMinted> {
        let Resolved { ask, credential, .. } = resolved;
        let provider = ask.block.provider();
        let mut may_repeat = true;
        loop {
            let obtained = match self.obtain(credential, provider.secret_fields()).await {
                Ok(obtained) => obtained.stored_in(resolved.secret_title()),
                Err(problem) => return Err(self.not_obtained(token, resolved, problem)),
            };
            let began = Instant::now();
            let minted = self.providers.mint(ask, &obtained.credential, now());
            let minted = tokio::time::timeout(TIMEOUT, minted).await.unwrap_or_else(|_| {
                let message = format!("the mint did not end within {} s", TIMEOUT.as_secs());
                Err(MintError::unavailable(message))
            });
            let failure = minted.as_ref().err().map(MintError::reason);
            self.metrics
                .minted(&token.namespace, provider.name(), outcome(failure), began.elapsed());
            let is_refused = failure == Some(Reason::CredentialRejected);
            if is_refused && self.drop_refused(&obtained) && std::mem::take(&mut may_repeat) {
                continue; // a refused call has minted nothing
            }
            let verdict = match &minted {
                // A signature says nothing of whether the provider knows the key.
                Ok(_) if provider.endpoint() == Endpoint::Local => None,
                Ok(_) => Some(Ok(())),
                Err(error) if is_refused => Some(Err(Blocked::new(error.reason(), error.to_string()))),
                Err(_) => None,
            };
            let credential_revision = obtained.revision;
            if let Some(result) = verdict {
                let revision = credential_revision.clone();
                self.budgets.note_verdict(credential, KeyVerdict { revision, result });
            }
            return match minted {
                Ok(minted) => Ok(MintedWith {
                    minted,
                    credential_revision,
                }),
                Err(error) => Err(NotMinted::Failed(error)),
            };
        }
    }

    /// Counts how much longer a credential is limited than was known before.
    pub(super) fn limited(&self, resolved: &Resolved, longer: SignedDuration) {
        if longer.is_positive() {
            let provider = resolved.ask.block.provider().name();
            self.metrics.limited(provider, longer.as_secs_f64());
        }
    }

    fn not_obtained(&self, token: &Name, resolved: &Resolved, problem: NotObtained) -> NotMinted {
        let Resolved { ask, credential, .. } = resolved;
        let error = match problem {
            NotObtained::Gone(blocked) => return NotMinted::CredentialGone(resolved.without_platform_names(blocked)),
            NotObtained::Unreadable(problem) => return unreadable(token, credential, &problem),
            NotObtained::Exchange(error) => error,
        };
        let provider = ask.block.provider();
        let reason = outcome(Some(error.reason()));
        self.metrics.not_asked(&token.namespace, provider.name(), reason);
        let is_of_the_identity = error.is_of_credential();
        if let CredentialRef::Identity(identity) = credential
            && is_of_the_identity
        {
            let refused = Blocked::new(error.reason(), error.to_string());
            let (revision, result) = (identity.revision(), Err(refused));
            self.budgets.note_verdict(credential, KeyVerdict { revision, result });
        }
        // Names of the operator's own namespace are not the tenant's to see.
        if resolved.lent_by.is_none() {
            return NotMinted::Failed(error);
        }
        tracing::warn!(%token, %error, "no access token for the {credential}");
        let where_it_stands = match is_of_the_identity {
            true => "its status",
            false => "the operator's log",
        };
        NotMinted::Failed(error.with_message(format!(
            "there is no access token for the {}; {where_it_stands} says more to the platform team",
            resolved.key_title()
        )))
    }
}

/// The log says why, and the answer only that it is so.
pub(super) fn unreadable(token: &Name, credential: &CredentialRef, problem: &ClusterError) -> NotMinted {
    tracing::warn!(%token, %problem, "the {credential} can't be read");
    NotMinted::CredentialUnreadable
}

/// What the end of a mint says to the RealtimeToken.
/// `on_request`: tokens are handed out on request too, and this one says whether a request may fall back to it.
pub(super) fn mint_end(result: Result<MintedWith, NotMinted>, resolved: &Resolved, on_request: bool) -> MintEnd {
    match result {
        Ok(mut issued) => {
            if on_request {
                // Kept with the token: after an edit the Secret has the token of the spec before for a while.
                // In the words of the TypeScript client's option.
                let fallback = match resolved.ask.block.may_be_shared() {
                    true => "mounted",
                    false => "none",
                };
                issued.minted.outputs.insert(FALLBACK_KEY.into(), fallback.into());
            }
            MintEnd::Minted {
                minted: issued.minted,
                credential_revision: issued.credential_revision,
            }
        }
        Err(NotMinted::CredentialGone(_) | NotMinted::NotBegun) => MintEnd::NotAsked,
        Err(NotMinted::CredentialUnreadable) => {
            let key = resolved.key_title();
            let message = format!("the {key} can't be read; see the operator's log");
            MintEnd::Failed(MintError::internal(message))
        }
        Err(NotMinted::Failed(error)) => MintEnd::Failed(error),
    }
}

/// What the end of a mint says to the credential's budget.
pub(super) fn ending(result: &Result<MintedWith, NotMinted>, began: Timestamp, now: Timestamp) -> Ending {
    let error = match result {
        Ok(_) => return Ending::Granted,
        Err(NotMinted::CredentialGone(_) | NotMinted::CredentialUnreadable | NotMinted::NotBegun) => {
            return Ending::NotAsked;
        }
        Err(NotMinted::Failed(error)) => error,
    };
    match (error, error.limit()) {
        (MintError::Unavailable { .. }, _) => Ending::Unavailable { began },
        (MintError::Internal { .. } | MintError::NoCredential { .. }, _) => Ending::NotAsked,
        (MintError::QuotaExhausted { .. }, Some(wait)) => Ending::Exhausted(now + wait),
        (_, Some(wait)) => Ending::Throttled(now + wait),
        (_, None) => Ending::Refused,
    }
}
