//! OpenAI Realtime client secrets, for sessions of all three kinds.

pub(crate) mod session;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};

use super::Provider;
use crate::api::{OpenAi, OpenAiKind, OpenAiReuse, ProviderBlock};
use crate::mint::expiry::epoch_seconds;
use crate::mint::wire::{reply_object, sendable, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

const SAFETY_IDENTIFIER: &str = "openai-safety-identifier";

impl Provider for OpenAi {
    fn bound_model(&self) -> Option<&str> {
        Some(&self.model)
    }

    fn single_use(&self) -> Option<&'static str> {
        // The second session is refused with 401 `ephemeral_token_already_used`, inside the life of the secret.
        (self.account.reuse.unwrap_or_default() == OpenAiReuse::Single).then_some(
            "OpenAI refuses the second session with a client secret, as reported since August 2026: the first reader of \
             the Secret uses it up. Let each session ask for a token of its own (spec.requests); where your account or gateway allows several, set \
             openai.reuse to Multiple",
        )
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, self.account.region.unwrap_or_default().origin())
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        if self.is_live() {
            return Err(InvalidBlock(Self::LIVE.into()));
        }
        account_headers(self)?;
        session::check(self)
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let request = Request::post_json(session::path(self.kind), &session::body(self, mint));
        let mut request = request.bearer(mint, &Self::FACTS.secret_fields[0])?;
        let mut headers = account_headers(self)?;
        if let Some(end_user) = headers.get_mut(SAFETY_IDENTIFIER) {
            end_user.set_sensitive(mint.subject.is_some());
        }
        request.headers.extend(headers);
        Ok(Step::Send(request))
    }

    fn read(&self, _: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        // The shape of the sessions API, in which gateways still answer.
        let mut nested = match reply.get_mut("client_secret") {
            Some(Value::Object(nested)) => Some(std::mem::take(nested)),
            _ => None,
        };
        let secret = match &mut nested {
            Some(nested) if !reply.contains_key("value") => nested,
            _ => &mut reply,
        };
        let value = token(secret, "value")?;
        // Not `session.expires_at`, which is the session's own and 0 before it starts.
        let expires_at = secret.get("expires_at").and_then(epoch_seconds);
        let expires_at = expires_at.ok_or_else(|| {
            UnusableReply("it states no `expires_at` in seconds, and an expiry is never guessed".into())
        })?;
        let config = self.granted(&reply);
        Ok(Step::Done(Answer::new(value, Expiry::At(expires_at), config)))
    }
}

impl OpenAi {
    /// Whether the model is one that OpenAI makes no client secrets for. As the CRD's rule.
    fn is_live(&self) -> bool {
        let transcribes = self.kind == OpenAiKind::Transcription && self.model.starts_with("gpt-live-transcribe");
        (self.model == "gpt-live" || self.model.starts_with("gpt-live-")) && !transcribes
    }

    /// TanStack's config: the model that was granted, else the one that was asked for. Only a realtime session has
    /// its model at the top.
    fn granted(&self, reply: &Map<String, Value>) -> Map<String, Value> {
        let granted = match self.kind {
            OpenAiKind::Realtime => reply.get("session").and_then(|session| session.get("model")?.as_str()),
            OpenAiKind::Transcription | OpenAiKind::Translation => None,
        };
        let mut config = self.config();
        if let Some(model) = granted.filter(|model| !model.is_empty()) {
            config.insert("model".to_owned(), model.into());
        }
        config
    }
}

/// The headers that name the account and the end user.
fn account_headers(block: &OpenAi) -> Result<HeaderMap, InvalidBlock> {
    let given = [
        ("organization", "openai-organization", &block.account.organization),
        ("project", "openai-project", &block.account.project),
        ("safetyIdentifier", SAFETY_IDENTIFIER, &block.safety_identifier),
    ];
    let given = given
        .into_iter()
        .filter_map(|(field, name, value)| Some((field, name, value.as_deref()?)));
    given
        .map(
            |(field, name, value)| match sendable(value).and_then(|value| HeaderValue::from_str(value).ok()) {
                Some(value) => Ok((HeaderName::from_static(name), value)),
                None => Err(InvalidBlock(format!(
                    "openai.{field}: it is sent as a header, so only ASCII letters, digits and punctuation will do"
                ))),
            },
        )
        .collect()
}

#[cfg(test)]
mod tests;
