use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Lifetime, SpecRules, rules};

/// Hume access tokens (`POST /oauth2-cc/token`), for EVI and text-to-speech. They live 30 minutes by Hume's
/// documentation and may be used any number of times until then. The key Secret holds two values, `HUME_API_KEY` and
/// `HUME_SECRET_KEY`.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Hume {
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: HumeAccount,
}

impl SpecRules for Hume {
    const LIFETIME: Lifetime = Lifetime::Fixed { by: "Hume" };
}

/// The account side of Hume.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HumeAccount {
    /// Another origin in place of `https://api.hume.ai`. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}
