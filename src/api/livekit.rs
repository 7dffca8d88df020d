use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::OF_ROOMS;
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, RawObject, SecretField, rules};

/// LiveKit access tokens, signed in the operator with the API secret; LiveKit is not asked. They may be used any number
/// of times until they expire, but two participants of one identity push each other out of a room.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LiveKit {
    /// Who joins. Required to join a room. The subject of a request takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub identity: Option<String>,
    /// The participant's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub name: Option<String>,
    /// The participant's metadata.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub metadata: Option<String>,
    /// The participant's attributes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "attributes")]
    pub attributes: Option<BTreeMap<String, String>>,
    /// The kind of participant: `standard`, `egress`, `ingress`, `sip` or `agent`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self in ['standard', 'egress', 'ingress', 'sip', 'agent']").message("livekit.kind: standard, egress, ingress, sip or agent"))]
    pub kind: Option<String>,
    /// The video grant in LiveKit's own words: `roomJoin`, `room`, `canPublish` and so on. To join, it names the room.
    /// The grants together have at most 16 KiB as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub video: Option<RawObject>,
    /// The SIP grant: `admin`, `call`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub sip: Option<RawObject>,
    /// The inference grant: `perform`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub inference: Option<RawObject>,
    /// The agent grant: `admin`, `simulationAdmin` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub agent: Option<RawObject>,
    /// The observability grant: `write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub observability: Option<RawObject>,
    /// The agent endpoint grant: the HTTP endpoints of agents that aren't public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_endpoint: Option<LiveKitAgentEndpoint>,
    /// The agent thread grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_thread: Option<LiveKitAgentThread>,
    /// The name of a preset of LiveKit Cloud for the room that the token creates. What `roomConfig` sets goes before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub room_preset: Option<String>,
    /// The SHA-256 of a message that the token vouches for, as LiveKit's webhooks have it: in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 88))]
    pub sha256: Option<String>,
    /// The configuration of the room that the token creates. Storage credentials in its `egress` are refused: who holds
    /// the token can read them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub room_config: Option<RawObject>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: LiveKitAccount,
}

impl ProviderBlock for LiveKit {
    const FACTS: &'static Facts = &Facts {
        name: "livekit",
        title: "LiveKit",
        lifetime: Lifetime::Chosen(Limits::new("LiveKit tokens", 60, 86_400)),
        secret_fields: &[
            SecretField::named("LIVEKIT_API_SECRET"),
            SecretField::named("LIVEKIT_API_KEY"),
        ],
        fields: &[&[
            ("identity", FieldUse::Identity),
            ("name", FieldUse::Free),
            ("metadata", FieldUse::Free),
            ("attributes", FieldUse::FreeBelow),
            (
                "kind",
                FieldUse::Only(
                    &["standard"],
                    "other participants are the server's own, which clients treat otherwise",
                ),
            ),
            ("video.room", FieldUse::Room),
            ("video.roomJoin", FieldUse::Free),
            ("video.roomAdmin", FieldUse::Free),
            ("video.canPublish", FieldUse::Free),
            ("video.canSubscribe", FieldUse::Free),
            ("video.canPublishData", FieldUse::Free),
            ("video.canPublishSources", FieldUse::Free),
            ("video.canUpdateOwnMetadata", FieldUse::Free),
            ("video.canSubscribeMetrics", FieldUse::Free),
            ("video.hidden", FieldUse::Free),
            ("video.roomCreate", FieldUse::Guarded("it reaches beyond the room")),
            ("video.roomList", FieldUse::Guarded("it reaches beyond the room")),
            ("video.roomRecord", FieldUse::Guarded("it reaches beyond the room")),
            ("video.ingressAdmin", FieldUse::Guarded("it reaches beyond the room")),
            ("video.recorder", FieldUse::Guarded("it reaches beyond the room")),
            ("video.agent", FieldUse::Guarded("it reaches beyond the room")),
            (
                "video.canManageAgentSession",
                FieldUse::Guarded("it reaches beyond the room"),
            ),
            ("video.destinationRoom", FieldUse::Guarded("it reaches beyond the room")),
            ("sip", FieldUse::Guarded("calls cost, and are the project's")),
            ("inference", FieldUse::Guarded("models cost")),
            ("agent", FieldUse::Guarded("it administers the agents of the project")),
            (
                "observability",
                FieldUse::Guarded("it writes into the project's records"),
            ),
            ("agentEndpoint", FieldUse::Guarded("it calls agents of the project")),
            ("agentThread", FieldUse::Guarded("threads of agents are the project's")),
            (
                "sha256",
                FieldUse::Guarded("a server that receives LiveKit's webhooks would take the message for LiveKit's"),
            ),
            (
                "roomPreset",
                FieldUse::Guarded("a preset can start agents and recordings"),
            ),
            ("roomConfig.emptyTimeout", FieldUse::Free),
            ("roomConfig.departureTimeout", FieldUse::Free),
            ("roomConfig.maxParticipants", FieldUse::Free),
            ("roomConfig.metadata", FieldUse::Free),
            (
                "roomConfig.egress",
                FieldUse::Guarded("recordings and streams cost, and go where the spec says"),
            ),
            ("roomConfig.agents", FieldUse::Guarded("agents cost")),
        ]],
        subject: Some("`identity`"),
        ..Facts::DEFAULT
    };
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[OF_ROOMS];

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        self.identity = Some(subject.to_owned());
        Ok(())
    }
}

/// Which endpoints of agents may be called.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LiveKitAgentEndpoint {
    /// Whether they may be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<bool>,
    /// The agent. Left out, the grant is for every agent of the project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub agent_name: Option<String>,
    /// The deployment. Left out, the grant is for every deployment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub deployment: Option<String>,
}

/// What may be done with which threads of agents.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LiveKitAgentThread {
    /// Every thread and scope of the project; what may be done is still said by the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub all: Option<bool>,
    /// The scope in which threads may be listed and created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub scope: Option<String>,
    /// The threads that may be read, written and deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "thread_ids")]
    pub thread_ids: Option<Vec<String>>,
    /// Whether threads may be listed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub list: Option<bool>,
    /// Whether threads may be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub create: Option<bool>,
    /// Whether threads may be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub write: Option<bool>,
    /// Whether threads may be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<bool>,
    /// Whether threads may be deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<bool>,
}

/// The account side of LiveKit.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LiveKitAccount {
    /// The server's URL, such as `wss://example.livekit.cloud`; published as `url` in the Secret. Nothing is sent there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::SERVER).message(rules::SERVER_MESSAGE))]
    pub url: Option<String>,
}

fn attributes(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 1024}})
}

fn thread_ids(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": "array", "maxItems": 64, "items": {"type": "string", "minLength": 1, "maxLength": 256}})
}
