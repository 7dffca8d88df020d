use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

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
    /// What is said of a region that there is not.
    pub const ONE_HOST: &'static str = "assemblyai.region: the voice agent has one host only; remove the region";
}

impl SpecRules for AssemblyAi {
    const LIFETIME: Lifetime = Lifetime::Chosen {
        of: "AssemblyAI tokens",
        min: 1,
        max: 600,
    };
    const RULES: &'static [(&'static str, &'static str)] = &[(
        "!has(self.assemblyai.kind) || self.assemblyai.kind != 'VoiceAgent' || !has(self.assemblyai.region)",
        Self::ONE_HOST,
    )];
}

/// The account side of AssemblyAI.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AssemblyAiAccount {
    /// Host for streaming. `Default` goes to the nearest one. `EU` is not in AssemblyAI's reference of this call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<AssemblyAiRegion>,
    /// Another origin in place of AssemblyAI's host. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}

/// The two kinds of token.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum AssemblyAiKind {
    #[default]
    Streaming,
    VoiceAgent,
}

/// The hosts for streaming.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum AssemblyAiRegion {
    #[default]
    Default,
    US,
    EU,
}
