//! Speechmatics: temporary keys.
//!
//! Without `ttl` Speechmatics makes a permanent key, so there is no way to leave it out. The path has an underscore as
//! in both SDKs; the newer specification's hyphen is another one. The SDKs also send `region`, which has no effect any
//! more; ours doesn't.

use serde_json::json;

use super::Provider;
use crate::api::{ProviderBlock, Speechmatics, SpeechmaticsKind};
use crate::mint::wire::{reply_object, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply, claims};
use crate::token::MintError;

impl Provider for Speechmatics {
    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, Self::FACTS.origins[0])
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        if self.kind == SpeechmaticsKind::Batch && self.client_ref.is_none() {
            return Err(InvalidBlock(
                "speechmatics.clientRef: kind Batch needs it, so that a holder of the key sees only jobs of that client"
                    .into(),
            ));
        }
        Ok(())
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let kind = match self.kind {
            SpeechmaticsKind::Realtime => "rt",
            SpeechmaticsKind::Batch => "batch",
            SpeechmaticsKind::TextToSpeech => "tts",
        };
        let mut body = json!({"ttl": mint.expiration.as_secs()});
        if let Some(client) = &self.client_ref {
            body["client_ref"] = client.as_str().into();
        }
        let request = Request::post_json("/v1/api_keys", &body).query(&[("type", Some(kind))]);
        Ok(Step::Send(request.bearer(mint, &Self::FACTS.secret_fields[0])?))
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let value = token(&mut reply, "key_value")?;
        if reply.get("apikey_id").is_some_and(|id| !id.is_null()) {
            tracing::warn!(
                "Speechmatics gave the temporary key an id, which permanent keys have: look at the keys of the account"
            );
        }
        // The reply states no end: it is what was asked for, unless the key, a JWT, ends before.
        let expiry = Expiry::no_later(claims::expiry(&value), mint.expiration);
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::request;
    use super::*;
    use crate::mint::Credential;

    /// The service ended in spring 2026.
    #[test]
    fn flow_is_gone() {
        let refused = serde_json::from_value::<Speechmatics>(json!({"kind": "Flow"})).unwrap_err();
        assert!(refused.to_string().contains("unknown variant `Flow`"), "{refused}");
    }

    /// Without it the key would be a permanent one.
    #[test]
    fn no_key_without_a_ttl() {
        let credential = Credential::new([("api-key", "SMKEY".into())]);
        for kind in ["Realtime", "Batch", "TextToSpeech"] {
            let block = json!({"kind": kind, "clientRef": "c"});
            let block: Speechmatics = serde_json::from_value(block).unwrap();
            for expiration in [60, 86_400] {
                let request = request(&block, expiration, &credential).unwrap();
                let body: serde_json::Value = serde_json::from_slice(request.bytes()).unwrap();
                assert_eq!(body["ttl"], expiration, "{kind}");
            }
        }
    }
}
