use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::OF_ROOMS;
use super::shapes::words;
use super::subject::SubjectField;
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, RawObject, SecretField, rules};

/// Daily meeting tokens for one room, from Daily (`POST /v1/meeting-tokens`) or, with `domainId`, signed in the
/// operator. They may be used any number of times until they expire. Daily's own default is a token for every room that
/// never expires; these always have both a room and an end.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Daily {
    /// The room.
    #[schemars(length(min = 1, max = 128))]
    pub room_name: String,
    /// The name that others see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub user_name: Option<String>,
    /// The user's id in Daily's logs. The subject of a request takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 36))]
    pub user_id: Option<String>,
    /// Whether the holder owns the meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_owner: Option<bool>,
    /// When the holder may join at the earliest, as RFC 3339, such as `2026-12-01T09:00:00Z`. Sent as `nbf`. A token that
    /// would end before then is not minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::instant")]
    pub not_before: Option<String>,
    /// Put participants out when the token ends. Every token ends here, also one that was renewed in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eject_at_token_exp: Option<bool>,
    /// Put a participant out after so many seconds in the meeting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub eject_after_elapsed_seconds: Option<i64>,
    /// Whether the screen may be shared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_screenshare: Option<bool>,
    /// Join with the camera off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_video_off: Option<bool>,
    /// Join with the microphone off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_audio_off: Option<bool>,
    /// Record in the cloud as soon as the holder joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_cloud_recording: Option<bool>,
    /// What the holder may record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_recording: Option<DailyRecording>,
    /// Permissions in Daily's own words. At most 4 KiB as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub permissions: Option<RawObject>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: DailyAccount,
}

impl ProviderBlock for Daily {
    const FACTS: &'static Facts = &Facts {
        name: "daily",
        title: "Daily",
        lifetime: Lifetime::Chosen(Limits::new("Daily meeting tokens", 60, 86_400)),
        secret_fields: &[SecretField::api_key("DAILY_API_KEY")],
        origins: &["https://api.daily.co"],
        fields: &[&[
            ("roomName", FieldUse::Room),
            ("userName", FieldUse::Free),
            ("userId", FieldUse::Identity),
            ("isOwner", FieldUse::Free),
            ("notBefore", FieldUse::Free),
            ("ejectAtTokenExp", FieldUse::Free),
            ("ejectAfterElapsedSeconds", FieldUse::Free),
            ("enableScreenshare", FieldUse::Free),
            ("startVideoOff", FieldUse::Free),
            ("startAudioOff", FieldUse::Free),
            (
                "startCloudRecording",
                FieldUse::Guarded("recordings cost, and are kept in the account"),
            ),
            (
                "enableRecording",
                FieldUse::Guarded("recordings cost, and are kept in the account"),
            ),
            ("permissions.hasPresence", FieldUse::Free),
            ("permissions.canSend", FieldUse::Free),
            ("permissions.canReceive", FieldUse::FreeBelow),
            ("permissions.canAdmin", FieldUse::Free),
        ]],
        subject: Some("`userId`, at most 36 characters"),
        ..Facts::DEFAULT
    };
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[OF_ROOMS];
    const RULES: &'static [(&'static str, &'static str)] = &[(
        "!(has(self.daily.domainId) && has(self.daily.endpoint))",
        "daily.endpoint: with domainId the token is signed in the operator and nothing is sent; remove one of them",
    )];

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        let field = SubjectField {
            field: "daily.userId",
            longest: 36,
            refused: "",
        };
        self.user_id = Some(field.admit(subject)?);
        Ok(())
    }
}

words! {
    /// What may be recorded.
    DailyRecording: Cloud CloudAudioOnly Local RawTracks;
}

/// The account side of Daily.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DailyAccount {
    /// The domain's id, a UUID. With it tokens are signed in the operator with the API key, and Daily isn't asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 36, max = 36))]
    #[x_kube(validation = Rule::new("self.matches('^[0-9a-fA-F-]+$')").message("daily.domainId: the domain's id is a UUID; Daily's API shows it as domain_id"))]
    pub domain_id: Option<String>,
    /// Another origin in place of `https://api.daily.co`. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::origin")]
    pub endpoint: Option<String>,
}
