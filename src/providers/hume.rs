//! Hume: access tokens by OAuth's client credentials.

use super::Provider;
use crate::api::{Hume, ProviderBlock};
use crate::mint::wire::{reply_object, stated_life, token};
use crate::mint::{Answer, Endpoint, Expiry, Mint, Request, Step, UnusableReply, claims};
use crate::token::MintError;

impl Provider for Hume {
    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::or(&self.account.endpoint, Self::FACTS.origins[0])
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let form = [("grant_type", "client_credentials")];
        let request = Request::post_form("/oauth2-cc/token", &form);
        let [id, secret] = [&Self::FACTS.secret_fields[0], &Self::FACTS.secret_fields[1]];
        Ok(Step::Send(request.basic(mint, id, secret)?))
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        let value = token(&mut reply, "access_token")?;
        // Only a third party's example has `expires_in`; the documentation has the life.
        let stated = stated_life(&reply, "expires_in")?;
        let lives = stated.map_or(mint.expiration, |stated| stated.min(mint.expiration));
        let expiry = Expiry::no_later(claims::expiry(&value), lives);
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::request;
    use super::*;
    use crate::mint::Credential;

    /// `Authorization: Basic` splits the pair at the first colon.
    #[test]
    fn a_colon_in_the_api_key_is_refused() {
        let credential = Credential::new([
            ("HUME_API_KEY", "api:key".into()),
            ("HUME_SECRET_KEY", "secret-key".into()),
        ]);
        let error = request(&Hume::default(), 0, &credential).unwrap_err();
        assert!(matches!(error, MintError::Rejected { credential: true, .. }));
        assert!(error.to_string().contains("HUME_API_KEY in the Secret holds a colon"));
        assert!(!error.to_string().contains("api:key"));
    }

    #[test]
    fn a_missing_value_is_named() {
        let credential = Credential::new([("HUME_API_KEY", "api-key".into())]);
        let error = request(&Hume::default(), 0, &credential).unwrap_err();
        assert!(error.to_string().contains("\"HUME_SECRET_KEY\""), "{error}");
    }
}
