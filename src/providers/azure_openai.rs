//! Azure OpenAI: Realtime client secrets, with an API key or by way of Microsoft Entra.
//!
//! The generally available path and no `api-version`; the class `AzureOpenAI` of OpenAI's SDK posts to another one. The
//! key goes into `api-key`, where Microsoft's documentation has it; the SDK on the same path sends it as a bearer. Access
//! tokens of Entra, from the application's secret or from `credentials.workloadIdentity`, are bearers.

use secrecy::ExposeSecret;

use super::Provider;
use super::openai::session;
use crate::api::{AzureOpenAi, Entra, OpenAi, OpenAiAccount, ProviderBlock, SecretField};
use crate::mint::expiry::epoch_seconds;
use crate::mint::request::component;
use crate::mint::wire::{no_expiry, reply_object, secret, token};
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Request, Step, To, UnusableReply};
use crate::token::MintError;

/// As Microsoft's own SDK for Entra names it.
const CLIENT_SECRET: &[SecretField] = &[SecretField::named("AZURE_CLIENT_SECRET")];
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

impl Provider for AzureOpenAi {
    fn secret_fields(&self) -> &'static [SecretField] {
        match self.account.entra {
            Some(_) => CLIENT_SECRET,
            None => Self::FACTS.secret_fields,
        }
    }

    fn no_access_token(&self) -> Option<&'static str> {
        self.account.entra.is_some().then_some(AzureOpenAi::ONE_SIGN_IN.1)
    }

    fn bound_model(&self) -> Option<&str> {
        Some(&self.deployment)
    }

    fn endpoint(&self) -> Endpoint<'_> {
        match (&self.account.endpoint, &self.account.resource) {
            (Some(custom), _) => Endpoint::Custom(custom),
            (None, Some(name)) => Endpoint::Tenant(format!("https://{name}.openai.azure.com")),
            // No origin: refused wherever it gets to.
            (None, None) => Endpoint::Custom(""),
        }
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let account = &self.account;
        if account.endpoint.is_none() && account.resource.is_none() {
            return Err(InvalidBlock(AzureOpenAi::NOWHERE.into()));
        }
        // OpenAI's rules, in our fields' names.
        session::check(&self.as_openai()).map_err(|problem| {
            let message = problem.0.replace("openai.model", "openai.deployment");
            InvalidBlock(message.replace("openai.", "azureOpenAI."))
        })
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        match &self.account.entra {
            Some(entra) => Ok(Step::Send(sign_in(entra, mint)?)),
            None => {
                let key = &Self::FACTS.secret_fields[0];
                let request = self.request(mint).key_or_bearer(mint, key, "api-key")?;
                Ok(Step::Send(request))
            }
        }
    }

    fn read(&self, mint: &Mint<'_>, nth: usize, body: &[u8]) -> Result<Step, UnusableReply> {
        let mut reply = reply_object(body)?;
        if self.account.entra.is_some() && nth == 0 {
            let access = token(&mut reply, "access_token")?;
            return Ok(Step::Send(self.request(mint).bearer_token(&access)?));
        }
        let value = token(&mut reply, "value")?;
        let expires_at = reply.get("expires_at").and_then(epoch_seconds);
        let expiry = Expiry::At(expires_at.ok_or_else(|| no_expiry("expires_at"))?);
        Ok(Step::Done(Answer::new(value, expiry, self.config())))
    }
}

impl AzureOpenAi {
    fn request(&self, mint: &Mint<'_>) -> Request {
        let path = format!("/openai{}", session::path(self.kind));
        Request::post_json(path, &session::body(&self.as_openai(), mint))
    }

    /// The same session at OpenAI.
    fn as_openai(&self) -> OpenAi {
        OpenAi {
            kind: self.kind,
            model: self.deployment.clone(),
            session: self.session.clone(),
            safety_identifier: None,
            account: OpenAiAccount::default(),
        }
    }
}

/// The request for an access token (OAuth's client credentials).
fn sign_in(entra: &Entra, mint: &Mint<'_>) -> Result<Request, MintError> {
    let client_secret = secret(mint.credential, &CLIENT_SECRET[0])?;
    let form = [
        ("client_id", entra.client_id.as_str()),
        ("scope", SCOPE),
        ("client_secret", client_secret.expose_secret()),
        ("grant_type", "client_credentials"),
    ];
    let path = format!("/{}/oauth2/v2.0/token", component(&entra.tenant_id));
    let origin = entra.authority.as_deref().unwrap_or(AzureOpenAi::AUTHORITY);
    Ok(Request::post_form(path, &form).to(To::Service {
        title: "Microsoft Entra",
        origin: origin.to_owned(),
        built_in: origin == AzureOpenAi::AUTHORITY,
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::mint::EndpointPolicy;

    fn block(block: serde_json::Value) -> AzureOpenAi {
        serde_json::from_value(block).unwrap()
    }

    /// The API server refuses such names; `mint` on a laptop has only this.
    #[test]
    fn a_resource_never_leads_out_of_the_domain() {
        let policy = EndpointPolicy::default();
        let host = |resource: &str| {
            let block = block(json!({"deployment": "d", "resource": resource}));
            let origin = policy.check(&block.endpoint()).ok().flatten();
            origin.map(|origin| origin.host_str().unwrap().to_owned())
        };
        assert_eq!(host("my-resource").as_deref(), Some("my-resource.openai.azure.com"));
        for name in [
            "evil.example/",
            "evil.example#",
            "evil.example?",
            "evil.example:443",
            "u@e",
            "e\\",
        ] {
            assert_eq!(host(name), None, "{name}");
        }
    }

    #[test]
    fn without_a_resource_there_is_nowhere_to_ask() {
        let block = block(json!({"deployment": "d"}));
        assert!(block.validate().is_err());
        assert!(EndpointPolicy::default().check(&block.endpoint()).is_err());
    }

    #[test]
    fn the_rules_of_a_session_are_openais_under_our_names() {
        let refused = |session: serde_json::Value| {
            let block = block(json!({"deployment": "d", "resource": "r", "session": session}));
            block.validate().unwrap_err().0
        };
        let message = refused(json!({"voice": "marin"}));
        assert!(message.contains("azureOpenAI.session.audio.output.voice"), "{message}");
        let message = refused(json!({"model": "other"}));
        assert!(message.contains("azureOpenAI.deployment"), "{message}");
        let message = refused(json!({"type": "transcription"}));
        assert_eq!(
            message,
            "azureOpenAI.session.type: is filled in as \"realtime\", from azureOpenAI.kind; remove it here"
        );
        let message = refused(json!({"tools": [{"type": "mcp", "authorization": "canary"}]}));
        assert!(
            message.contains("azureOpenAI.session.tools[0]") && !message.contains("canary"),
            "{message}"
        );
    }
}
