use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Facts, Lifetime, ProviderBlock, SecretField, rules};

/// Azure Speech tokens (`POST /sts/v1.0/issueToken`). They may be used any number of times until they expire, but
/// only where they were issued: in the region, or at the resource's own domain.
/// The Secret holds that too, as `region` or as `endpoint`.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AzureSpeech {
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: AzureSpeechAccount,
}

impl AzureSpeech {
    /// Where access tokens of Microsoft Entra are taken.
    pub(crate) const OWN_DOMAIN: (&'static str, &'static str) = (
        "!has(self.credentials.workloadIdentity) || has(self.azureSpeech.resource)",
        "azureSpeech.resource: with credentials.workloadIdentity name a resource with a custom domain; a region's host \
         takes no access tokens of Microsoft Entra",
    );
    /// The message about a block with no address or with two.
    pub const ONE_PLACE: &'static str =
        "azureSpeech: set region or resource (a custom domain), not both; a token works only where it was issued";
}

impl ProviderBlock for AzureSpeech {
    const FACTS: &'static Facts = &Facts {
        name: "azure-speech",
        title: "Azure Speech",
        lifetime: Lifetime::Fixed(600),
        secret_fields: &[SecretField::api_key("AZURE_SPEECH_KEY")],
        origins: &[
            "https://*.api.cognitive.microsoft.com",
            "https://*.cognitiveservices.azure.com",
        ],
        exchanges: &["azure"],
        ..Facts::DEFAULT
    };
    const RULES: &'static [(&'static str, &'static str)] = &[
        (
            "has(self.credentials.providerRef) || \
             has(self.azureSpeech.region) != has(self.azureSpeech.resource)",
            Self::ONE_PLACE,
        ),
        Self::OWN_DOMAIN,
    ];
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[
        (
            "has(self.azureSpeech.region) != has(self.azureSpeech.resource)",
            Self::ONE_PLACE,
        ),
        Self::OWN_DOMAIN,
    ];
}

/// The account side of Azure Speech.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AzureSpeechAccount {
    /// The resource's region, such as `westeurope`: asks `https://REGION.api.cognitive.microsoft.com`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::LABEL).message(rules::LABEL_MESSAGE))]
    pub region: Option<String>,
    /// A resource with a custom domain: asks `https://RESOURCE.cognitiveservices.azure.com`. With a private endpoint
    /// no tokens are issued there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::LABEL).message(rules::LABEL_MESSAGE))]
    pub resource: Option<String>,
    /// Another origin in place of the region's or the resource's, which the Secret still names. Works only if the operator was started with it in `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::origin")]
    pub endpoint: Option<String>,
}
