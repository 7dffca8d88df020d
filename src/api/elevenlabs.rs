use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{account, regions, words};
use super::{Facts, Lifetime, ProviderBlock, SecretField};

/// ElevenLabs agents. A signed URL must be opened within 15 minutes of being issued and serves any number of
/// sessions; a conversation token (WebRTC) serves one.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
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

impl ProviderBlock for ElevenLabs {
    const FACTS: &'static Facts = &Facts {
        name: "elevenlabs",
        title: "ElevenLabs",
        // How long a signed URL can start a conversation, by documentation. TanStack AI says 30 minutes.
        lifetime: Lifetime::Fixed(900),
        secret_fields: &[SecretField::api_key("ELEVENLABS_API_KEY")],
        origins: ElevenLabsRegion::ORIGINS,
        secret_prefixes: &["sk_", "xi-", "xi_", "cvtkn_", "sutkn_"],
        ..Facts::DEFAULT
    };

    fn lifetime(&self) -> Lifetime {
        match self.kind {
            ElevenLabsKind::SignedUrl => Self::FACTS.lifetime,
            ElevenLabsKind::ConversationToken => Lifetime::Stated,
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
    /// The two kinds of agent token.
    ElevenLabsKind: SignedUrl ConversationToken;
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
