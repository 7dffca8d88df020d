use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{account, regions, words};
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, RawObject, SecretField, rules};

/// AssemblyAI temporary tokens. Kind `Product` is the API of all products (`POST /v1/token` of `token.assemblyai.com`):
/// a token opens any number of sessions until it ends. The kinds `Streaming` (`GET /v3/token`) and `VoiceAgent`
/// (`GET /v1/token`) make tokens that start exactly one session, and so don't suit a shared Secret.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.product) == (has(self.kind) && self.kind == 'Product')").message(AssemblyAi::PRODUCT))]
#[x_kube(validation = Rule::new("!has(self.access) || (has(self.kind) && self.kind == 'Product')").message(AssemblyAi::ACCESS))]
#[x_kube(validation = Rule::new("!has(self.maxSessionDurationSeconds) || !has(self.kind) || self.kind != 'Product'").message(AssemblyAi::SESSION))]
pub struct AssemblyAi {
    /// What the token opens.
    #[serde(default)]
    pub kind: AssemblyAiKind,
    /// The product that the token is for, as AssemblyAI's reference names it (Product only, and required there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub product: Option<String>,
    /// What narrows the token, in AssemblyAI's own words (Product only). Left out, it opens every product of the
    /// account. At most 4 KiB as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub access: Option<RawObject>,
    /// How long the session may last, in seconds (not with Product). AssemblyAI's default is 10800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 10800))]
    pub max_session_duration_seconds: Option<i64>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: AssemblyAiAccount,
}

impl AssemblyAi {
    /// The message about `product`.
    pub(crate) const PRODUCT: &'static str = "assemblyai.product belongs to kind Product, which needs it";
    /// The message about `access`.
    pub(crate) const ACCESS: &'static str = "assemblyai.access belongs to kind Product";
    /// The message about `maxSessionDurationSeconds`.
    pub(crate) const SESSION: &'static str =
        "assemblyai.maxSessionDurationSeconds belongs to the kinds Streaming and VoiceAgent";
    /// The host of the voice agent's tokens, which has no regions.
    pub(crate) const VOICE_AGENT: &'static str = "https://agents.assemblyai.com";
    /// The message about a region that doesn't exist.
    pub const ONE_HOST: &'static str = "assemblyai.region: the voice agent has one host only; remove the region";
}

impl ProviderBlock for AssemblyAi {
    const FACTS: &'static Facts = &Facts {
        name: "assemblyai",
        title: "AssemblyAI",
        // Documented for Streaming and VoiceAgent. For Product https://www.assemblyai.com/docs/temporary-tokens asks for
        // a short life.
        lifetime: Lifetime::Chosen(Limits::new("AssemblyAI tokens", 1, 600)),
        secret_fields: &[SecretField::api_key("ASSEMBLYAI_API_KEY")],
        origins: &[
            AssemblyAiRegion::ORIGINS[0],
            AssemblyAiRegion::ORIGINS[1],
            AssemblyAiRegion::ORIGINS[2],
            AssemblyAiRegion::Default.token_origin(),
            AssemblyAiRegion::US.token_origin(),
            AssemblyAiRegion::EU.token_origin(),
            Self::VOICE_AGENT,
        ],
        fields: &[&[
            ("kind", FieldUse::Free),
            ("product", FieldUse::Free),
            ("access", FieldUse::FreeBelow),
            ("maxSessionDurationSeconds", FieldUse::Free),
        ]],
        ..Facts::DEFAULT
    };
    const RULES: &'static [(&'static str, &'static str)] = &[(
        "!has(self.assemblyai.kind) || self.assemblyai.kind != 'VoiceAgent' || !has(self.assemblyai.region)",
        Self::ONE_HOST,
    )];
}

account! {
    /// The account side of AssemblyAI.
    AssemblyAiAccount {
        /// The data zone, which must be that of the sessions. `Default` goes to the nearest host, whatever its zone.
        /// For the kind Streaming `EU` is not in AssemblyAI's reference.
        region: AssemblyAiRegion,
        /// Another origin in place of AssemblyAI's host. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}

words! {
    /// The kinds of token.
    AssemblyAiKind: Streaming VoiceAgent Product;
}

regions! {
    /// The hosts for streaming.
    AssemblyAiRegion:
        Default "https://streaming.assemblyai.com",
        US "https://streaming.us.assemblyai.com",
        EU "https://streaming.eu.assemblyai.com"
}

impl AssemblyAiRegion {
    /// The host of the API of all products.
    pub(crate) const fn token_origin(self) -> &'static str {
        match self {
            Self::Default => "https://token.assemblyai.com",
            Self::US => "https://token.us.assemblyai.com",
            Self::EU => "https://token.eu.assemblyai.com",
        }
    }
}
