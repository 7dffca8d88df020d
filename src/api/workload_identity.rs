use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// Keyless: the token of a ServiceAccount is exchanged for an access token of the provider, so that no API key is stored.
/// Set exactly one of `openai`, `azure` and `google`. Works only if the operator may request tokens of the ServiceAccount
/// (`workloadIdentity.serviceAccountNames` in the chart's values).
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.openai), has(self.azure), has(self.google)].exists_one(x, x)")
    .message("workloadIdentity: set exactly one of openai, azure and google"))]
pub struct WorkloadIdentity {
    /// The ServiceAccount whose token is exchanged: of the RealtimeToken's own namespace, or of the operator's for a
    /// ClusterRealtimeProvider.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub service_account_name: String,
    /// The audience of the ServiceAccount's token. Default: what the cloud expects if nothing else is set there,
    /// `https://api.openai.com/v1`, `api://AzureADTokenExchange`, or the name of the Google provider as a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(validation = Rule::new(rules::HEADER).message("workloadIdentity.audience: ASCII letters, digits and punctuation, no spaces"))]
    pub audience: Option<String>,
    /// Workload identity federation of OpenAI.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub openai: Option<OpenAiExchange>,
    /// Workload identity federation of Microsoft Entra.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azure: Option<AzureExchange>,
    /// Workload identity federation of Google Cloud.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub google: Option<GoogleExchange>,
}

/// Workload identity federation of OpenAI.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct OpenAiExchange {
    /// The id of the workload identity provider at OpenAI, which trusts the cluster's issuer.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(rules::HEADER).message(rules::ID_MESSAGE))]
    pub identity_provider_id: String,
    /// The id of the service account at OpenAI that the ServiceAccount is mapped to.
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new(rules::HEADER).message(rules::ID_MESSAGE))]
    pub service_account_id: String,
    /// Another origin in place of `https://auth.openai.com`. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::origin")]
    pub endpoint: Option<String>,
}

/// Workload identity federation of Microsoft Entra.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct AzureExchange {
    /// The tenant: its id or one of its domains.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::TENANT).message(rules::TENANT_MESSAGE))]
    pub tenant_id: String,
    /// The (client) id of the application or of the managed identity that has the federated credential.
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new(rules::HEADER).message(rules::ID_MESSAGE))]
    pub client_id: String,
    /// What the access token is for. Default: `https://cognitiveservices.azure.com/.default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new(rules::HEADER).message(rules::ID_MESSAGE))]
    pub scope: Option<String>,
    /// Another origin in place of `https://login.microsoftonline.com`. Works only if the operator was started with it
    /// in `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::origin")]
    pub authority: Option<String>,
}

/// Workload identity federation of Google Cloud.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct GoogleExchange {
    /// The provider of a workload identity pool by its full name:
    /// `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`.
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^projects/[0-9]+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+$')")
        .message("google.workloadIdentityProvider: the provider's full name, projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with the project's number"))]
    pub workload_identity_provider: String,
    /// The Google service account to act as. Left out: the federated identity itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(validation = Rule::new("self.matches('^[a-zA-Z0-9.-]+@[a-zA-Z0-9.-]+$')")
        .message("google.serviceAccountEmail: the email address of a Google service account"))]
    pub service_account_email: Option<String>,
    /// Another origin in place of `https://sts.googleapis.com` and `https://iamcredentials.googleapis.com`. Works only
    /// if the operator was started with it in `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::origin")]
    pub endpoint: Option<String>,
}

/// The exchange that a [`WorkloadIdentity`] names.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub enum Exchange {
    /// [`WorkloadIdentity::openai`].
    OpenAi(OpenAiExchange),
    /// [`WorkloadIdentity::azure`].
    Azure(AzureExchange),
    /// [`WorkloadIdentity::google`].
    Google(GoogleExchange),
}

impl WorkloadIdentity {
    /// The one exchange that is set; `None` if none or several are.
    #[must_use]
    pub fn exchange(&self) -> Option<Exchange> {
        match (&self.openai, &self.azure, &self.google) {
            (Some(openai), None, None) => Some(Exchange::OpenAi(openai.clone())),
            (None, Some(azure), None) => Some(Exchange::Azure(azure.clone())),
            (None, None, Some(google)) => Some(Exchange::Google(google.clone())),
            _ => None,
        }
    }
}

impl Exchange {
    /// The fields of all exchanges.
    pub(crate) const FIELDS: &'static [&'static str] = &["openai", "azure", "google"];
    /// Where tokens are exchanged unless the spec names another origin.
    pub(crate) const ORIGINS: &'static [&'static str] = &[
        OpenAiExchange::ORIGIN,
        AzureExchange::ORIGIN,
        GoogleExchange::STS,
        GoogleExchange::CREDENTIALS,
    ];

    /// Its field in the spec.
    #[must_use]
    pub const fn field(&self) -> &'static str {
        match self {
            Self::OpenAi(_) => Self::FIELDS[0],
            Self::Azure(_) => Self::FIELDS[1],
            Self::Google(_) => Self::FIELDS[2],
        }
    }

    /// The origin of the spec, if it names one.
    pub(crate) fn custom_origin(&self) -> Option<&str> {
        match self {
            Self::OpenAi(openai) => openai.endpoint.as_deref(),
            Self::Azure(azure) => azure.authority.as_deref(),
            Self::Google(google) => google.endpoint.as_deref(),
        }
    }

    /// The audience that the cloud expects unless told otherwise.
    pub(crate) fn usual_audience(&self) -> String {
        match self {
            Self::OpenAi(_) => "https://api.openai.com/v1".to_owned(),
            Self::Azure(_) => "api://AzureADTokenExchange".to_owned(),
            Self::Google(google) => format!("https://iam.googleapis.com/{}", google.workload_identity_provider),
        }
    }
}

impl OpenAiExchange {
    pub(crate) const ORIGIN: &'static str = "https://auth.openai.com";
}

impl AzureExchange {
    pub(crate) const ORIGIN: &'static str = "https://login.microsoftonline.com";
}

impl GoogleExchange {
    pub(crate) const STS: &'static str = "https://sts.googleapis.com";
    pub(crate) const CREDENTIALS: &'static str = "https://iamcredentials.googleapis.com";
}
