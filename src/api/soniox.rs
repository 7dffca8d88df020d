use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{account, regions, words};
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, SecretField};

/// Soniox temporary API keys (`POST /v1/auth/temporary-api-key`). They open any number of streams until they expire,
/// unless `singleUse` is set. The API key needs the permission "Temporary API keys" and that of the service.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Soniox {
    /// What the key opens.
    #[serde(default)]
    pub kind: SonioxKind,
    /// The key opens one stream only. Such a key doesn't suit a shared Secret.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub single_use: bool,
    /// Names the client in Soniox' logs. The subject of a request takes its place.
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

impl ProviderBlock for Soniox {
    const FACTS: &'static Facts = &Facts {
        name: "soniox",
        title: "Soniox",
        lifetime: Lifetime::Chosen(Limits::new("Soniox temporary keys", 1, 3600)),
        secret_fields: &[SecretField::api_key("SONIOX_API_KEY")],
        origins: SonioxRegion::ORIGINS,
        secret_prefixes: &["temp:"],
        fields: &[&[
            ("kind", FieldUse::Free),
            ("singleUse", FieldUse::Free),
            ("clientReferenceId", FieldUse::Identity),
            ("maxSessionDurationSeconds", FieldUse::Free),
        ]],
        subject: Some("`clientReferenceId`, which Soniox' usage logs have"),
        ..Facts::DEFAULT
    };

    fn name_subject(&mut self, subject: &str) -> Result<(), String> {
        self.client_reference_id = Some(subject.to_owned());
        Ok(())
    }
}

account! {
    /// The account side of Soniox.
    SonioxAccount {
        /// The region of the Soniox project; clients connect to the same one. Default: US.
        region: SonioxRegion,
        /// Another origin in place of the region's host. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}

words! {
    /// The services that a key is for.
    SonioxKind: Transcription TextToSpeech;
}

// The host of the US has no region in its name.
regions! {
    /// The API's hosts.
    SonioxRegion:
        US "https://api.soniox.com",
        EU "https://api.eu.soniox.com",
        JP "https://api.jp.soniox.com"
}
