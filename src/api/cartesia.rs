use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::account;
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, SecretField};

/// Cartesia access tokens (`POST /access-token`). They may be used any number of times until they expire.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Cartesia {
    /// What the token opens.
    pub grants: CartesiaGrants,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: CartesiaAccount,
}

impl ProviderBlock for Cartesia {
    const FACTS: &'static Facts = &Facts {
        name: "cartesia",
        title: "Cartesia",
        lifetime: Lifetime::Chosen(Limits::new("Cartesia tokens", 1, 3600)),
        secret_fields: &[SecretField::api_key("CARTESIA_API_KEY")],
        origins: &["https://api.cartesia.ai"],
        secret_prefixes: &["sk_car"],
        fields: &[&[("grants", FieldUse::FreeBelow)]],
        ..Facts::DEFAULT
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

account! {
    /// The account side of Cartesia.
    CartesiaAccount {
        /// Another origin in place of `https://api.cartesia.ai`. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}
