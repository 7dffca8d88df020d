use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

/// ElevenLabs agents. A signed URL must be opened within 15 minutes of being issued and serves any number of
/// sessions; a conversation token (WebRTC) serves one.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.participantName) || (has(self.kind) && self.kind == 'ConversationToken')")
    .message("elevenlabs.participantName belongs to kind ConversationToken"))]
pub struct ElevenLabs {
    /// `SignedUrl` for the WebSocket, `ConversationToken` for WebRTC.
    #[serde(default)]
    pub kind: ElevenLabsKind,
    /// The agent, `agent_…` or `seng_…`.
    #[schemars(length(min = 1, max = 128))]
    pub agent_id: String,
    /// Name of the participant (ConversationToken only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub participant_name: Option<String>,
    /// A branch of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub branch_id: Option<String>,
    /// A version of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version_id: Option<String>,
    /// The environment, `production` unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub environment: Option<String>,
    /// Published in the token's config for the client; not sent to ElevenLabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub voice: Option<String>,
    /// Published in the token's config for the client; not sent to ElevenLabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16384))]
    pub instructions: Option<String>,
    /// Published in the token's config for the client; not sent to ElevenLabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub first_message: Option<String>,
    /// Published in the token's config for the client; not sent to ElevenLabs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 16))]
    pub language: Option<String>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: ElevenLabsAccount,
}

impl SpecRules for ElevenLabs {
    const LIFETIME: Lifetime = Lifetime::Fixed { by: "ElevenLabs" };
}

/// The account side of ElevenLabs: where the key belongs, not what the token is for.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ElevenLabsAccount {
    /// Host of the API; the others than Global are residency hosts. Default: Global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<ElevenLabsRegion>,
    /// Another origin in place of the region's host. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}

/// The two kinds of agent token.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum ElevenLabsKind {
    #[default]
    SignedUrl,
    ConversationToken,
}

/// The API's hosts.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum ElevenLabsRegion {
    #[default]
    Global,
    US,
    EU,
    India,
    Singapore,
}
