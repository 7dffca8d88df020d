use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::account;
use super::{Facts, Lifetime, Limits, ProviderBlock, SecretField};

/// Deepgram temporary tokens (`POST /v1/auth/grant`). They may be used any number of times until they expire. The API
/// key needs the role Member or a higher one.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Deepgram {
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: DeepgramAccount,
}

impl ProviderBlock for Deepgram {
    const FACTS: &'static Facts = &Facts {
        name: "deepgram",
        title: "Deepgram",
        lifetime: Lifetime::Chosen(Limits::new("Deepgram tokens", 1, 3600)),
        secret_fields: &[SecretField::api_key("DEEPGRAM_API_KEY")],
        // The EU host serves everything but the grant.
        origins: &["https://api.deepgram.com"],
        ..Facts::DEFAULT
    };
}

account! {
    /// The account side of Deepgram.
    DeepgramAccount {
        /// Another origin in place of `https://api.deepgram.com`, such as a self-hosted Deepgram. Works only if the
        /// operator was started with it in `--allow-endpoint`.
        endpoint
    }
}
