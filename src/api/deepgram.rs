use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

/// Deepgram temporary tokens (`POST /v1/auth/grant`). They live 1 to 3600 seconds and may be used any number of times
/// until they expire. The API key needs the role Member or a higher one.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Deepgram {
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: DeepgramAccount,
}

impl SpecRules for Deepgram {
    const LIFETIME: Lifetime = Lifetime::Chosen {
        of: "Deepgram tokens",
        min: 1,
        max: 3600,
    };
}

/// The account side of Deepgram.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DeepgramAccount {
    /// Another origin in place of `https://api.deepgram.com`, such as a self-hosted Deepgram. Works only if the
    /// operator was started with it in `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}
