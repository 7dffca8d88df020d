use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RateLimit;

/// What an entry of `overridable` looks like: names of fields, joined by dots.
const FIELD: &str = "self.matches('^[a-zA-Z][a-zA-Z0-9]*([.][a-zA-Z_][a-zA-Z0-9_-]*){0,7}$')";
const FIELD_MESSAGE: &str = "requests.overridable: a field below spec, such as expirationSeconds or \
     openai.session.instructions: names joined by '.', without list positions";

/// Tokens on request: a token of its own for each caller, handed out over HTTPS and stored nowhere.
#[derive(KubeSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.ready == 0 || self.subject != 'Required'")
    .message("requests.ready: tokens minted ahead go to requests without a subject, and with subject Required there are none; set requests.subject to Optional or Ignored, or ready to 0"))]
pub struct Requests {
    /// Whether a caller says who the token is for.
    #[serde(default)]
    pub subject: SubjectUse,
    /// The fields below `spec` that a caller may set, such as `expirationSeconds` or `openai.session.instructions`. A
    /// field stands for all that is below it. Left out: none.
    /// `expirationSeconds`, and fields of the provider block other than its account side, which decides where the key
    /// goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "fields")]
    #[x_kube(validation = Rule::new("self.all(a, self.exists_one(b, a == b))")
        .message("requests.overridable: a field is named twice"))]
    pub overridable: Vec<String>,
    /// The usable life, in seconds, that a token has at least when it is handed out.
    #[serde(default = "default_min_remaining_seconds")]
    #[schemars(range(min = 0, max = 86400))]
    pub min_remaining_seconds: i64,
    /// How many tokens are minted ahead, each to be handed out once. They go to requests without subject and overrides.
    /// No effect on tokens that the operator signs itself.
    #[serde(default)]
    #[schemars(range(min = 0, max = 50))]
    pub ready: i64,
    /// How often tokens are handed out, all callers together. Each replica of the operator counts by itself.
    #[serde(default = "default_rate_limit")]
    pub rate_limit: RateLimit,
    /// How often tokens are handed out for one subject. Each replica of the operator counts by itself.
    #[serde(default = "default_subject_rate_limit")]
    pub subject_rate_limit: RateLimit,
}

fn fields(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array", "maxItems": 16, "items": {
            "type": "string", "minLength": 1, "maxLength": 128,
            "x-kubernetes-validations": [{"rule": FIELD, "message": FIELD_MESSAGE}],
        },
    })
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
