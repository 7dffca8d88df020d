use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Accounts, PlatformCredentials};

/// A provider account of the platform team, lent to chosen namespaces. The key stays in the operator's namespace.
#[derive(CustomResource, KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[kube(
    group = "realtime-token.dev",
    version = "v1alpha1",
    kind = "ClusterRealtimeProvider",
    plural = "clusterrealtimeproviders",
    shortname = "crtp",
    category = "realtime",
    status = "ClusterRealtimeProviderStatus",
    derive = "PartialEq",
    doc = "A provider account of the platform team, lent to chosen namespaces. The key stays in the operator's namespace.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Credential",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='CredentialValid')].status"
    ),
    printcolumn(
        name = "Limited until",
        type_ = "string",
        json_path = ".status.rateLimit.limitedUntil"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
#[allow(clippy::duplicated_attributes, reason = "several printer columns have the same type")]
pub struct ClusterRealtimeProviderSpec {
    /// The account.
    #[serde(flatten)]
    pub accounts: Accounts,
    /// The key, in the operator's own namespace.
    pub credentials: PlatformCredentials,
    /// Which namespaces may use this provider. Left out: none. `{}`: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_selector")]
    #[x_kube(validation = Rule::new("!has(self.matchExpressions) || self.matchExpressions.all(e, (e.operator in ['In', 'NotIn']) == (has(e.values) && size(e.values) > 0))")
        .message("namespaceSelector.matchExpressions: In and NotIn need values, Exists and DoesNotExist have none"))]
    pub namespace_selector: Option<LabelSelector>,
    /// What tokens of this provider may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// How often the provider is called, all tokens of this credential together. Left out: no limit but the
    /// provider's own. Each replica of the operator counts by itself: with tokens on request set it to the account's
    /// limit divided by the number of replicas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
}

/// `{{ namespace }}` is written so, once, and stands apart from what a namespace's name could go on with.
const PATTERNS: &str = "self.all(p, !p.contains('{{') || p.matches('^([^{]*[^-a-z0-9*{}])?[{][{] namespace [}][}]([^-a-z0-9*{}][^{]*)?$'))";
const PATTERNS_MESSAGE: &str = "a pattern has {{ namespace }} once at most, spelt so, with nothing or a character such as _ . / or : before and \
     after it: in {{ namespace }}-* the namespace shop would pass for shop-b";

/// What tokens of this provider may ask for.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// The longest life a token may have, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 2592000))]
    pub max_expiration_seconds: Option<i64>,
    /// The models, deployments and agents that tokens may name, wherever they stand: a session's transcription has a
    /// model of its own. `*` stands for any text without `/` and `:`. A token that is bound to none is refused then.
    /// Left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new(PATTERNS).message(PATTERNS_MESSAGE))]
    pub allowed_models: Option<Vec<String>>,
    /// The rooms and channels that tokens may open, such as `{{ namespace }}_*`, likewise. `{{ namespace }}` is the
    /// RealtimeToken's, so that tenants who share the account open their own rooms only. Left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new(PATTERNS).message(PATTERNS_MESSAGE))]
    pub allowed_rooms: Option<Vec<String>>,
    /// Who tokens may be for, such as `{{ namespace }}_*`, likewise: the fields into which the subject of a request goes.
    /// Left out: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new(PATTERNS).message(PATTERNS_MESSAGE))]
    pub allowed_identities: Option<Vec<String>>,
    /// Fields of the provider block, such as `openai.session.tools`, each with all that is below it, that tokens may set
    /// although they reach beyond what the token is for, or the operator doesn't know what they do. Where there is a
    /// policy, all such fields are refused that are not listed here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)))]
    #[x_kube(validation = Rule::new("self.all(f, f.matches('^[a-zA-Z0-9]+([.][^.[:space:]]+)+$'))")
        .message("policy.allowedFields: a field of the provider block, such as openai.session.tools or livekit.roomConfig.agents"))]
    pub allowed_fields: Vec<String>,
}

/// A token bucket shared by every RealtimeToken of the credential.
#[derive(JsonSchema, Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Mints per minute in the long run.
    #[schemars(range(min = 1, max = 60000))]
    pub requests_per_minute: i64,
    /// Mints that may follow each other at once.
    #[serde(default = "default_burst")]
    #[schemars(range(min = 1, max = 1000))]
    pub burst: i64,
}

/// Kubernetes' own leaves the operator open, and a misspelt one would be noticed only by the tokens it shuts out.
fn label_selector(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let mut schema = LabelSelector::json_schema(generator);
    let operators = serde_json::json!(["In", "NotIn", "Exists", "DoesNotExist"]);
    for (path, bound, value) in [
        ("/properties/matchLabels", "maxProperties", 32.into()),
        ("/properties/matchExpressions", "maxItems", 32.into()),
        (
            "/properties/matchExpressions/items/properties/values",
            "maxItems",
            64.into(),
        ),
        (
            "/properties/matchExpressions/items/properties/operator",
            "enum",
            operators,
        ),
    ] {
        if let Some(serde_json::Value::Object(found)) = schema.pointer_mut(path) {
            found.insert(bound.to_owned(), value);
        }
    }
    schema
}

fn default_burst() -> i64 {
    10
}

/// What the operator last saw.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRealtimeProviderStatus {
    /// The generation of the spec that this status describes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, CredentialValid.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// The provider's own limit, while it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitStatus>,
}

/// The provider's own limit, while it holds.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RateLimitStatus {
    /// No mint with this credential before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limited_until: Option<Time>,
}
