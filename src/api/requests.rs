use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RateLimit;

/// Tokens on request: a token of its own for each caller, handed out over HTTPS and stored nowhere.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Requests {
    /// Whether a caller says who the token is for.
    #[serde(default)]
    pub subject: SubjectUse,
    /// The fields below `spec` that a caller may set, such as `expirationSeconds` or `openai.session.instructions`. A
    /// field stands for all that is below it. Left out: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overridable: Vec<String>,
    /// The usable life, in seconds, that a token has at least when it is handed out.
    #[serde(default = "default_min_remaining_seconds")]
    pub min_remaining_seconds: i64,
    /// How many tokens are minted ahead, each to be handed out once. They go to requests without subject and overrides.
    #[serde(default)]
    pub ready: i64,
    /// How often tokens are handed out, all callers together. Each replica of the operator counts by itself.
    #[serde(default = "default_rate_limit")]
    pub rate_limit: RateLimit,
    /// How often tokens are handed out for one subject. Each replica of the operator counts by itself.
    #[serde(default = "default_subject_rate_limit")]
    pub subject_rate_limit: RateLimit,
}

/// Whether a caller says who a token is for: it must, it may, or what it says is not used.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum SubjectUse {
    #[default]
    #[allow(
        missing_docs,
        reason = "a documented variant turns the schema's plain enum into a oneOf"
    )]
    Required,
    #[allow(missing_docs, reason = "as above")]
    Optional,
    #[allow(missing_docs, reason = "as above")]
    Ignored,
}

const fn default_min_remaining_seconds() -> i64 {
    30
}

const fn default_rate_limit() -> RateLimit {
    RateLimit {
        requests_per_minute: 600,
        burst: 50,
    }
}

const fn default_subject_rate_limit() -> RateLimit {
    RateLimit {
        requests_per_minute: 6,
        burst: 3,
    }
}
