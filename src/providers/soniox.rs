//! Soniox: temporary API keys.

use serde_json::Value;

use super::Provider;
use crate::api::{ProviderBlock, Soniox, SonioxKind};
use crate::mint::wire::{given, no_expiry, reply_object, rfc3339, token};
use crate::mint::{Answer, Endpoint, Expiry, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

impl Provider for Soniox {
    fn single_use(&self) -> Option<&'static str> {
        self.single_use.then_some(
            "such a key opens one stream: the first reader of the Secret uses it up. Remove soniox.singleUse, \
             or let each stream ask for a key of its own (spec.requests)",
        )
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, self.account.region.unwrap_or_default().origin())
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let usage = match self.kind {
            SonioxKind::Transcription => "transcribe_websocket",
            SonioxKind::TextToSpeech => "tts_rt",
        };
        let body = given([
            ("usage_type", Some(usage.into())),
            ("expires_in_seconds", Some(mint.expiration.as_secs().into())),
            (
                "client_reference_id",
                self.client_reference_id.as_deref().map(Value::from),
            ),
            ("single_use", self.single_use.then_some(Value::Bool(true))),
            (
                "max_session_duration_seconds",
                self.max_session_duration_seconds.map(Value::from),
            ),
        ]);
        let request = Request::post_json("/v1/auth/temporary-api-key", &body.into());
        Ok(Step::Send(request.bearer(mint, &Self::FACTS.secret_fields[0])?))
    }

    fn read(&self, _: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let value = token(&mut reply, "api_key")?;
        let expires_at = reply.get("expires_at").and_then(rfc3339);
        let expiry = Expiry::At(expires_at.ok_or_else(|| no_expiry("expires_at"))?);
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_single_use_key_is_said_not_to_suit_a_secret() {
        let block = |block| -> Soniox { serde_json::from_value(block).unwrap() };
        assert_eq!(block(json!({})).single_use(), None);
        let message = block(json!({"singleUse": true})).single_use();
        assert!(message.is_some_and(|message| message.contains("soniox.singleUse")));
    }
}
