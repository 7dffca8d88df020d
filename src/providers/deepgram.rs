//! Deepgram: temporary tokens of the grant API.

use serde_json::json;

use super::Provider;
use crate::api::{Deepgram, ProviderBlock};
use crate::mint::wire::{reply_object, stated_life, token};
use crate::mint::{Answer, Endpoint, Expiry, Mint, Request, Step, UnusableReply, claims};
use crate::token::MintError;

impl Provider for Deepgram {
    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, Self::FACTS.origins[0])
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        // Always with a life: Deepgram's default is 30 seconds.
        let body = json!({"ttl_seconds": mint.expiration.as_secs()});
        let request = Request::post_json("/v1/auth/grant", &body);
        // The key goes behind `Token`; `Bearer` is for the token it grants.
        let key = &Self::FACTS.secret_fields[0];
        Ok(Step::Send(request.key(mint, key, "authorization", "Token ")?))
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let value = token(&mut reply, "access_token")?;
        // The earlier of what the reply and the token state, else what was asked for.
        let expiry = match (stated_life(&reply, "expires_in")?, claims::expiry(&value)) {
            (Some(stated), exp) => Expiry::no_later(exp, stated),
            (None, Some(exp)) => Expiry::At(exp),
            (None, None) => Expiry::After(mint.expiration),
        };
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::super::fixture::answer;
    use super::*;

    fn expiry(reply: serde_json::Value) -> Expiry {
        let block: Deepgram = serde_json::from_value(json!({})).unwrap();
        answer(&block, 1800, reply.to_string().as_bytes()).unwrap().expiry
    }

    #[test]
    fn the_expiry_is_the_earlier_of_those_stated() {
        let lives = SignedDuration::from_secs;
        let after = |seconds| Expiry::After(lives(seconds));
        // {"exp":1795336200}
        let jwt = "eyJhbGciOiJIUzI1NiJ9.eyJleHAiOjE3OTUzMzYyMDB9.fake";
        let exp = jiff::Timestamp::from_second(1_795_336_200).unwrap();
        for (expires_in, seconds) in [(json!(600), 600), (json!(599.5), 599)] {
            let both = json!({"access_token": jwt, "expires_in": expires_in});
            assert_eq!(expiry(both), Expiry::Earlier(exp, lives(seconds)));
            let opaque = json!({"access_token": "opaque", "expires_in": expires_in});
            assert_eq!(expiry(opaque), after(seconds));
        }
        assert_eq!(expiry(json!({"access_token": jwt})), Expiry::At(exp));
        assert_eq!(expiry(json!({"access_token": "opaque"})), after(1800));
    }
}
