use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    AzureExchange, Facts, FieldUse, Lifetime, Limits, OpenAi, OpenAiKind, ProviderBlock, RawObject, SecretField, rules,
};

/// Azure OpenAI (Microsoft Foundry) Realtime client secrets (`POST /openai/v1/realtime/client_secrets`, the generally
/// available path). The life is always asked for (`expires_after`), within OpenAI's limits, for Microsoft's reference
/// states none; the reply says how long a client secret lives, and one that doesn't is refused. How often one may be
/// used is not documented.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AzureOpenAi {
    /// Which kind of session the token opens.
    #[serde(default)]
    pub kind: OpenAiKind,
    /// The deployment's name, which stands where OpenAI has the model; for a transcription, that of the deployment that
    /// transcribes.
    #[schemars(length(min = 1, max = 128))]
    pub deployment: String,
    /// The session's configuration, passed through: `instructions`, `audio`, `tools` and so on, as with `openai`. At
    /// most 48 KiB as JSON; `type` and `model` are filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub session: Option<RawObject>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: AzureOpenAiAccount,
}

impl AzureOpenAi {
    /// Where Microsoft Entra signs applications in, unless `entra.authority` says otherwise.
    pub(crate) const AUTHORITY: &'static str = AzureExchange::ORIGIN;
    /// One way of signing in to Microsoft Entra.
    pub(crate) const ONE_SIGN_IN: (&'static str, &'static str) = (
        "!has(self.azureOpenAI.entra) || !has(self.credentials.workloadIdentity)",
        "azureOpenAI.entra: signs in with a client secret, which credentials.workloadIdentity does without; remove one \
         of them",
    );
    /// The message about a block without an address.
    pub const NOWHERE: &'static str =
        "azureOpenAI.resource: name the Azure OpenAI resource, the first part of https://NAME.openai.azure.com";
}

impl ProviderBlock for AzureOpenAi {
    const FACTS: &'static Facts = &Facts {
        name: "azure-openai",
        title: "Azure OpenAI",
        // https://learn.microsoft.com/en-us/azure/foundry/reference/rest/realtime-create-realtime-client-secret has
        // `expires_after` as OpenAI has it, without limits of its own.
        lifetime: Lifetime::Chosen(Limits {
            of: "Azure OpenAI client secrets",
            ..OpenAi::LIMITS
        }),
        secret_fields: &[SecretField::api_key("AZURE_OPENAI_API_KEY")],
        origins: &["https://*.openai.azure.com", Self::AUTHORITY],
        secret_prefixes: &["ek-", "ek_"],
        config_has_model: true,
        documents_reuse: false,
        exchanges: &["azure"],
        fields: &[
            &[("kind", FieldUse::Free), ("deployment", FieldUse::Model)],
            OpenAi::SESSION,
        ],
        // The page has no place for the end user: `user` is a field of chat completions, and a header like OpenAI's
        // safety identifier isn't documented.
        subject: None,
        ..Facts::DEFAULT
    };
    const RULES: &'static [(&'static str, &'static str)] = &[
        (
            "has(self.credentials.providerRef) || has(self.azureOpenAI.resource) || has(self.azureOpenAI.endpoint)",
            Self::NOWHERE,
        ),
        Self::ONE_SIGN_IN,
    ];
    const ACCOUNT_RULES: &'static [(&'static str, &'static str)] = &[
        (
            "has(self.azureOpenAI.resource) || has(self.azureOpenAI.endpoint)",
            Self::NOWHERE,
        ),
        Self::ONE_SIGN_IN,
    ];
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
    #[schemars(schema_with = "rules::origin")]
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
    #[schemars(schema_with = "rules::origin")]
    pub authority: Option<String>,
}
