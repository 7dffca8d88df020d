use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::account;
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, SecretField};

/// xAI Grok voice client secrets (`POST /v1/realtime/client_secrets`). xAI's documentation doesn't say how
/// often one may be used: any number of times until it expires, as far as known.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.model) || !has(self.session) || !has(self.session.model) || self.model == self.session.model")
    .message("xai.model and xai.session.model differ: a client connects with the one, xAI would be told the other"))]
pub struct Xai {
    /// The model that the client names as it connects (`wss://api.x.ai/v1/realtime?model=`), such as
    /// `grok-voice-latest`. Published in the token's config; not sent, and the token isn't bound to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,
    /// A session to store with the secret. xAI's reference has it and xAI's guide says it isn't supported, so it is
    /// sent only if it is set here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<XaiSession>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: XaiAccount,
}

impl ProviderBlock for Xai {
    const FACTS: &'static Facts = &Facts {
        // TanStack's name for it.
        name: "grok",
        title: "xAI",
        lifetime: Lifetime::Chosen(Limits::new("xAI client secrets", 1, 3600)),
        secret_fields: &[SecretField::api_key("XAI_API_KEY")],
        origins: &["https://api.x.ai"],
        secret_prefixes: &["xai-"],
        config_has_model: true,
        documents_reuse: false,
        wrong_key_is_400: true,
        exchanges: &[],
        fields: &[&[
            ("model", FieldUse::Model),
            ("session.model", FieldUse::Model),
            ("session.reasoning", FieldUse::FreeBelow),
        ]],
        subject: None,
    };
}

/// What xAI's reference lets a session say.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct XaiSession {
    /// The model, such as `grok-voice-think-fast-2.0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub model: Option<String>,
    /// How much the model thinks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<XaiReasoning>,
}

/// How much the model thinks.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct XaiReasoning {
    /// `high` or `none`; xAI's default is `high`.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self in ['high', 'none']").message("xai.session.reasoning.effort: high or none"))]
    pub effort: String,
}

account! {
    /// The account side of xAI.
    XaiAccount {
        /// Another origin in place of `https://api.x.ai`. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}
