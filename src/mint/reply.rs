//! From a provider's reply to a token or an error. Pure: the reply has been read.

use std::time::Duration;

use http::{HeaderMap, StatusCode};
use jiff::Timestamp;

use super::error_body::{ErrorBody, Format};
use super::expiry::{Clocks, End};
use super::refusal::{Responder, quoted, refusal, repeats};
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
            return Err(refusal(provider, mint, self));
        }
        let step = provider.read(mint, nth, &self.body);
        step.map_err(|unusable| self.unusable(provider, mint, &unusable))
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
            .map_err(|unusable| self.unusable(provider, mint, &unusable))?;
        Ok(minted(provider, answer, sent, end))
    }

    /// The provider may have minted a token all the same, so asking again soon would mint one after the other.
    fn unusable(&self, provider: &dyn Provider, mint: &Mint<'_>, unusable: &UnusableReply) -> MintError {
        let (name, status) = (&self.responder.name, self.status.as_u16());
        let hint = if provider.describes_reply() {
            "Compare the block's description of the reply with what the provider documents."
        } else {
            "If it stays so, something on the way answers in the provider's place, or its API has changed."
        };
        let came = self.what_came(mint);
        MintError::Rejected {
            credential: false,
            message: format!("{name} answered {status}, but {unusable}{came}. {hint}"),
        }
    }

    /// What there is in place of a token, as far as it can be said.
    fn what_came(&self, mint: &Mint<'_>) -> String {
        match (Format::of(&self.body), ErrorBody::within_success(&self.body)) {
            (_, Some(error)) => {
                let quoted = Some(quoted(&error, mint.credential));
                let quoted = quoted.filter(|text| self.responder.built_in && !repeats(text, mint.subject));
                format!("; it holds an error{}", quoted.unwrap_or_default())
            }
            (Format::Empty, None) => "; it is empty".to_owned(),
            (Format::Html, None) => "; it is an HTML page".to_owned(),
            (Format::Json | Format::Text, None) => String::new(),
        }
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
