use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{account, regions, words};
use super::{Facts, FieldUse, Lifetime, ProviderBlock, SecretField};

/// ElevenLabs: agents, and single-use tokens for speech. A signed URL of an agent must be opened within 15 minutes of
/// being issued and serves any number of sessions; a conversation token (WebRTC) serves one. The kinds RealtimeScribe,
/// BatchScribe and TtsWebsocket are single-use tokens (`POST /v1/single-use-token/…`): each ends after 15 minutes, or
/// when it is used.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.participantName) || (has(self.kind) && self.kind == 'ConversationToken')")
    .message("elevenlabs.participantName belongs to kind ConversationToken"))]
#[x_kube(validation = Rule::new("has(self.agentId) == (!has(self.kind) || self.kind in ['SignedUrl', 'ConversationToken'])")
    .message(ElevenLabs::AGENT))]
#[x_kube(validation = Rule::new("!has(self.kind) || self.kind in ['SignedUrl', 'ConversationToken'] || \
     !(has(self.branchId) || has(self.versionId) || has(self.environment) || has(self.voice) || \
     has(self.instructions) || has(self.firstMessage) || has(self.language))")
    .message(ElevenLabs::OF_AGENTS))]
pub struct ElevenLabs {
    /// An agent by `SignedUrl` for the WebSocket or `ConversationToken` for WebRTC; or speech, where a token serves one
    /// use: `RealtimeScribe` and `BatchScribe` for transcription, `TtsWebsocket` for synthesis.
    #[serde(default)]
    pub kind: ElevenLabsKind,
    /// The agent, `agent_…` or `seng_…` (SignedUrl and ConversationToken only, and required there).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub agent_id: Option<String>,
    /// Name of the participant (ConversationToken only). The subject of a request takes its place.
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

impl ElevenLabs {
    /// The message about `agentId`.
    pub(crate) const AGENT: &'static str =
        "elevenlabs.agentId belongs to the kinds SignedUrl and ConversationToken, which need it";
    /// The message about what else belongs to agents.
    pub(crate) const OF_AGENTS: &'static str = "elevenlabs: branchId, versionId, environment, voice, instructions, \
         firstMessage and language are of an agent; the kinds RealtimeScribe, BatchScribe and TtsWebsocket have none";
}

impl ProviderBlock for ElevenLabs {
    const FACTS: &'static Facts = &Facts {
        name: "elevenlabs",
        title: "ElevenLabs",
        // How long a signed URL can start a conversation, and how long a single-use token lives, by documentation.
        // TanStack AI says 30 minutes.
        lifetime: Lifetime::Fixed(900),
        secret_fields: &[SecretField::api_key("ELEVENLABS_API_KEY")],
        origins: ElevenLabsRegion::ORIGINS,
        secret_prefixes: &["sk_", "xi-", "xi_", "cvtkn_", "sutkn_"],
        fields: &[&[
            ("kind", FieldUse::Free),
            ("agentId", FieldUse::Model),
            ("participantName", FieldUse::Identity),
            ("branchId", FieldUse::Free),
            ("versionId", FieldUse::Free),
            ("environment", FieldUse::Free),
            ("voice", FieldUse::Free),
            ("instructions", FieldUse::Free),
            ("firstMessage", FieldUse::Free),
            ("language", FieldUse::Free),
        ]],
        subject: Some("`participantName` of kind `ConversationToken`; the other kinds have no place for it"),
        ..Facts::DEFAULT
    };

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        // At most 128 characters, as a subject.
        if self.kind == ElevenLabsKind::ConversationToken {
            self.participant_name = Some(subject.to_owned());
        }
        Ok(())
    }

    fn lifetime(&self) -> Lifetime {
        match self.kind {
            ElevenLabsKind::ConversationToken => Lifetime::Stated,
            _ => Self::FACTS.lifetime,
        }
    }
}

account! {
    /// The account side of ElevenLabs: where the key belongs, not what the token is for.
    ElevenLabsAccount {
        /// Host of the API; the others than Global are residency hosts. Default: Global.
        region: ElevenLabsRegion,
        /// Another origin in place of the region's host. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}

words! {
    /// The kinds of token.
    ElevenLabsKind: SignedUrl ConversationToken RealtimeScribe BatchScribe TtsWebsocket;
}

// Singapore, India and the EU are residency hosts; `api.eu.elevenlabs.io` is not a name of theirs.
regions! {
    /// The API's hosts.
    ElevenLabsRegion:
        Global "https://api.elevenlabs.io",
        US "https://api.us.elevenlabs.io",
        EU "https://api.eu.residency.elevenlabs.io",
        India "https://api.in.residency.elevenlabs.io",
        Singapore "https://api.sg.residency.elevenlabs.io"
}
