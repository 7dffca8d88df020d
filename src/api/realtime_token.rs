use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema, ResourceExt};
use serde::{Deserialize, Serialize};

use super::{Blocks, Credentials, Renewal, Requests, SecretName, Target};

/// A realtime token, minted at a provider, kept fresh in a Secret.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "realtime-token.dev",
    version = "v1alpha1",
    kind = "RealtimeToken",
    plural = "realtimetokens",
    shortname = "rtt",
    category = "realtime",
    namespaced,
    status = "RealtimeTokenStatus",
    derive = "PartialEq",
    doc = "A realtime token, minted at a provider and kept fresh in a Secret.",
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Provider", type_ = "string", json_path = ".status.provider"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".status.expiresAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Renewal", type_ = "string", json_path = ".status.renewalTime", priority = "1"),
    printcolumn(name = "Revision", type_ = "integer", json_path = ".status.revision", priority = "1"),
    printcolumn(name = "Secret", type_ = "string", json_path = ".status.secretRef.name", priority = "1"),
    printcolumn(name = "Fresh", type_ = "string", json_path = ".status.conditions[?(@.type=='FreshnessGuaranteed')].status", priority = "1"),
    printcolumn(name = "Serving", type_ = "string", json_path = ".status.conditions[?(@.type=='Serving')].status", priority = "1"),
    printcolumn(name = "Single reader", type_ = "string", json_path = ".status.conditions[?(@.type=='SingleReader')].reason", priority = "1"),
    printcolumn(name = "Failures", type_ = "integer", json_path = ".status.failedMintAttempts", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = "1"),
    selectable = ".status.reason",
    selectable = ".status.provider",
    selectable = ".spec.credentials.providerRef.name",
    selectable = ".spec.credentials.secretRef.name",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("at most 63 characters, since it becomes a label of the Secret")
        .field_path(".metadata.name"),
)]
#[serde(rename_all = "camelCase")]
pub struct RealtimeTokenSpec {
    /// The provider block.
    #[serde(flatten)]
    pub blocks: Blocks,
    /// Where the provider's API key comes from.
    pub credentials: Credentials,
    /// The life to ask the provider for, in seconds, where the provider lets us choose. Default 1800, or the
    /// maximum of the provider or the ClusterRealtimeProvider if that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2592000))]
    pub expiration_seconds: Option<i64>,
    /// When to renew.
    #[serde(default)]
    pub renewal: Renewal,
    /// Hand out tokens on request. Left out: none are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Box<Requests>>,
    /// The Secret to write.
    #[serde(default)]
    pub target: Target,
    /// Mint nothing and hand out nothing while true. The Secret stays, and its token runs out.
    #[serde(default)]
    pub suspend: bool,
}

/// What the operator last saw and did.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RealtimeTokenStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is going on, in one word: `Ready` or `OnRequestOnly` if all is well, else the reason of the condition that
    /// matters most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is wrong or waited for, and what to do. Left out while all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Ready, Renewing, FreshnessGuaranteed, SpecApplied, with `spec.requests` Serving, and SingleReader where the token
    /// in the Secret suits one reader.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The provider's name as in token.json.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The Secret that holds the token, or where to ask for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretName>,
    /// When the token was asked for, by the cluster's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<Time>,
    /// Until when the token can start a session, by the cluster's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usable_until: Option<Time>,
    /// The end of the token's usable life as published in the Secret, by the provider's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// When the next token will be minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renewal_time: Option<Time>,
    /// Counts the tokens of this RealtimeToken; also an annotation of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<i64>,
    /// Mints that failed since the last success. Writes of the Secret have a count of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_mint_attempts: Option<i64>,
    /// Writes of the Secret that failed since the last success. Set while writes fail and failedMintAttempts is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_write_attempts: Option<i64>,
    /// When the last of failedMintAttempts or failedWriteAttempts failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_failure_time: Option<Time>,
    /// Not before this time will what failed be tried again, the mint or the write of the Secret, unless the spec or the
    /// credential changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_time: Option<Time>,
    /// The last value of the annotation realtime-token.dev/renew-requested-at that was obeyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_handled_renew_request: Option<String>,
}

impl RealtimeToken {
    /// Name of the Secret that this RealtimeToken writes.
    #[must_use]
    pub fn target_name(&self) -> String {
        self.spec.target.name.clone().unwrap_or_else(|| self.name_any())
    }
}
