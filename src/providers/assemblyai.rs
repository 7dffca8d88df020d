//! AssemblyAI: temporary tokens for streaming and for the voice agent.
//!
//! The key stands bare in `Authorization`, without a scheme. The SDK sends a content type with its GET; ours doesn't.

use super::wire::{no_expiry, reply_object, seconds, token};
use super::{
    AccountSide, Answer, Described, Endpoint, Expiry, Facts, InvalidBlock, Life, Mint, MintError, Provider, Request,
    Role, Step, UnusableReply,
};
use crate::api::{AssemblyAi, AssemblyAiAccount, AssemblyAiKind, AssemblyAiRegion};

const ORIGINS: [&str; 4] = [
    "https://streaming.assemblyai.com",
    "https://streaming.us.assemblyai.com",
    "https://streaming.eu.assemblyai.com",
    "https://agents.assemblyai.com",
];

const FACTS: Facts = Facts {
    name: "assemblyai",
    title: "AssemblyAI",
    roles: &[Role {
        key: "api-key",
        env: "ASSEMBLYAI_API_KEY",
    }],
    origins: &ORIGINS,
    secret_prefixes: &[],
    config_has_model: false,
    wrong_key_is_400: false,
};

impl Described for AssemblyAi {
    const FACTS: &'static Facts = &FACTS;
}

impl AccountSide for AssemblyAiAccount {
    fn roles(&self) -> &'static [Role] {
        FACTS.roles
    }
}

impl Provider for AssemblyAi {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn model(&self) -> Option<&str> {
        None
    }

    fn life(&self) -> Life {
        Life::chosen(1, 600)
    }

    fn single_use(&self) -> Option<&'static str> {
        Some(
            "such a token starts one session: the first reader of the Secret uses it up. Mint one for each session \
             instead",
        )
    }

    fn endpoint(&self) -> Endpoint<'_> {
        let [nearest, us, eu, agents] = ORIGINS;
        let own = match (self.kind, self.account.region.unwrap_or_default()) {
            (AssemblyAiKind::VoiceAgent, _) => agents,
            (AssemblyAiKind::Streaming, AssemblyAiRegion::Default) => nearest,
            (AssemblyAiKind::Streaming, AssemblyAiRegion::US) => us,
            (AssemblyAiKind::Streaming, AssemblyAiRegion::EU) => eu,
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
        Ok(Step::Send(request.key(mint, &FACTS.roles[0], "authorization", "")?))
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
