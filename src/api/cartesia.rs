use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

/// Cartesia access tokens (`POST /access-token`). They live at most 3600 seconds and may be used any number of times
/// until they expire.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cartesia {
    /// What the token opens.
    pub grants: CartesiaGrants,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: CartesiaAccount,
}

impl SpecRules for Cartesia {
    const LIFETIME: Lifetime = Lifetime::Chosen {
        of: "Cartesia tokens",
        min: 1,
        max: 3600,
    };
}

/// What a token opens: at least one of them.
#[derive(KubeSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.tts) && self.tts) || (has(self.stt) && self.stt) || (has(self.agent) && self.agent)")
    .message("cartesia.grants: set at least one of tts, stt and agent to true; a token without opens nothing"))]
pub struct CartesiaGrants {
    /// Every text-to-speech endpoint.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tts: bool,
    /// Every speech-to-text endpoint.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stt: bool,
    /// The socket of agents' web calls.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub agent: bool,
}

/// The account side of Cartesia.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CartesiaAccount {
    /// Another origin in place of `https://api.cartesia.ai`. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}
