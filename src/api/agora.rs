use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::facts::OF_ROOMS;
use super::shapes::words;
use super::subject::SubjectField;
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, SecretField};

/// The visible characters that Agora takes in no name of a channel or user.
const REFUSED: &str = "\"'*/\\`";

/// Agora AccessToken2 ("007" tokens), built in the operator from the app certificate; Agora is not asked. They may be
/// used any number of times until they expire, at most 24 hours.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Agora {
    /// The right to a channel (RTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtc: Option<AgoraRtc>,
    /// The right to signal (RTM).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rtm: Option<AgoraRtm>,
    /// The account side: all of it is in the key Secret.
    #[serde(flatten)]
    pub account: AgoraAccount,
}

impl ProviderBlock for Agora {
    const FACTS: &'static Facts = &Facts {
        name: "agora",
        title: "Agora",
        lifetime: Lifetime::Chosen(Limits::new("Agora tokens", 60, 86_400)),
        secret_fields: &[
            SecretField::named("AGORA_APP_CERTIFICATE"),
            SecretField::named("AGORA_APP_ID"),
        ],
        fields: &[&[
            ("rtc.channel", FieldUse::Room),
            ("rtc.uid", FieldUse::Identity),
            ("rtc.account", FieldUse::Identity),
            ("rtc.role", FieldUse::Free),
            (
                "rtm",
                FieldUse::Guarded("signalling reaches every channel and user of the project"),
            ),
            ("rtm.userId", FieldUse::Identity),
        ]],
        subject: Some(
            "`rtc.account`, or `rtc.uid` where the spec has one, and `rtm.userId`, at most 64 characters with `rtm`",
        ),
        ..Facts::DEFAULT
    };
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[OF_ROOMS];
    const RULES: &'static [(&'static str, &'static str)] = &[(
        "has(self.agora.rtc) || has(self.agora.rtm)",
        "agora: set rtc, rtm or both; without either the token opens nothing",
    )];

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        if let Some(rtc) = &mut self.rtc {
            rtc.name_subject(subject)?;
        }
        if let Some(rtm) = &mut self.rtm {
            let field = SubjectField {
                field: "agora.rtm.userId",
                longest: 64,
                refused: REFUSED,
            };
            rtm.user_id = field.admit(subject)?;
        }
        Ok(())
    }
}

/// The right to a channel.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.uid) && has(self.account))")
    .message("agora.rtc: a user is named by uid or by account, not by both"))]
pub struct AgoraRtc {
    /// The channel: letters, digits, space and `!#$%&()+-:;<=.>?@[]^_{}|~,`, at most 63 bytes.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9 !#$%&()+:;<=.>?@^_{}|~,\\\\[\\\\]-]+$')")
        .message("agora.rtc.channel: letters, digits, space and !#$%&()+-:;<=.>?@[]^_{}|~,"))]
    pub channel: String,
    /// The user's number. Left out, without `account`: any user, so that every pod can join with the one token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 4_294_967_295_i64))]
    pub uid: Option<i64>,
    /// The user's account name. The subject of a request takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub account: Option<String>,
    /// `Publisher` may send sound, video and data; `Subscriber` may join only. Default: Publisher.
    #[serde(default)]
    pub role: AgoraRole,
}

impl AgoraRtc {
    /// A channel whose users have numbers keeps them: there, accounts are users of another kind.
    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        if self.uid.is_some() {
            let number = subject.parse::<u32>().ok().filter(|number| *number > 0);
            // As Agora writes it: no sign, no leading zero.
            let number = number.filter(|number| number.to_string() == subject);
            let number = number.ok_or("subject: goes into agora.rtc.uid, so it is a number from 1 to 4294967295")?;
            self.uid = Some(number.into());
            return Ok(());
        }
        let field = SubjectField {
            field: "agora.rtc.account",
            longest: 255,
            refused: REFUSED,
        };
        self.account = Some(field.admit(subject)?);
        Ok(())
    }
}

/// The right to signal.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AgoraRtm {
    /// Who logs in. The subject of a request takes its place.
    #[schemars(length(min = 1, max = 64))]
    pub user_id: String,
}

words! {
    /// What a user may do in a channel.
    AgoraRole: Publisher Subscriber;
}

/// The account side of Agora: app id and certificate are in the key Secret.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AgoraAccount {}
