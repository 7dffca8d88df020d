use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::shapes::account;
use super::{Facts, Lifetime, ProviderBlock, SecretField};

/// Hume access tokens (`POST /oauth2-cc/token`), for EVI and text-to-speech. They may be used any number of
/// times until they expire. The key Secret holds two values, `HUME_API_KEY` and
/// `HUME_SECRET_KEY`.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Hume {
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: HumeAccount,
}

impl ProviderBlock for Hume {
    const FACTS: &'static Facts = &Facts {
        name: "hume",
        title: "Hume",
        lifetime: Lifetime::Fixed(1800),
        secret_fields: &[
            SecretField::named("HUME_API_KEY"),
            SecretField::named("HUME_SECRET_KEY"),
        ],
        origins: &["https://api.hume.ai"],
        ..Facts::DEFAULT
    };
}

account! {
    /// The account side of Hume.
    HumeAccount {
        /// Another origin in place of `https://api.hume.ai`. Works only if the operator was started with it in
        /// `--allow-endpoint`.
        endpoint
    }
}
