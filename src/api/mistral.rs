use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::{account, regions};
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, SecretField};

/// Mistral realtime transcription client secrets (`POST /v1/client/sessions`). They serve one model, any number of
/// times until they expire; how long they live is Mistral's to decide, and `expirationSeconds` asks for
/// less. The API key needs the permission `create_client_session`.
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

impl ProviderBlock for Mistral {
    const FACTS: &'static Facts = &Facts {
        name: "mistral",
        title: "Mistral",
        // Mistral documents no bounds; these are ours.
        lifetime: Lifetime::Offered(Limits::new("Mistral client secrets", 60, 900)),
        secret_fields: &[SecretField::api_key("MISTRAL_API_KEY")],
        origins: MistralRegion::ORIGINS,
        secret_prefixes: &["rt_"],
        config_has_model: true,
        fields: &[&[("model", FieldUse::Model)]],
        ..Facts::DEFAULT
    };
}

account! {
    /// The account side of Mistral.
    MistralAccount {
        /// Host of the API. Clients connect to the same one. Default: Global.
        region: MistralRegion,
        /// Another origin in place of the region's host. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}

regions! {
    /// The API's hosts.
    MistralRegion:
        Global "https://api.mistral.ai",
        EU "https://api.eu.mistral.ai",
        US "https://api.us.mistral.ai"
}
