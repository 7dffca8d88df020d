use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// When the next token is minted, counted back from the end of the current one's usable life.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("!(has(self.renewBeforePercentage) && has(self.renewBeforeSeconds))")
    .message("set at most one of renewal.renewBeforePercentage and renewal.renewBeforeSeconds"))]
pub struct Renewal {
    /// Renew when this share of the token's life is left, in percent. Default 33. Never later than
    /// minRemainingSeconds + propagationSeconds + 60 s before the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 90))]
    pub renew_before_percentage: Option<i64>,
    /// Renew this many seconds before the token's usable life ends, instead of a percentage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub renew_before_seconds: Option<i64>,
    /// The floor: a pod that mounts the Secret never reads a token with less life than this, in seconds.
    #[serde(default = "default_min_remaining")]
    #[schemars(range(min = 0, max = 3600))]
    pub min_remaining_seconds: i64,
    /// How long a changed Secret may take to reach a mounted file, in seconds. The kubelet needs 60 to 90 s by
    /// default.
    #[serde(default = "default_propagation")]
    #[schemars(range(min = 0, max = 3600))]
    pub propagation_seconds: i64,
}

fn default_min_remaining() -> i64 {
    90
}

fn default_propagation() -> i64 {
    120
}

impl Default for Renewal {
    fn default() -> Self {
        Self {
            renew_before_percentage: None,
            renew_before_seconds: None,
            min_remaining_seconds: default_min_remaining(),
            propagation_seconds: default_propagation(),
        }
    }
}
