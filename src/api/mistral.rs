use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

/// Mistral realtime transcription client secrets (`POST /v1/client/sessions`). They serve one model, any number of
/// times until they expire; how long they live is Mistral's to decide (about 900 seconds by its guide), and
/// `expirationSeconds` asks for less. The API key needs the permission `create_client_session`.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Mistral {
    /// The model, such as `voxtral-mini-transcribe-realtime-2602`.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: MistralAccount,
}

impl SpecRules for Mistral {
    // Mistral documents no bounds; these are ours.
    const LIFETIME: Lifetime = Lifetime::Chosen {
        of: "Mistral client secrets",
        min: 60,
        max: 900,
    };
}

/// The account side of Mistral.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MistralAccount {
    /// Host of the API. Clients connect to the same one. Default: Global.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<MistralRegion>,
    /// Another origin in place of the region's host. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}

/// The API's hosts.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "documented variants turn the schema's plain enum into a oneOf"
)]
pub enum MistralRegion {
    #[default]
    Global,
    EU,
    US,
}
