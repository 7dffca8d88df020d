use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{regions, words};
use super::subject::SubjectField;
use super::{Facts, FieldUse, FieldUses, Lifetime, Limits, ProviderBlock, RawObject, SecretField, rules};

/// OpenAI Realtime client secrets (`POST /v1/realtime/client_secrets`). OpenAI's reference says that one starts any
/// number of sessions until it expires; since about August 2026 several projects report that the
/// second session is refused, so it counts as good for one unless `reuse` says otherwise.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!self.model.matches('^gpt-live(-|$)') || \
     (has(self.kind) && self.kind == 'Transcription' && self.model.startsWith('gpt-live-transcribe'))")
    .message(OpenAi::LIVE))]
pub struct OpenAi {
    /// Which kind of session the token opens.
    #[serde(default)]
    pub kind: OpenAiKind,
    /// The model, for example `gpt-realtime-2.1`, `gpt-live-transcribe` or `gpt-realtime-translate`. Other models of the
    /// Live family (`gpt-live-…`) have no client secrets.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,
    /// The session's configuration, passed through to OpenAI: `instructions`, `audio`, `tools` and so on. At most
    /// 48 KiB as JSON. `type` and `model` are filled in. `authorization` and `headers` of tools are refused: what a
    /// client secret carries, its holder can read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub session: Option<RawObject>,
    /// Sent as `OpenAI-Safety-Identifier`: a stable identifier of the end user that reveals nothing about them. The
    /// subject of a request takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(rules::HEADER).message(rules::HEADER_MESSAGE))]
    pub safety_identifier: Option<String>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: OpenAiAccount,
}

impl OpenAi {
    /// How long client secrets live, at OpenAI and at Azure OpenAI.
    pub(crate) const LIMITS: Limits = Limits::new("OpenAI client secrets", 10, 7200);
    /// What the fields of a session mean to a policy, at OpenAI and at Azure OpenAI:
    /// https://platform.openai.com/docs/api-reference/realtime-sessions/create-realtime-client-secret
    pub(crate) const SESSION: FieldUses = &[
        ("session.type", FieldUse::Free),
        ("session.model", FieldUse::Model),
        ("session.instructions", FieldUse::Free),
        ("session.audio.input.format", FieldUse::FreeBelow),
        ("session.audio.input.noise_reduction", FieldUse::FreeBelow),
        ("session.audio.input.transcription.model", FieldUse::Model),
        ("session.audio.input.transcription.language", FieldUse::Free),
        ("session.audio.input.transcription.prompt", FieldUse::Free),
        ("session.audio.input.turn_detection", FieldUse::FreeBelow),
        ("session.audio.output.format", FieldUse::FreeBelow),
        ("session.audio.output.voice", FieldUse::Free),
        ("session.audio.output.speed", FieldUse::Free),
        ("session.audio.output.language", FieldUse::Free),
        ("session.include", FieldUse::Free),
        ("session.max_output_tokens", FieldUse::Free),
        ("session.output_modalities", FieldUse::Free),
        ("session.parallel_tool_calls", FieldUse::Free),
        ("session.reasoning", FieldUse::FreeBelow),
        ("session.truncation", FieldUse::FreeBelow),
        ("session.tool_choice", FieldUse::FreeBelow),
        (
            "session.tools.type",
            FieldUse::Only(
                &["function"],
                "the provider itself connects to tools of other types, such as MCP servers",
            ),
        ),
        ("session.tools.name", FieldUse::Free),
        ("session.tools.description", FieldUse::Free),
        ("session.tools.parameters", FieldUse::FreeBelow),
        (
            "session.prompt",
            FieldUse::Guarded("a prompt that is stored in the account may bring tools and settings of its own"),
        ),
        (
            "session.tracing",
            FieldUse::Guarded("traces are stored in the account, where others read them"),
        ),
    ];
    /// The message about a model of the Live family.
    pub(crate) const LIVE: &'static str = "openai.model: models of the Live family (gpt-live-…) have no client secrets; OpenAI serves them at \
         /v1/live/sessions, asked with the API key. Choose a model of the Realtime API, such as gpt-realtime-2.1; \
         gpt-live-transcribe goes with kind Transcription";
}

impl ProviderBlock for OpenAi {
    const FACTS: &'static Facts = &Facts {
        name: "openai",
        title: "OpenAI",
        lifetime: Lifetime::Chosen(Self::LIMITS),
        secret_fields: &[SecretField::api_key("OPENAI_API_KEY")],
        origins: OpenAiRegion::ORIGINS,
        secret_prefixes: &["sk-", "sk_", "ek-", "ek_"],
        config_has_model: true,
        exchanges: &["openai"],
        fields: &[
            &[
                ("kind", FieldUse::Free),
                ("model", FieldUse::Model),
                ("safetyIdentifier", FieldUse::Identity),
            ],
            Self::SESSION,
        ],
        subject: Some("`safetyIdentifier`, at most 64 characters"),
        ..Facts::DEFAULT
    };

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        let field = SubjectField {
            field: "openai.safetyIdentifier",
            longest: 64,
            refused: "",
        };
        self.safety_identifier = Some(field.admit(subject)?);
        Ok(())
    }
}

/// The account side of OpenAI: where the key belongs, not what the token is for.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct OpenAiAccount {
    /// Host of the API. Realtime is served globally and in the regions US and EU. Default: Global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<OpenAiRegion>,
    /// Sent as `OpenAI-Organization`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(rules::HEADER).message(rules::HEADER_MESSAGE))]
    pub organization: Option<String>,
    /// Sent as `OpenAI-Project`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(rules::HEADER).message(rules::HEADER_MESSAGE))]
    pub project: Option<String>,
    /// How many sessions a client secret starts: `Single`, or `Multiple` where you know that your account or gateway
    /// lets it start several. With `Single` the RealtimeToken says in its conditions that it doesn't suit a shared
    /// Secret. Nothing is sent. Default: Single.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<OpenAiReuse>,
    /// Another origin in place of the region's host, such as `https://gateway.example.com`. Works only if the
    /// operator was started with it in `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::origin")]
    pub endpoint: Option<String>,
}

words! {
    /// The three kinds of client secret.
    OpenAiKind: Realtime Transcription Translation;
    /// How many sessions a client secret starts.
    OpenAiReuse: Single Multiple;
}

// OpenAI's SDK knows more regions; their hosts don't serve Realtime.
regions! {
    /// The hosts that serve Realtime.
    OpenAiRegion:
        Global "https://api.openai.com",
        US "https://us.api.openai.com",
        EU "https://eu.api.openai.com"
}
