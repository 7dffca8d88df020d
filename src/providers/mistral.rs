//! Mistral: client secrets for realtime transcription.

use serde_json::{Map, Value, json};

use super::Provider;
use crate::api::{Mistral, ProviderBlock};
use crate::mint::wire::{no_expiry, reply_object, rfc3339, token};
use crate::mint::{Answer, Endpoint, Expiry, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

impl Provider for Mistral {
    fn bound_model(&self) -> Option<&str> {
        Some(&self.model)
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, self.account.region.unwrap_or_default().origin())
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let mut body = json!({"purpose": "realtime", "model": self.model});
        if !mint.expiration.is_zero() {
            body["ttl_seconds"] = mint.expiration.as_secs().into();
        }
        let request = Request::post_json("/v1/client/sessions", &body);
        Ok(Step::Send(request.bearer(mint, &Self::FACTS.secret_fields[0])?))
    }

    fn read(&self, _: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let mut secret = match reply.remove("client_secret") {
            Some(Value::Object(secret)) => secret,
            _ => Map::new(),
        };
        let value = token(&mut secret, "value")?;
        let expires_at = secret.get("expires_at").and_then(rfc3339);
        let expires_at = expires_at.ok_or_else(|| no_expiry("client_secret.expires_at"))?;
        // The session's own end, if that comes first.
        let session = reply.get("expires_at").and_then(rfc3339);
        let expiry = Expiry::At(session.map_or(expires_at, |end| end.min(expires_at)));
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}
