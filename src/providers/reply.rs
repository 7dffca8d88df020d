//! From a provider's reply to a token or an error. Pure: the network is done with it.

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::clock::Clocks;
use super::refusal::{refusal, speaker};
use super::{Ask, Credential, MintError, Minted};

/// A reply, read to its (bounded) end. Has no `Debug`: it may hold the token.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) clocks: Clocks,
}

impl Reply {
    /// The token, if the reply grants one that can be believed.
    pub(super) fn minted(
        &self,
        ask: &Ask,
        credential: &Credential,
        sent: Timestamp,
    ) -> Result<Minted, MintError> {
        let provider = ask.block.provider();
        if !self.status.is_success() {
            return Err(refusal(provider, credential, self));
        }
        let answer = provider.read(ask.expiration, &self.body);
        let answer = answer.and_then(|answer| {
            let end = self
                .clocks
                .end(answer.expiry, provider.life(), ask.expiration)?;
            Ok((answer, end))
        });
        let (answer, end) = answer.map_err(|unusable| {
            let (who, status) = (speaker(provider), self.status.as_u16());
            let hint = "If it stays so, something on the way answers in the provider's place, or its API has changed.";
            MintError::Unavailable { message: format!("{who} answered {status}, but {unusable}. {hint}") }
        })?;
        Ok(Minted {
            provider: provider.name(),
            value: answer.value,
            issued_at: sent,
            usable_until: end.ours,
            expires_at: end.theirs,
            config: answer.config,
        })
    }
}

#[cfg(test)]
mod tests;
