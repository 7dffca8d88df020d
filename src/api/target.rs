use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rules;

/// The keys that every Secret has, which a template can't have.
pub const OWN_KEYS: [&str; 4] = ["token.json", "token", "expires-at", "provider"];

/// The keys that a Secret has beside them, or instead, where tokens are handed out on request.
pub const CONNECTION_KEYS: [&str; 2] = ["request-url", "request-ca.crt"];

/// The key that a token on whose RealtimeToken requests are served has beside it: whether a request may fall back to it.
pub const FALLBACK_KEY: &str = "request-fallback";

/// The type of the Secrets that the operator writes, so that no controller takes one for its own.
pub const TARGET_TYPE: &str = "realtime-token.dev/token";

/// How names of Secrets begin that Helm and the API server read by their name.
pub const RESERVED_SECRETS: [&str; 2] = ["sh.helm.release.", "bootstrap-token-"];

/// The message about a Secret of such a name.
pub const RESERVED: &str = "target.name, or the RealtimeToken's name if that isn't set: Helm takes Secrets named sh.helm.release.… for its own, \
     and the API server those named bootstrap-token-…; choose another";

/// The message about labels that make the Secret one of Helm's releases.
pub const OF_HELM: &str = "target.template.metadata.labels: with owner=helm Helm would take the Secret for one of its releases; \
     choose another value";

/// The Secret that holds the token.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.content != 'Connection' || !has(self.template) || !has(self.template.data) || size(self.template.data) == 0")
    .message("target.template.data is rendered with a token, and with content Connection the Secret holds none; remove it, or set content to Token"))]
#[x_kube(validation = Rule::new("!has(self.name) || !has(oldSelf.name) || self.name == oldSelf.name")
    .message(Target::IMMUTABLE)
    .field_path(".name"))]
#[x_kube(validation = Rule::new(format!("!has(self.name) || !self.name.matches('^({})')", reserved_in_cel()))
    .message(RESERVED)
    .field_path(".name"))]
pub struct Target {
    /// Name of the Secret. Default: the name of the RealtimeToken. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(rules::NAME).message(rules::NAME_MESSAGE))]
    pub name: Option<String>,
    /// What the Secret holds: `Token`, or with `Connection` only where to ask for tokens on request, for which
    /// `spec.requests` must be set. Nothing is minted on a schedule then, and `renewal` has no effect.
    #[serde(default)]
    pub content: TargetContent,
    /// What becomes of the Secret when the RealtimeToken is deleted.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Labels, annotations and further keys of the Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Box<Template>>,
}

/// How a reserved name begins, as a part of a regular expression.
pub(super) fn reserved_in_cel() -> String {
    RESERVED_SECRETS.map(|prefix| prefix.replace('.', "[.]")).join("|")
}

impl Target {
    /// The message about another name. Two rules have it: only the object's own root knows the name that stands for one
    /// left out, and looks from there are dear.
    pub(crate) const IMMUTABLE: &'static str =
        "target.name is immutable: to write to another Secret, delete the RealtimeToken and create it anew";
}

/// What the Secret holds: `Token` renews a token in it, `Connection` has only `request-url` and `request-ca.crt`.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum TargetContent {
    #[default]
    #[allow(
        missing_docs,
        reason = "a documented variant turns the schema's plain enum into a oneOf"
    )]
    Token,
    #[allow(missing_docs, reason = "as above")]
    Connection,
}

/// What becomes of the Secret when its RealtimeToken is deleted: `Delete` removes it with its owner, `Retain` keeps
/// it, and a RealtimeToken of the same name takes it over again.
#[derive(JsonSchema, Clone, Copy, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub enum DeletionPolicy {
    #[default]
    #[allow(
        missing_docs,
        reason = "a documented variant turns the schema's plain enum into a oneOf"
    )]
    Delete,
    #[allow(missing_docs, reason = "as above")]
    Retain,
}

/// What the Secret carries beside its four own keys.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// Labels and annotations of the Secret. Changing them never mints.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Further keys, as MiniJinja templates over `token`, `provider`, `expiresAt` (ms since the epoch),
    /// `expiresAtRfc3339` and `config`. Changing them mints: the operator keeps no token to render again.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16), schema_with = "template_data")]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^[-._a-zA-Z0-9]{1,253}$') && k != '.' && !k.startsWith('..'))")
        .message("target.template.data: a key of a Secret has letters, digits, '-', '_' and '.', and does not begin with '..'"))]
    #[x_kube(validation = Rule::new(format!("self.all(k, !(k in {}))", own_keys_in_cel()))
        .message("target.template.data: token.json, token, expires-at, provider, request-url, request-ca.crt and request-fallback are the operator's own keys"))]
    pub data: BTreeMap<String, String>,
}

/// Labels and annotations of the Secret.
#[derive(KubeSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "label_map")]
    #[x_kube(validation = Rule::new("!('owner' in self) || self['owner'] != 'helm'").message(OF_HELM))]
    #[x_kube(validation = Rule::new("self.all(k, !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|realtime-token[.]dev)/'))")
        .message("target.template.metadata.labels: keys below kubernetes.io, k8s.io and realtime-token.dev are reserved"))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))")
        .message("target.template.metadata.labels: a key has letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and may have a domain and '/' before it"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "annotation_map")]
    #[x_kube(validation = Rule::new("self.all(k, !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|realtime-token[.]dev)/'))")
        .message("target.template.metadata.annotations: keys below kubernetes.io, k8s.io and realtime-token.dev are reserved"))]
    #[x_kube(validation = Rule::new("self.all(k, k.matches('^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$'))")
        .message("target.template.metadata.annotations: a key has letters, digits, '-', '_' and '.', begins and ends with a letter or digit, and may have a domain and '/' before it"))]
    pub annotations: BTreeMap<String, String>,
}

impl TemplateMetadata {
    /// As the CRD's rule.
    #[must_use]
    pub fn is_of_helm(&self) -> bool {
        self.labels.get("owner").is_some_and(|owner| owner == "helm")
    }
}

/// A Secret of the same namespace, by name.
#[derive(JsonSchema, Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SecretName {
    /// Name of the Secret.
    pub name: String,
}

fn own_keys_in_cel() -> String {
    let keys = [&OWN_KEYS[..], &CONNECTION_KEYS, &[FALLBACK_KEY]].concat();
    format!("['{}']", keys.join("', '"))
}

fn string_map(value: serde_json::Value, max: u32) -> schemars::Schema {
    schemars::json_schema!({"type": "object", "additionalProperties": value, "maxProperties": max})
}

fn template_data(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    string_map(serde_json::json!({"type": "string", "maxLength": 8192}), 16)
}

fn label_map(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let value = serde_json::json!({
        "type": "string", "maxLength": 63, "x-kubernetes-validations": [{
            "rule": "self.matches('^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$')",
            "message": "a label's value has letters, digits, '-', '_' and '.', and begins and ends with a letter or digit",
        }],
    });
    string_map(value, 32)
}

fn annotation_map(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    string_map(serde_json::json!({"type": "string", "maxLength": 4096}), 32)
}
