use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{WorkloadIdentity, rules};

/// What the provider is asked with: an API key, or an access token that a ServiceAccount's token is exchanged for.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.secretRef), has(self.providerRef), has(self.workloadIdentity)].exists_one(x, x)")
    .message("set exactly one of credentials.secretRef (a Secret of this namespace), credentials.providerRef (a ClusterRealtimeProvider) and credentials.workloadIdentity (a ServiceAccount of this namespace)"))]
pub struct Credentials {
    /// A Secret of this namespace that holds the API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// A ClusterRealtimeProvider: the platform team's key, which never enters this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider_ref: Option<ProviderRef>,
    /// A ServiceAccount of this namespace, whose token is exchanged for an access token of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<Box<WorkloadIdentity>>,
}

/// A key of a Secret. The namespace is never chosen here: it is the RealtimeToken's own, or the operator's for a
/// ClusterRealtimeProvider.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: String,
    /// Key within the Secret's data; surrounding white space of the value is ignored. Default: `api-key`, or the first
    /// of the keys that the provider's page lists, where it needs several. The others always have their own names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::SECRET_KEY).message(rules::SECRET_KEY_MESSAGE))]
    pub key: Option<String>,
}

/// A ClusterRealtimeProvider by name.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ProviderRef {
    /// Name of the ClusterRealtimeProvider.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: String,
}

/// The credential of a ClusterRealtimeProvider, always in the operator's own namespace.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretRef) != has(self.workloadIdentity)")
    .message("set exactly one of credentials.secretRef (a Secret of the operator's namespace) and credentials.workloadIdentity (a ServiceAccount of the operator's namespace)"))]
pub struct PlatformCredentials {
    /// A Secret in the operator's own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// A ServiceAccount in the operator's own namespace, whose token is exchanged for an access token of the provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_identity: Option<Box<WorkloadIdentity>>,
}
