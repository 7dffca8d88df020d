//! Azure Speech: tokens of the speech service.
//!
//! The reply is the token itself, as text. It works only where it was issued, so the Secret says where that is.
//!
//! Microsoft documents Entra's access tokens for its APIs at a resource's own domain
//! (<https://learn.microsoft.com/azure/ai-services/authentication>) without saying so of this call; public code sends
//! them to it as a bearer.

use super::Provider;
use crate::api::{AzureSpeech, ProviderBlock};
use crate::mint::wire::text_token;
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, UnusableReply, claims};
use crate::token::MintError;

impl Provider for AzureSpeech {
    fn no_access_token(&self) -> Option<&'static str> {
        self.account.resource.is_none().then_some(AzureSpeech::OWN_DOMAIN.1)
    }

    fn endpoint(&self) -> Endpoint<'_> {
        let account = &self.account;
        match (&account.endpoint, &account.region, &account.resource) {
            (Some(custom), ..) => Endpoint::Custom(custom),
            (None, Some(region), _) => Endpoint::Tenant(format!("https://{region}.api.cognitive.microsoft.com")),
            (None, None, Some(name)) => Endpoint::Tenant(custom_domain(name)),
            // No origin: refused wherever it gets to.
            (None, None, None) => Endpoint::Custom(""),
        }
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let account = &self.account;
        if account.region.is_some() == account.resource.is_some() {
            return Err(InvalidBlock(AzureSpeech::ONE_PLACE.into()));
        }
        Ok(())
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let request = Request::post_empty("/sts/v1.0/issueToken")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "*/*");
        let key = &Self::FACTS.secret_fields[0];
        Ok(Step::Send(request.key_or_bearer(
            mint,
            key,
            "ocp-apim-subscription-key",
        )?))
    }

    fn read(&self, mint: &Mint<'_>, _: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let value = text_token(body)?;
        if !claims::looks_like_one(&value) {
            return Err(UnusableReply("its body is no token".into()));
        }
        let expiry = Expiry::no_later(claims::expiry(&value), mint.expiration);
        let mut answer = Answer::new(value, expiry, self.config());
        // Clients go where it was issued.
        let account = &self.account;
        let place = match (&account.region, &account.resource) {
            (Some(region), _) => Some(("region", region.clone())),
            (None, Some(name)) => Some(("endpoint", custom_domain(name))),
            (None, None) => None,
        };
        answer
            .outputs
            .extend(place.map(|(key, value)| (key.into(), value.into())));
        Ok(Step::Done(answer))
    }
}

fn custom_domain(resource: &str) -> String {
    format!("https://{resource}.cognitiveservices.azure.com")
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::super::fixture::answer;
    use super::*;

    const JWT: &[u8] = b"eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjE3OTUzMzUwMDB9.fake";

    /// A token works only where it was issued.
    #[test]
    fn the_place_comes_with_the_token() {
        for (block, key, place) in [
            (json!({"region": "westeurope"}), "region", "westeurope"),
            (
                json!({"resource": "my-speech"}),
                "endpoint",
                "https://my-speech.cognitiveservices.azure.com",
            ),
        ] {
            let block: AzureSpeech = serde_json::from_value(block).unwrap();
            let outputs = answer(&block, 600, JWT).unwrap().outputs;
            let outputs: Vec<_> = outputs
                .iter()
                .map(|(key, value)| (key.as_ref(), value.expose_secret()))
                .collect();
            assert_eq!(outputs, [(key, place)]);
        }
    }

    #[test]
    fn exactly_one_place() {
        let valid = |block| serde_json::from_value::<AzureSpeech>(block).unwrap().validate();
        assert_eq!(valid(json!({"region": "westeurope"})), Ok(()));
        let through = json!({"region": "westeurope", "endpoint": "https://gw.example"});
        assert_eq!(valid(through), Ok(()));
        assert!(valid(json!({})).is_err());
        assert!(valid(json!({"endpoint": "https://gw.example"})).is_err());
        assert!(valid(json!({"region": "westeurope", "resource": "my-speech"})).is_err());
    }
}
