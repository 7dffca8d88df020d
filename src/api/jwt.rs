use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::http::params;
use super::shapes::words;
use super::{Facts, FieldUse, Lifetime, Limits, ProviderBlock, RawObject, SecretField, rules};

/// The default of `maxSeconds`. A day: most SDKs sign for no longer.
const MAX_SECONDS: i64 = 86_400;

/// Any provider whose tokens are JWTs that its customers sign and that has no block of its own. Signed in the operator
/// with the key of the Secret; nothing is sent. Each token ends: `exp` is always set, and can't be set by hand. With a
/// ClusterRealtimeProvider the claims are the platform team's, and a RealtimeToken fills in its `params`.
///
/// Texts of claims and header may hold placeholders, each with a value of a type: `{{ keyId }}` (`key-id` of the key
/// Secret), `{{ subject }}` (who a token on request is for), `{{ namespace }}` (the RealtimeToken's), `{{ uuid }}`, `{{ ttlSeconds }}`, `{{ now }}` and `{{ expires }}` (seconds of the epoch),
/// `{{ nowMillis }}` and `{{ expiresMillis }}`, `{{ nowRfc3339 }}` and `{{ expiresRfc3339 }}`, `{{ params.NAME }}`,
/// and `{{ base64(…) }}` of any of them. Expressions of MiniJinja work too, as in target.template: `{{ now + 300 }}`. A
/// text that is one placeholder and nothing else becomes the value itself, such as a number.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Jwt {
    /// Values for `{{ params.NAME }}`: texts, numbers, `true` and `false`. `params.model` is what a
    /// ClusterRealtimeProvider's policy.allowedModels is compared with.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    #[schemars(schema_with = "params")]
    pub params: Map<String, Value>,
    /// The account side. Not allowed together with credentials.providerRef.
    #[serde(flatten)]
    pub account: JwtAccount,
}

impl ProviderBlock for Jwt {
    const FACTS: &'static Facts = &Facts {
        name: "jwt",
        title: "Generic JWT",
        lifetime: Lifetime::InBlock,
        secret_fields: &[SecretField {
            key: "signing-key",
            env: "SIGNING_KEY",
        }],
        config_has_model: true,
        fields: &[&[
            ("params.model", FieldUse::Model),
            ("params.room", FieldUse::Room),
            ("params.identity", FieldUse::Identity),
            ("params", FieldUse::FreeBelow),
        ]],
        subject: Some("the texts of `claims` and `header` that have `{{ subject }}`"),
        ..Facts::DEFAULT
    };
    const RULES: &'static [(&'static str, &'static str)] = &[(
        "has(self.credentials.providerRef) || (has(self.jwt.algorithm) && has(self.jwt.claims))",
        "jwt: set algorithm and claims, unless a ClusterRealtimeProvider has them",
    )];

    fn lifetime(&self) -> Lifetime {
        Lifetime::Chosen(Limits::new(
            "tokens",
            1,
            self.account.max_seconds.unwrap_or(MAX_SECONDS),
        ))
    }
}

/// The account side of tokens that are signed here: all but the params.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JwtAccount {
    /// The provider's name in token.json. Default: `jwt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: Option<String>,
    /// How the token is signed: HS256, HS384 and HS512 with a text, RS256 and ES256 with a private key in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub algorithm: Option<JwtAlgorithm>,
    /// What the key of HS256, HS384 and HS512 is: `Text` as it is, or `Base64` of the bytes. Default: Text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_encoding: Option<JwtKeyEncoding>,
    /// Fields of the header beside `alg` and `typ`, such as `kid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub header: Option<RawObject>,
    /// Whether the header has `"typ": "JWT"`. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub typ: Option<bool>,
    /// The claims but `exp`, `iat` and `nbf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "rules::any_object")]
    pub claims: Option<RawObject>,
    /// Whether there is `iat`, now less skewSeconds. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<bool>,
    /// Whether there is `nbf`, now less skewSeconds. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<bool>,
    /// How far `iat` and `nbf` lie in the past, for clocks that are slow. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 300))]
    pub skew_seconds: Option<i64>,
    /// The longest life that may be asked for. Default: 86400.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 2592000))]
    pub max_seconds: Option<i64>,
}

words! {
    /// How a token is signed.
    JwtAlgorithm: HS256 HS384 HS512 RS256 ES256;
    /// What the text of a key is.
    JwtKeyEncoding: Text Base64;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A doc comment can't read the constant.
    #[test]
    fn the_description_of_max_seconds_names_its_default() {
        let schema = schemars::schema_for!(JwtAccount).to_value();
        let description = schema["properties"]["maxSeconds"]["description"].as_str().unwrap();
        assert!(
            description.ends_with(&format!("Default: {MAX_SECONDS}.")),
            "{description}"
        );
    }
}
