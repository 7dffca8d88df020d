use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::shapes::account;
use super::{DEFAULT_EXPIRATION, Facts, FieldUse, Lifetime, Limits, ProviderBlock, RawObject, SecretField, rules};

// Macros, since `concat!` takes no constants.
macro_rules! furthest {
    () => {
        71700
    };
}
macro_rules! session_seconds {
    () => {
        1800
    };
}

/// Gemini Live tokens (`POST /v1alpha/auth_tokens` of the Gemini Developer API; Vertex AI has none). The token starts
/// sessions for `expirationSeconds`; a session that has started goes on for `sessionSeconds` after that. Google wants
/// both ends less than 20 hours ahead.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.fieldMask) || self.fieldMask.all(f, f.matches('^[A-Za-z0-9_.]+$'))")
    .message("gemini.fieldMask: the names of fields, such as model or generationConfig.temperature"))]
pub struct Gemini {
    /// The model, without `models/`, such as `gemini-3.8-live`. Left out: the token serves every Live model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("!self.startsWith('models/')").message("gemini.model: the model's name without models/"))]
    pub model: Option<String>,
    /// The session's setup, passed through to Google as `bidiGenerateContentSetup`: `generationConfig`,
    /// `systemInstruction`, `tools` and so on. At most 48 KiB as JSON; `model` is filled in. All that the setup says
    /// or leaves to the default is then locked for the client, unless `fieldMask` says otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub setup: Option<RawObject>,
    /// Locks only these fields of the setup, such as `model` and `generationConfig.temperature`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    pub field_mask: Option<Vec<String>>,
    /// How many sessions one token starts; 0, the default, is no limit. With a limit the token doesn't suit a shared
    /// Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000000))]
    pub uses: Option<i64>,
    /// How long after the last moment to start a session its messages are still accepted, in seconds. Default 1800.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 71640))]
    pub session_seconds: Option<i64>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: GeminiAccount,
}

impl Gemini {
    /// Both ends lie less than 20 hours ahead; five minutes are left to clocks that disagree.
    pub const FURTHEST: i64 = furthest!();
    /// The default of `sessionSeconds`, which is Google's default for a session's messages.
    pub const SESSION_SECONDS: i64 = session_seconds!();
    /// The message about an end that lies too far ahead.
    pub const TOO_FAR: &'static str = concat!(
        "gemini: expirationSeconds and sessionSeconds (each ",
        session_seconds!(),
        " unless set) together are at most ",
        furthest!(),
        ", since Google takes less than 20 hours"
    );
}

// The message names one default for both.
const _: () = assert!(Gemini::SESSION_SECONDS == DEFAULT_EXPIRATION);

impl ProviderBlock for Gemini {
    const FACTS: &'static Facts = &Facts {
        name: "gemini",
        title: "Gemini",
        lifetime: Lifetime::Chosen(Limits::new("Gemini tokens", 60, 68_400)),
        secret_fields: &[SecretField::api_key("GEMINI_API_KEY")],
        origins: &["https://generativelanguage.googleapis.com"],
        secret_prefixes: &["aiza", "auth_tokens/"],
        config_has_model: true,
        documents_reuse: true,
        wrong_key_is_400: true,
        exchanges: &[],
        // https://ai.google.dev/api/live#BidiGenerateContentSetup. Tools but functions run at Google.
        fields: &[&[
            ("model", FieldUse::Model),
            (
                "fieldMask",
                FieldUse::Guarded("what it leaves out is the client's to choose"),
            ),
            ("uses", FieldUse::Free),
            ("sessionSeconds", FieldUse::Free),
            ("setup.generationConfig.candidateCount", FieldUse::Free),
            ("setup.generationConfig.maxOutputTokens", FieldUse::Free),
            ("setup.generationConfig.temperature", FieldUse::Free),
            ("setup.generationConfig.topP", FieldUse::Free),
            ("setup.generationConfig.topK", FieldUse::Free),
            ("setup.generationConfig.presencePenalty", FieldUse::Free),
            ("setup.generationConfig.frequencyPenalty", FieldUse::Free),
            ("setup.generationConfig.seed", FieldUse::Free),
            ("setup.generationConfig.responseModalities", FieldUse::Free),
            ("setup.generationConfig.mediaResolution", FieldUse::Free),
            ("setup.generationConfig.thinkingConfig", FieldUse::FreeBelow),
            ("setup.generationConfig.enableAffectiveDialog", FieldUse::Free),
            ("setup.generationConfig.speechConfig.languageCode", FieldUse::Free),
            (
                "setup.generationConfig.speechConfig.voiceConfig.prebuiltVoiceConfig",
                FieldUse::FreeBelow,
            ),
            ("setup.systemInstruction.role", FieldUse::Free),
            ("setup.systemInstruction.parts.text", FieldUse::Free),
            ("setup.tools.functionDeclarations", FieldUse::FreeBelow),
            ("setup.realtimeInputConfig", FieldUse::FreeBelow),
            ("setup.sessionResumption", FieldUse::FreeBelow),
            ("setup.contextWindowCompression", FieldUse::FreeBelow),
            ("setup.inputAudioTranscription", FieldUse::FreeBelow),
            ("setup.outputAudioTranscription", FieldUse::FreeBelow),
            ("setup.proactivity", FieldUse::FreeBelow),
        ]],
        subject: None,
    };
    const RULES: &'static [(&'static str, &'static str)] = &[(
        concat!(
            "(has(self.expirationSeconds) ? self.expirationSeconds : ",
            session_seconds!(),
            ") + (has(self.gemini.sessionSeconds) ? self.gemini.sessionSeconds : ",
            session_seconds!(),
            ") <= ",
            furthest!()
        ),
        Self::TOO_FAR,
    )];

    fn further_seconds(&self) -> i64 {
        self.session_seconds.unwrap_or(Self::SESSION_SECONDS)
    }
}

account! {
    /// The account side of Gemini.
    GeminiAccount {
        /// Another origin in place of `https://generativelanguage.googleapis.com`. Works only if the operator was started
        /// with it in `--allow-endpoint`.
        endpoint
    }
}
