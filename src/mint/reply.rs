//! From a provider's reply to a token or an error. Pure: the reply has been read.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::expiry::{Clocks, End};
use super::refusal::{Responder, refusal};
use super::{Answer, Class, InvalidBlock, Mint, Step, UnusableReply};
use crate::providers::Provider;
use crate::token::{MintError, Minted};

/// A reply, read to its (bounded) end. Has no `Debug`: it may hold the token.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) clocks: Clocks,
    pub(crate) responder: Responder,
}

impl Reply {
    /// The token, or the next request.
    pub(crate) fn read(&self, provider: &dyn Provider, mint: &Mint<'_>, nth: usize) -> Result<Step, MintError> {
        if provider.class(self.status.as_u16()) != Class::Granted {
            return Err(refusal(provider, mint.credential, self));
        }
        let step = provider.read(mint, nth, &self.body);
        step.map_err(|unusable| self.unusable(provider, &unusable))
    }

    /// The token, if its end can be believed.
    pub(crate) fn minted(
        &self,
        provider: &dyn Provider,
        mint: &Mint<'_>,
        answer: Answer,
        sent: Timestamp,
    ) -> Result<Minted, MintError> {
        let end = self
            .clocks
            .end(answer.expiry, provider.lifetime(), mint.expiration)
            .map_err(|unusable| self.unusable(provider, &unusable))?;
        Ok(minted(provider, answer, sent, end))
    }

    fn unusable(&self, provider: &dyn Provider, unusable: &UnusableReply) -> MintError {
        let (name, status) = (&self.responder.name, self.status.as_u16());
        if provider.describes_reply() {
            let message = format!(
                "{name} answered {status}, but {unusable}. Compare the block's description of the reply with what the \
                 provider documents."
            );
            return MintError::Rejected {
                credential: false,
                message,
            };
        }
        let hint = "If it stays so, something on the way answers in the provider's place, or its API has changed.";
        MintError::unavailable(format!("{name} answered {status}, but {unusable}. {hint}"))
    }
}

pub(crate) fn signed(provider: &dyn Provider, mint: &Mint<'_>, answer: Answer) -> Result<Minted, MintError> {
    let clocks = Clocks::new(mint.now, Duration::ZERO, None);
    let end = clocks
        .end(answer.expiry, provider.lifetime(), mint.expiration)
        .map_err(|unusable| InvalidBlock(unusable.0))?;
    Ok(minted(provider, answer, mint.now, end))
}

fn minted(provider: &dyn Provider, answer: Answer, sent: Timestamp, end: End) -> Minted {
    Minted {
        provider: provider.published(),
        value: answer.value,
        issued_at: sent,
        usable_until: end.ours,
        expires_at: end.theirs,
        config: answer.config,
        outputs: answer.outputs,
    }
}

#[cfg(test)]
mod tests;
