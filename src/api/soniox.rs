use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

/// Soniox temporary API keys (`POST /v1/auth/temporary-api-key`). They live 1 to 3600 seconds and open any number of
/// streams until they expire, unless `singleUse` is set. The API key needs the permission "Temporary API keys" and
/// that of the service.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Soniox {
    /// What the key opens.
    #[serde(default)]
    pub kind: SonioxKind,
    /// The key opens one stream only. Such a key doesn't suit a shared Secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_use: bool,
    /// Names the client in Soniox' logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub client_reference_id: Option<String>,
    /// How long a stream may last, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 18000))]
    pub max_session_duration_seconds: Option<i64>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: SonioxAccount,
}

impl SpecRules for Soniox {
    const LIFETIME: Lifetime = Lifetime::Chosen {
        of: "Soniox temporary keys",
        min: 1,
        max: 3600,
    };
}

/// The account side of Soniox.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SonioxAccount {
    /// The region of the Soniox project; clients connect to the same one. Default: US.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<SonioxRegion>,
    /// Another origin in place of the region's host. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}

/// The services that a key is for.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum SonioxKind {
    #[default]
    Transcription,
    TextToSpeech,
}

/// The API's hosts.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum SonioxRegion {
    #[default]
    US,
    EU,
    JP,
}
