//! xAI: Grok voice client secrets.
//!
//! xAI's two pages on this call disagree about `session`: it is sent only if the user sets it. TanStack AI's adapter
//! expects a nested reply and throws on the documented flat one; both are read here, in seconds and in milliseconds.

use serde_json::{Map, Value, json};

use super::Provider;
use crate::api::{ProviderBlock, Xai};
use crate::mint::expiry::epoch_seconds_or_millis;
use crate::mint::wire::{given, no_expiry, reply_object, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

impl Provider for Xai {
    fn config(&self) -> Map<String, Value> {
        let session = self.session.as_ref();
        let model = self.model.as_deref();
        let model = model.or_else(|| session?.model.as_deref());
        given([("model", model.map(Value::from))])
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, Self::FACTS.origins[0])
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let session = self.session.as_ref();
        match (&self.model, session.and_then(|it| it.model.as_ref())) {
            (Some(ours), Some(theirs)) if ours != theirs => Err(InvalidBlock(
                "xai.model and xai.session.model differ: a client connects with the one, xAI would be told the other"
                    .into(),
            )),
            _ => Ok(()),
        }
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        // No `anchor`, which OpenAI has and xAI refuses.
        let mut body = json!({"expires_after": {"seconds": mint.expiration.as_secs()}});
        if let Some(session) = &self.session {
            body["session"] = json!(session);
        }
        let request = Request::post_json("/v1/realtime/client_secrets", &body);
        Ok(Step::Send(request.bearer(mint, &Self::FACTS.secret_fields[0])?))
    }

    fn read(&self, _: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let mut secret = match reply.remove("client_secret") {
            Some(Value::Object(nested)) if !reply.contains_key("value") => nested,
            _ => reply.clone(),
        };
        let expires_at = secret.get("expires_at").and_then(epoch_seconds_or_millis);
        let value = token(&mut secret, "value")?;
        let expires_at = expires_at.ok_or_else(|| no_expiry("expires_at"))?;
        let mut config = self.config();
        if let Some(granted) = reply.get("model").and_then(Value::as_str)
            && !granted.is_empty()
        {
            config.insert("model".to_owned(), granted.into());
        }
        Ok(Step::Done(Answer::new(value, Expiry::At(expires_at), config)))
    }
}
