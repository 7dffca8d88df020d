use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Lifetime, SpecRules, rules};

/// Azure OpenAI (Microsoft Foundry) Realtime client secrets (`POST /openai/v1/realtime/client_secrets`, the generally
/// available path). Microsoft documents neither how long they live nor how often they may be used: the reply says how
/// long, and one that doesn't is refused.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AzureOpenAi {
    /// The deployment's name, which stands where OpenAI has the model.
    #[schemars(length(min = 1, max = 128))]
    pub deployment: String,
    /// The session's configuration, passed through: `instructions`, `audio`, `tools` and so on, as with `openai`. At
    /// most 48 KiB as JSON; `type` and `model` are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub session: Option<Map<String, Value>>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: AzureOpenAiAccount,
}

impl AzureOpenAi {
    /// What is said if there is nowhere to ask.
    pub const NOWHERE: &'static str =
        "azureOpenAI.resource: name the Azure OpenAI resource, the first part of https://NAME.openai.azure.com";
}

impl SpecRules for AzureOpenAi {
    // OpenAI's limits. Whether Azure obeys is undocumented, so it is asked only if the field is set.
    const LIFETIME: Lifetime = Lifetime::Chosen {
        of: "Azure OpenAI client secrets",
        min: 10,
        max: 7200,
    };
    const RULES: &'static [(&'static str, &'static str)] = &[(
        "has(self.credentials.providerRef) || has(self.azureOpenAI.resource) || has(self.azureOpenAI.endpoint)",
        Self::NOWHERE,
    )];
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[(
        "has(self.azureOpenAI.resource) || has(self.azureOpenAI.endpoint)",
        Self::NOWHERE,
    )];
}

/// The account side of Azure OpenAI.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AzureOpenAiAccount {
    /// The Azure OpenAI resource: NAME of `https://NAME.openai.azure.com`. If a private endpoint gives that name a
    /// private address, the operator needs it in `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::LABEL).message(rules::LABEL_MESSAGE))]
    pub resource: Option<String>,
    /// Signs in to Microsoft Entra instead of using an API key. The key Secret then holds the client secret of the
    /// application, under `AZURE_CLIENT_SECRET` unless secretRef.key says otherwise. Each mint takes two requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entra: Option<Entra>,
    /// Another origin in place of the resource's. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub endpoint: Option<String>,
}

/// An application of Microsoft Entra, with the role "Cognitive Services OpenAI User" on the resource.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Entra {
    /// The tenant: its id or one of its domains.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::TENANT).message(rules::TENANT_MESSAGE))]
    pub tenant_id: String,
    /// The application's (client) id.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(rules::HEADER).message("azureOpenAI.entra.clientId: the application's id, letters, digits and dashes"))]
    pub client_id: String,
    /// Another origin in place of `https://login.microsoftonline.com`. Works only if the operator was started with it
    /// in `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::ORIGIN).message(rules::ORIGIN_MESSAGE))]
    pub authority: Option<String>,
}
