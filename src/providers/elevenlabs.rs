//! ElevenLabs agents: signed URLs for the WebSocket, conversation tokens for WebRTC. And single-use tokens for speech.

use reqwest::Url;
use serde_json::{Map, Value};

use super::Provider;
use crate::api::{ElevenLabs, ElevenLabsKind, ElevenLabsRegion, ProviderBlock};
use crate::mint::wire::{given, reply_object, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply, claims, endpoint};
use crate::token::MintError;

impl Provider for ElevenLabs {
    fn bound_model(&self) -> Option<&str> {
        self.agent_id.as_deref()
    }

    fn single_use(&self) -> Option<&'static str> {
        match self.kind {
            ElevenLabsKind::SignedUrl => None,
            ElevenLabsKind::ConversationToken => Some(
                "such a token serves one session: the first reader of the Secret uses it up. Let each session \
                 ask for a token of its own (spec.requests), or choose a kind that can be shared",
            ),
            ElevenLabsKind::RealtimeScribe | ElevenLabsKind::BatchScribe | ElevenLabsKind::TtsWebsocket => Some(
                "such a token is consumed when it is used: the first reader of the Secret uses it up. Let each \
                 use ask for a token of its own (spec.requests)",
            ),
        }
    }

    fn config(&self) -> Map<String, Value> {
        let text = |value: &Option<String>| value.as_deref().map(Value::from);
        if self.agent_id.is_none() {
            return Map::new();
        }
        // In TanStack's order.
        let options = given([
            ("agentId", text(&self.agent_id)),
            ("firstMessage", text(&self.first_message)),
            ("language", text(&self.language)),
        ]);
        given([
            ("voice", text(&self.voice)),
            ("instructions", text(&self.instructions)),
            ("providerOptions", Some(options.into())),
        ])
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, self.account.region.unwrap_or_default().origin())
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        if self.participant_name.is_some() && self.kind != ElevenLabsKind::ConversationToken {
            return Err(InvalidBlock(
                "elevenlabs.participantName belongs to kind ConversationToken".into(),
            ));
        }
        let of_agents = [
            &self.branch_id,
            &self.version_id,
            &self.environment,
            &self.voice,
            &self.instructions,
            &self.first_message,
            &self.language,
        ];
        let agent = self.speech().is_none();
        if self.agent_id.is_some() != agent {
            return Err(InvalidBlock(Self::AGENT.into()));
        }
        if !agent && of_agents.into_iter().any(Option::is_some) {
            return Err(InvalidBlock(Self::OF_AGENTS.into()));
        }
        Ok(())
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let key = &Self::FACTS.secret_fields[0];
        if let Some(kind) = self.speech() {
            // Without a body and a content type, as the SDK sends it.
            let request = Request::post_empty(format!("/v1/single-use-token/{kind}"));
            return Ok(Step::Send(request.key(mint, key, "xi-api-key", "")?));
        }
        let path = match self.kind {
            ElevenLabsKind::ConversationToken => "/v1/convai/conversation/token",
            _ => "/v1/convai/conversation/get-signed-url",
        };
        // In the SDK's order. Never `include_conversation_id`: it makes the URL good for one conversation only.
        let query = [
            ("agent_id", self.agent_id.as_deref()),
            ("participant_name", self.participant_name.as_deref()),
            ("branch_id", self.branch_id.as_deref()),
            ("version_id", self.version_id.as_deref()),
            ("environment", self.environment.as_deref()),
        ];
        let request = Request::get(path).query(&query);
        Ok(Step::Send(request.key(mint, key, "xi-api-key", "")?))
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let (value, expiry) = match self.kind {
            ElevenLabsKind::SignedUrl => {
                let url = token(&mut reply, "signed_url")?;
                self.check_signed_url(&url)?;
                (url, Expiry::After(mint.expiration))
            }
            ElevenLabsKind::ConversationToken => {
                let value = token(&mut reply, "token")?;
                let expiry = claims::expiry(&value).ok_or_else(|| {
                    UnusableReply("its `token` is no JWT with an `exp`, and an expiry is never guessed".into())
                })?;
                (value, Expiry::At(expiry))
            }
            ElevenLabsKind::RealtimeScribe | ElevenLabsKind::BatchScribe | ElevenLabsKind::TtsWebsocket => {
                (token(&mut reply, "token")?, Expiry::After(mint.expiration))
            }
        };
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}

impl ElevenLabs {
    /// ElevenLabs' name of a kind that is for no agent.
    const fn speech(&self) -> Option<&'static str> {
        match self.kind {
            ElevenLabsKind::SignedUrl | ElevenLabsKind::ConversationToken => None,
            ElevenLabsKind::RealtimeScribe => Some("realtime_scribe"),
            ElevenLabsKind::BatchScribe => Some("batch_scribe"),
            ElevenLabsKind::TtsWebsocket => Some("tts_websocket"),
        }
    }

    /// Clients send the user's voice to wherever this URL points.
    fn check_signed_url(&self, url: &str) -> Result<(), UnusableReply> {
        let url = Url::parse(url).ok().filter(|url| url.scheme() == "wss");
        let Some(url) = url.filter(|url| url.username().is_empty() && url.password().is_none()) else {
            return Err(UnusableReply("its `signed_url` is no plain wss:// URL".into()));
        };
        let same_host = |origin: &str| endpoint::origin(origin).is_ok_and(|origin| origin.host() == url.host());
        let own = |origin| same_host(origin) && url.port().is_none();
        let belongs = match self.endpoint() {
            Endpoint::BuiltIn(origin) => own(origin),
            // Behind a gateway of the user's own, ElevenLabs still hands out URLs of its own.
            Endpoint::Custom(origin) => same_host(origin) || ElevenLabsRegion::ORIGINS.iter().copied().any(own),
            Endpoint::Tenant(_) | Endpoint::Local => false,
        };
        if belongs {
            Ok(())
        } else {
            Err(UnusableReply(
                "its `signed_url` points to a host of another region or owner".into(),
            ))
        }
    }
}

#[cfg(test)]
mod tests;
