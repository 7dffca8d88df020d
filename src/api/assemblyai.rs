use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{account, regions, words};
use super::{Facts, Lifetime, Limits, ProviderBlock, SecretField};

/// AssemblyAI temporary tokens, for streaming (`GET /v3/token`) or the voice agent (`GET /v1/token`). A token starts
/// exactly one session, within 1 to 600 seconds, and so doesn't suit a shared Secret.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AssemblyAi {
    /// What the token opens.
    #[serde(default)]
    pub kind: AssemblyAiKind,
    /// How long the session may last, in seconds. AssemblyAI's default is 10800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 10800))]
    pub max_session_duration_seconds: Option<i64>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: AssemblyAiAccount,
}

impl AssemblyAi {
    /// The host of the voice agent's tokens, which has no regions.
    pub(crate) const VOICE_AGENT: &'static str = "https://agents.assemblyai.com";
    /// The message about a region that doesn't exist.
    pub const ONE_HOST: &'static str = "assemblyai.region: the voice agent has one host only; remove the region";
}

impl ProviderBlock for AssemblyAi {
    const FACTS: &'static Facts = &Facts {
        name: "assemblyai",
        title: "AssemblyAI",
        lifetime: Lifetime::Chosen(Limits::new("AssemblyAI tokens", 1, 600)),
        secret_fields: &[SecretField::api_key("ASSEMBLYAI_API_KEY")],
        origins: &[
            AssemblyAiRegion::ORIGINS[0],
            AssemblyAiRegion::ORIGINS[1],
            AssemblyAiRegion::ORIGINS[2],
            Self::VOICE_AGENT,
        ],
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
        /// Host for streaming. `Default` goes to the nearest one. `EU` is not in AssemblyAI's reference of this call.
        region: AssemblyAiRegion,
        /// Another origin in place of AssemblyAI's host. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}

words! {
    /// The two kinds of token.
    AssemblyAiKind: Streaming VoiceAgent;
}

regions! {
    /// The hosts for streaming.
    AssemblyAiRegion:
        Default "https://streaming.assemblyai.com",
        US "https://streaming.us.assemblyai.com",
        EU "https://streaming.eu.assemblyai.com"
}
