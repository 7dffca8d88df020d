use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::shapes::words;
use super::{Exchange, Facts, FieldUse, Lifetime, Limits, ProviderBlock, RawObject, SecretField, rules};

/// Any provider that is asked over HTTP and has no block of its own: one request, one reply, both described here. With
/// a ClusterRealtimeProvider the description is the platform team's, and a RealtimeToken fills in its `params`.
///
/// Texts of the request may hold placeholders, each with a value of a type: `{{ ttlSeconds }}`, `{{ now }}` and
/// `{{ expires }}` (seconds of the epoch), `{{ nowMillis }}` and `{{ expiresMillis }}`, `{{ nowRfc3339 }}` and
/// `{{ expiresRfc3339 }}`, `{{ uuid }}`, `{{ subject }}` (who a token on request is for), `{{ namespace }}` (the RealtimeToken's), `{{ credential }}` and `{{ keyId }}` (`api-key` and `key-id` of the key
/// Secret), `{{ params.NAME }}`, and `{{ base64(…) }}` of any of them. Expressions of MiniJinja work too, as in
/// target.template: `{{ now + 300 }}`. In JSON a text that is one placeholder and nothing else becomes the value itself,
/// such as a number.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Http {
    /// Values for `{{ params.NAME }}`: texts, numbers, `true` and `false`. `params.model` is what a
    /// ClusterRealtimeProvider's policy.allowedModels is compared with.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "params")]
    pub params: Map<String, Value>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: HttpAccount,
}

impl ProviderBlock for Http {
    const FACTS: &'static Facts = &Facts {
        name: "http",
        title: "Generic HTTP",
        lifetime: Lifetime::InBlock,
        secret_fields: &[SecretField::api_key("API_KEY")],
        config_has_model: true,
        exchanges: Exchange::FIELDS,
        fields: &[&[
            ("params.model", FieldUse::Model),
            ("params.room", FieldUse::Room),
            ("params.identity", FieldUse::Identity),
            ("params", FieldUse::FreeBelow),
        ]],
        subject: Some("the texts of `request` that have `{{ subject }}`"),
        ..Facts::DEFAULT
    };
    const RULES: &'static [(&'static str, &'static str)] = &[
        (
            "has(self.credentials.providerRef) || (has(self.http.endpoint) && \
             has(self.http.request) && has(self.http.ttl) && has(self.http.response))",
            "http: set endpoint, request, ttl and response, unless a ClusterRealtimeProvider has them",
        ),
        (
            "!has(self.http.sideEffects) || !self.http.sideEffects || \
             (has(self.http.renewDespiteSideEffects) && self.http.renewDespiteSideEffects)",
            "http.sideEffects: each mint starts something at the provider, and tokens are minted by a timer; if that is \
             meant, set renewDespiteSideEffects too",
        ),
    ];

    fn lifetime(&self) -> Lifetime {
        let ttl = self.account.ttl.as_ref();
        match ttl.map(|ttl| (ttl.fixed_seconds, ttl.min_seconds, ttl.max_seconds)) {
            Some((Some(fixed), ..)) => Lifetime::Fixed(fixed),
            Some((None, min, Some(max))) => Lifetime::Chosen(Limits::new("tokens", min.unwrap_or(1), max)),
            _ => Lifetime::InBlock,
        }
    }
}

/// The account side of a provider that is asked over HTTP: all of the request but its params.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpAccount {
    /// The provider's name in token.json. Default: `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: Option<String>,
    /// The provider's origin, such as `https://api.example.com`. Works only if the operator was started with it in
    /// `--allow-endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::origin")]
    pub endpoint: Option<String>,
    /// What to send.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<HttpRequest>,
    /// How long a token lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<HttpTtl>,
    /// How to read the reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<HttpResponse>,
    /// `Single` if a token starts one session only: the RealtimeToken then says so in its conditions. Default: Multi.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<HttpReuse>,
    /// Whether a mint starts something at the provider that costs or shows, such as a call. Refused, unless
    /// renewDespiteSideEffects is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub side_effects: Option<bool>,
    /// Renew although each mint has side effects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew_despite_side_effects: Option<bool>,
}

/// What to send.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpRequest {
    /// The method. Default: POST.
    #[serde(default)]
    pub method: HttpMethod,
    /// The path, beginning with `/`. Values of placeholders are percent-encoded, each within its segment.
    #[schemars(length(min = 1, max = 1024))]
    pub path: String,
    /// The query; names are fixed, values may hold placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts")]
    pub query: BTreeMap<String, String>,
    /// Headers beside the one of `auth`; names are fixed, values may hold placeholders.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts")]
    pub headers: BTreeMap<String, String>,
    /// How the key is sent. Default: `Authorization: Bearer` and the key.
    #[serde(default)]
    pub auth: HttpAuth,
    /// A body of JSON. Without json and form a POST is sent empty, with `Content-Length: 0`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub json: Option<RawObject>,
    /// A body that is a form; names are fixed, values may hold placeholders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "texts")]
    pub form: Option<BTreeMap<String, String>>,
}

/// How the key is sent.
#[derive(JsonSchema, Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct HttpAuth {
    /// `Header`: the key behind a prefix. `Basic`: `username` and `password` of the key Secret as
    /// `Authorization: Basic`. A key that is base64 of both already goes by Header with the prefix `Basic `.
    pub kind: HttpAuthKind,
    /// The header (Header only).
    #[schemars(length(min = 1, max = 64))]
    pub header: String,
    /// What stands before the key, with its space; may be empty (Header only).
    #[schemars(length(max = 64))]
    pub prefix: String,
}

impl Default for HttpAuth {
    fn default() -> Self {
        Self {
            kind: HttpAuthKind::Header,
            header: "Authorization".into(),
            prefix: "Bearer ".into(),
        }
    }
}

/// How long a token lives: `fixedSeconds`, or `maxSeconds` if the request says how long.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpTtl {
    /// The shortest life that the provider grants. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2592000))]
    pub min_seconds: Option<i64>,
    /// The longest life that the provider grants. The request must then ask for one, with `{{ ttlSeconds }}` or
    /// `{{ expires }}`: left out, many providers give a token that never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2592000))]
    pub max_seconds: Option<i64>,
    /// The life that the provider's documentation states, where none can be asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 2592000))]
    pub fixed_seconds: Option<i64>,
}

/// How to read the reply.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpResponse {
    /// `Json`: an object or a list. `JsonString`: a text in quotes, the token. `Text`: the token as it is.
    #[serde(default)]
    pub format: HttpFormat,
    /// Where the token is, a JSON pointer such as `/data/token` (Json only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub token: Option<String>,
    /// More keys of the Secret, each with the JSON pointer to its value; what is no text is written as JSON (Json only).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "texts")]
    pub outputs: BTreeMap<String, String>,
    /// Where the end of the token's life is said, in this order. A reply in which none of them says it is refused.
    #[schemars(length(min = 1, max = 8))]
    pub expiry: Vec<HttpExpiry>,
    /// `First`: the first source that says something. `Earliest`: of all that do. Default: First.
    #[serde(default)]
    pub combine: HttpCombine,
    /// An end that is further away is refused, in seconds.
    #[serde(default = "week")]
    #[schemars(range(min = 10, max = 2592000))]
    pub max_seconds: i64,
    /// The statuses that bring a token. Default: 200 to 299.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "statuses")]
    pub success: Vec<u16>,
    /// Statuses beside 429 that mean: too many requests, wait.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "statuses")]
    pub throttled: Vec<u16>,
    /// Statuses beside 408, 409 and 500 to 599 that mean: try again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "statuses")]
    pub unavailable: Vec<u16>,
}

/// A place where the end of the token's life may be said.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct HttpExpiry {
    /// `Reply`: a value of the reply, at pointer. `Jwt`: `exp` of the token. `Ttl`: what was asked for, or
    /// ttl.fixedSeconds.
    #[serde(default)]
    pub from: HttpExpiryFrom,
    /// A JSON pointer such as `/expires_at` (Reply only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 256))]
    pub pointer: Option<String>,
    /// What stands there (Reply only): seconds from now on, as a number or as text; a point in time in seconds or
    /// milliseconds of the epoch, or as RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<HttpUnit>,
}

words! {
    /// The method of a request.
    HttpMethod: POST GET;
    /// How the key is sent.
    HttpAuthKind: Header Basic;
    /// What a reply is.
    HttpFormat: Json JsonString Text;
    /// Where an end is said.
    HttpExpiryFrom: Reply Jwt Ttl;
    /// How an end is said.
    HttpUnit: Seconds SecondsText EpochSeconds EpochMillis Rfc3339;
    /// Which of several ends counts.
    HttpCombine: First Earliest;
    /// How many sessions a token starts.
    HttpReuse: Multi Single;
}

fn week() -> i64 {
    7 * 24 * 3600
}

/// Values of any scalar type, by name.
pub(super) fn params(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true}})
}

fn texts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "maxProperties": 32, "additionalProperties": {"type": "string", "maxLength": 1024}})
}

fn statuses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "maxItems": 16, "items": {"type": "integer", "minimum": 200, "maximum": 599}})
}
