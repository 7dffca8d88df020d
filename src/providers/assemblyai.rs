//! AssemblyAI: temporary tokens, of the API of all products or for one session of streaming or of the voice agent.
//!
//! The key stands bare in `Authorization`, without a scheme. The SDK sends a content type with its GET; ours doesn't.

use serde_json::Value;

use super::Provider;
use crate::api::{AssemblyAi, AssemblyAiKind, ProviderBlock};
use crate::mint::wire::{bounded, given, no_expiry, reply_object, stated_life, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply};
use crate::token::MintError;

impl Provider for AssemblyAi {
    fn single_use(&self) -> Option<&'static str> {
        (self.kind != AssemblyAiKind::Product).then_some(
            "such a token starts one session: the first reader of the Secret uses it up. Let each session ask \
             for a token of its own (spec.requests), or choose kind Product",
        )
    }

    fn endpoint(&self) -> Endpoint<'_> {
        let region = self.account.region.unwrap_or_default();
        let own = match self.kind {
            AssemblyAiKind::Product => region.token_origin(),
            AssemblyAiKind::Streaming => region.origin(),
            AssemblyAiKind::VoiceAgent => AssemblyAi::VOICE_AGENT,
        };
        Endpoint::or(&self.account.endpoint, own)
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let product = self.kind == AssemblyAiKind::Product;
        for (holds, message) in [
            (
                self.kind != AssemblyAiKind::VoiceAgent || self.account.region.is_none(),
                Self::ONE_HOST,
            ),
            (self.product.is_some() == product, Self::PRODUCT),
            (self.access.is_none() || product, Self::ACCESS),
            (self.max_session_duration_seconds.is_none() || !product, Self::SESSION),
        ] {
            if !holds {
                return Err(InvalidBlock(message.into()));
            }
        }
        bounded("assemblyai.access", self.access.as_ref(), 4096)
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let request = match self.kind {
            AssemblyAiKind::Product => self.for_product(mint),
            AssemblyAiKind::Streaming => self.for_one_session(mint, "/v3/token"),
            AssemblyAiKind::VoiceAgent => self.for_one_session(mint, "/v1/token"),
        };
        let key = &Self::FACTS.secret_fields[0];
        Ok(Step::Send(request.key(mint, key, "authorization", "")?))
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let value = token(&mut reply, "token")?;
        let lives = match (self.kind, stated_life(&reply, "expires_in_seconds")?) {
            // By documentation the reply is the token and nothing else.
            (AssemblyAiKind::Product, stated) => stated.map_or(mint.expiration, |stated| stated.min(mint.expiration)),
            (_, Some(stated)) => stated,
            (_, None) => return Err(no_expiry("expires_in_seconds")),
        };
        Ok(Step::Done(Answer::new(value, Expiry::After(lives), self.config())))
    }
}

impl AssemblyAi {
    /// As https://www.assemblyai.com/docs/temporary-tokens describes it.
    fn for_product(&self, mint: &Mint<'_>) -> Request {
        let body = given([
            ("product", self.product.as_deref().map(Value::from)),
            ("expires_in_seconds", Some(mint.expiration.as_secs().into())),
            ("access", self.access.clone().map(Value::from)),
        ]);
        Request::post_json("/v1/token", &body.into())
    }

    fn for_one_session(&self, mint: &Mint<'_>, path: &str) -> Request {
        let life = mint.expiration.as_secs().to_string();
        let session = self.max_session_duration_seconds.map(|it| it.to_string());
        Request::get(path).query(&[
            ("expires_in_seconds", Some(&life)),
            ("max_session_duration_seconds", session.as_deref()),
        ])
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn block(block: Value) -> AssemblyAi {
        serde_json::from_value(block).unwrap()
    }

    #[test]
    fn only_a_token_of_the_products_suits_a_secret() {
        for (kind, shared) in [("Streaming", false), ("VoiceAgent", false), ("Product", true)] {
            assert_eq!(block(json!({"kind": kind})).single_use().is_none(), shared, "{kind}");
        }
    }

    /// As the API server's rules, which `mint` on a laptop doesn't have.
    #[test]
    fn fields_belong_to_their_kinds() {
        for (fields, message) in [
            (json!({"kind": "Product"}), AssemblyAi::PRODUCT),
            (json!({"product": "p"}), AssemblyAi::PRODUCT),
            (json!({"access": {}}), AssemblyAi::ACCESS),
            (
                json!({"kind": "Product", "product": "p", "maxSessionDurationSeconds": 60}),
                AssemblyAi::SESSION,
            ),
            (json!({"kind": "VoiceAgent", "region": "EU"}), AssemblyAi::ONE_HOST),
        ] {
            assert_eq!(block(fields).validate().unwrap_err().0, message);
        }
        let whole = json!({"kind": "Product", "product": "p", "access": {"a": 1}, "region": "EU"});
        assert_eq!(block(whole).validate(), Ok(()));
        let large = json!({"kind": "Product", "product": "p", "access": {"a": "a".repeat(4096)}});
        let message = block(large).validate().unwrap_err().0;
        assert!(message.contains("4096 are allowed"), "{message}");
    }
}
