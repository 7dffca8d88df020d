//! AssemblyAI: temporary tokens for streaming and for the voice agent.
//!
//! The key stands bare in `Authorization`, without a scheme. The SDK sends a content type with its GET; ours doesn't.

use super::Provider;
use crate::api::{AssemblyAi, AssemblyAiKind, ProviderBlock};
use crate::mint::wire::{no_expiry, reply_object, seconds, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

impl Provider for AssemblyAi {
    fn single_use(&self) -> Option<&'static str> {
        Some(
            "such a token starts one session: the first reader of the Secret uses it up. Mint one for each session \
             instead",
        )
    }

    fn endpoint(&self) -> Endpoint<'_> {
        let own = match self.kind {
            AssemblyAiKind::Streaming => self.account.region.unwrap_or_default().origin(),
            AssemblyAiKind::VoiceAgent => AssemblyAi::VOICE_AGENT,
        };
        Endpoint::or(&self.account.endpoint, own)
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        if self.kind == AssemblyAiKind::VoiceAgent && self.account.region.is_some() {
            return Err(InvalidBlock(AssemblyAi::ONE_HOST.into()));
        }
        Ok(())
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let path = match self.kind {
            AssemblyAiKind::Streaming => "/v3/token",
            AssemblyAiKind::VoiceAgent => "/v1/token",
        };
        let life = mint.expiration.as_secs().to_string();
        let session = self.max_session_duration_seconds.map(|it| it.to_string());
        let request = Request::get(path).query(&[
            ("expires_in_seconds", Some(&life)),
            ("max_session_duration_seconds", session.as_deref()),
        ]);
        let key = &Self::FACTS.secret_fields[0];
        Ok(Step::Send(request.key(mint, key, "authorization", "")?))
    }

    fn read(&self, _: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let value = token(&mut reply, "token")?;
        let stated = reply.get("expires_in_seconds").and_then(seconds);
        let expiry = Expiry::After(stated.ok_or_else(|| no_expiry("expires_in_seconds"))?);
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_are_said_not_to_suit_a_secret() {
        for kind in [AssemblyAiKind::Streaming, AssemblyAiKind::VoiceAgent] {
            let block = AssemblyAi {
                kind,
                ..AssemblyAi::default()
            };
            assert!(block.single_use().is_some());
        }
    }
}
