//! Cartesia: access tokens.

use serde_json::json;

use super::Provider;
use crate::api::{Cartesia, ProviderBlock};
use crate::mint::wire::{reply_object, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply, claims};
use crate::token::MintError;

/// The version of the API that this was written for; Cartesia wants one in every request.
const VERSION: &str = "2026-08-14";

impl Provider for Cartesia {
    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, Self::FACTS.origins[0])
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let grants = self.grants;
        if grants.tts || grants.stt || grants.agent {
            return Ok(());
        }
        Err(InvalidBlock(
            "cartesia.grants: set at least one of tts, stt and agent to true; a token without opens nothing".into(),
        ))
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        // Always with a life: Cartesia doesn't say what its default is.
        let body = json!({"grants": self.grants, "expires_in": mint.expiration.as_secs()});
        let request = Request::post_json("/access-token", &body).header("cartesia-version", VERSION);
        Ok(Step::Send(request.bearer(mint, &Self::FACTS.secret_fields[0])?))
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let value = token(&mut reply_object(body)?, "token")?;
        // The reply states no end; the token, a JWT, does.
        let expiry = Expiry::no_later(claims::expiry(&value), mint.expiration);
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}
