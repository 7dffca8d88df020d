//! Mistral: client secrets for realtime transcription.

use serde_json::{Map, Value, json};

use super::{AccountSide, Described, Facts, Life, Provider};
use crate::api::{Mistral, MistralAccount, MistralRegion};
use crate::mint::wire::{no_expiry, reply_object, rfc3339, token};
use crate::mint::{Answer, Endpoint, Expiry, Mint, Request, SecretField, Step, UnusableReply};
use crate::token::MintError;

const ORIGINS: [&str; 3] = [
    "https://api.mistral.ai",
    "https://api.eu.mistral.ai",
    "https://api.us.mistral.ai",
];

const FACTS: Facts = Facts {
    name: "mistral",
    title: "Mistral",
    secret_fields: &[SecretField {
        key: "api-key",
        env: "MISTRAL_API_KEY",
    }],
    origins: &ORIGINS,
    secret_prefixes: &["rt_"],
    config_has_model: true,
    wrong_key_is_400: false,
};

impl Described for Mistral {
    const FACTS: &'static Facts = &FACTS;
}

impl AccountSide for MistralAccount {
    fn secret_fields(&self) -> &'static [SecretField] {
        FACTS.secret_fields
    }
}

impl Provider for Mistral {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn policy_subject(&self) -> Option<&str> {
        Some(&self.model)
    }

    fn life(&self) -> Life {
        Life::offered(60, 900)
    }

    fn endpoint(&self) -> Endpoint<'_> {
        let [global, eu, us] = ORIGINS;
        let own = match self.account.region.unwrap_or_default() {
            MistralRegion::Global => global,
            MistralRegion::EU => eu,
            MistralRegion::US => us,
        };
        Endpoint::or(&self.account.endpoint, own)
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let mut body = json!({"purpose": "realtime", "model": self.model});
        if !mint.expiration.is_zero() {
            body["ttl_seconds"] = mint.expiration.as_secs().into();
        }
        let request = Request::post_json("/v1/client/sessions", &body);
        Ok(Step::Send(request.bearer(mint, &FACTS.secret_fields[0])?))
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
