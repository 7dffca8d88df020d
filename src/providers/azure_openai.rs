//! Azure OpenAI: Realtime client secrets, with an API key or by way of Microsoft Entra.
//!
//! The generally available path and no `api-version`; the class `AzureOpenAI` of OpenAI's SDK posts to another one. The
//! key goes into `api-key`, where Microsoft's documentation has it; the SDK on the same path sends it as a bearer.

use serde_json::json;

use super::clock::epoch_seconds;
use super::openai::session;
use super::wire::{no_expiry, reply_object, secret, token};
use super::{
    AccountSide, Answer, Described, Endpoint, Expiry, Facts, InvalidBlock, Life, Mint, MintError,
    Provider, Request, Role, Step, To, UnusableReply,
};
use crate::api::{AzureOpenAi, AzureOpenAiAccount, Entra, OpenAi};
use secrecy::ExposeSecret;

const KEY: &[Role] = &[Role {
    key: "api-key",
    env: "AZURE_OPENAI_API_KEY",
}];
/// As Microsoft's own SDK for Entra names it.
const CLIENT_SECRET: &[Role] = &[Role {
    key: "AZURE_CLIENT_SECRET",
    env: "AZURE_CLIENT_SECRET",
}];

const AUTHORITY: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";

const FACTS: Facts = Facts {
    name: "azure-openai",
    title: "Azure OpenAI",
    roles: KEY,
    origins: &["https://*.openai.azure.com", AUTHORITY],
    secret_prefixes: &["ek-", "ek_"],
    config_has_model: true,
    wrong_key_is_400: false,
};

impl Described for AzureOpenAi {
    const FACTS: &'static Facts = &FACTS;
}

impl AccountSide for AzureOpenAiAccount {
    fn roles(&self) -> &'static [Role] {
        match self.entra {
            Some(_) => CLIENT_SECRET,
            None => KEY,
        }
    }
}

impl Provider for AzureOpenAi {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn roles(&self) -> &'static [Role] {
        self.account.roles()
    }

    /// The deployment.
    fn model(&self) -> Option<&str> {
        Some(&self.deployment)
    }

    fn life(&self) -> Life {
        Life::offered(10, 7200)
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
        // OpenAI's rules, in our field's name.
        session::check(&self.as_openai()).map_err(|problem| {
            let told = problem.0.replace("openai.model", "openai.deployment");
            InvalidBlock(told.replace("openai.", "azureOpenAI."))
        })
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        match &self.account.entra {
            Some(entra) => Ok(Step::Send(sign_in(entra, mint)?)),
            None => Ok(Step::Send(
                self.request(mint).key(mint, &KEY[0], "api-key", "")?,
            )),
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
        let mut body = json!({"session": session::build(&self.as_openai())});
        // Microsoft doesn't say whether it is heeded: only on the user's word.
        if !mint.expiration.is_zero() {
            let seconds = mint.expiration.as_secs();
            body["expires_after"] = json!({"anchor": "created_at", "seconds": seconds});
        }
        Request::post_json("/openai/v1/realtime/client_secrets", &body)
    }

    /// The same session at OpenAI.
    fn as_openai(&self) -> OpenAi {
        OpenAi {
            kind: crate::api::OpenAiKind::Realtime,
            model: self.deployment.clone(),
            session: self.session.clone(),
            safety_identifier: None,
            account: crate::api::OpenAiAccount::default(),
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
    let path = format!("/{}/oauth2/v2.0/token", entra.tenant_id);
    let origin = entra.authority.as_deref().unwrap_or(AUTHORITY);
    Ok(Request::post_form(path, &form).to(To::Service {
        title: "Microsoft Entra",
        origin: origin.to_owned(),
        built_in: origin == AUTHORITY,
    }))
}
