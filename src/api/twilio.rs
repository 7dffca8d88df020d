use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::OF_ROOMS;
use super::subject::SubjectField;
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, RawObject, SecretField, rules};

/// Twilio AccessTokens, signed in the operator with the secret of a Main or Standard API key; Twilio is not asked. They
/// may be used any number of times until they expire, at most 24 hours.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.voice) || has(self.video) || has(self.chat) || has(self.dataSync) || has(self.taskRouter) || has(self.player)")
    .message("twilio: set at least one grant: voice, video, chat, dataSync, taskRouter or player"))]
#[x_kube(validation = Rule::new("!has(self.voice) || self.identity.matches('^[^[:cntrl:] \"#%<>\\\\[\\\\]\\\\\\\\^`{|}]+$')")
    .message(Twilio::VOICE_IDENTITY))]
pub struct Twilio {
    /// Who the token is for. With `voice` it has no spaces, no control characters and none of `"#%<>[]\^{|}` and the
    /// backtick. The subject of a request takes its place.
    #[schemars(length(min = 1, max = 121))]
    pub identity: String,
    /// Programmable Voice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voice: Option<TwilioVoice>,
    /// Programmable Video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<TwilioVideo>,
    /// Conversations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<TwilioChat>,
    /// Sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sync: Option<TwilioSync>,
    /// TaskRouter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_router: Option<TwilioTaskRouter>,
    /// Live playback: the grant that Twilio's API handed out, passed on. At most 4 KiB as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub player: Option<RawObject>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: TwilioAccount,
}

impl Twilio {
    /// What Twilio's Voice SDK refuses beside control characters: https://www.twilio.com/docs/api/errors/31105 in the words
    /// of RFC 2396, space, delims and unwise.
    pub(crate) const VOICE_REFUSES: &'static str = " \"#%<>[]\\^`{|}";
    /// The message about a name that the Voice SDK refuses.
    pub(crate) const VOICE_IDENTITY: &'static str = "twilio.identity: with voice Twilio takes no spaces, no control characters and none of \"#%<>[]\\^`{|} in \
         the name of a client (error 31105)";
}

impl ProviderBlock for Twilio {
    const FACTS: &'static Facts = &Facts {
        name: "twilio",
        title: "Twilio",
        lifetime: Lifetime::Chosen(Limits::new("Twilio AccessTokens", 60, 86_400)),
        secret_fields: &[
            SecretField::named("TWILIO_API_SECRET"),
            SecretField::named("TWILIO_API_KEY"),
            SecretField::named("TWILIO_ACCOUNT_SID"),
        ],
        fields: &[&[
            ("identity", FieldUse::Identity),
            ("video", FieldUse::Free),
            ("video.room", FieldUse::Room),
            ("voice", FieldUse::Guarded("calls cost, and are the account's")),
            ("chat", FieldUse::Guarded("conversations are the account's")),
            ("dataSync", FieldUse::Guarded("its documents are the account's")),
            (
                "taskRouter",
                FieldUse::Guarded("its workers and tasks are the account's"),
            ),
            ("player", FieldUse::Guarded("it is another token of the account")),
        ]],
        subject: Some("`identity`, at most 121 characters"),
        ..Facts::DEFAULT
    };
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[OF_ROOMS];

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        let refused = match self.voice {
            Some(_) => Self::VOICE_REFUSES,
            None => "",
        };
        let field = SubjectField {
            field: "twilio.identity",
            longest: 121,
            refused,
        };
        self.identity = field.admit(subject)?;
        Ok(())
    }
}

/// Programmable Voice.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!has(self.outgoingApplicationParams) || has(self.outgoingApplicationSid)")
    .message("twilio.voice.outgoingApplicationParams go to the application: set outgoingApplicationSid"))]
pub struct TwilioVoice {
    /// Whether calls may come in.
    #[serde(default)]
    pub incoming_allow: bool,
    /// The TwiML application of outgoing calls, `AP…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 34, max = 34))]
    pub outgoing_application_sid: Option<String>,
    /// Parameters for that application. At most 4 KiB as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub outgoing_application_params: Option<RawObject>,
    /// The push credential, `CR…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 34, max = 34))]
    pub push_credential_sid: Option<String>,
    /// The endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub endpoint_id: Option<String>,
}

/// Programmable Video.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TwilioVideo {
    /// The one room that may be joined. Left out: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub room: Option<String>,
}

/// Conversations.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TwilioChat {
    /// The service, `IS…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 34, max = 34))]
    pub service_sid: Option<String>,
    /// The endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub endpoint_id: Option<String>,
    /// The deployment role, `RL…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 34, max = 34))]
    pub deployment_role_sid: Option<String>,
    /// The push credential, `CR…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 34, max = 34))]
    pub push_credential_sid: Option<String>,
}

/// Sync.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TwilioSync {
    /// The service, `IS…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 34, max = 34))]
    pub service_sid: Option<String>,
    /// The endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub endpoint_id: Option<String>,
}

/// TaskRouter.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TwilioTaskRouter {
    /// The workspace, `WS…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 34, max = 34))]
    pub workspace_sid: Option<String>,
    /// The worker, `WK…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 34, max = 34))]
    pub worker_sid: Option<String>,
    /// The role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub role: Option<String>,
}

/// The account side of Twilio. Account, key and secret are in the key Secret.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TwilioAccount {
    /// The region in which the token is used, such as `ie1`. Default: Twilio's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]+$')").message("twilio.region: small letters and digits, such as us1, ie1 or au1"))]
    pub region: Option<String>,
}
