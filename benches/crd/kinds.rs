//! The kinds that are compared: ours, ours without what may be dear, and a kind of the shape of External Secrets'.

use anyhow::{Context, Result};
use realtime_token_operator::api::crds;
use serde_json::{Value, json};

pub(crate) struct Kind {
    pub(crate) title: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) crd: Value,
    shape: Shape,
}

#[derive(Clone, Copy)]
enum Shape {
    RealtimeToken,
    SmallStatus,
    ExternalSecret,
}

const RULES: &str = "x-kubernetes-validations";

/// RealtimeToken as it ships comes first.
pub(crate) fn all() -> Result<Vec<Kind>> {
    let ours = crds()?
        .into_iter()
        .find(|crd| crd.spec.names.kind == "RealtimeToken")
        .context("no CRD of RealtimeTokens")?;
    let ours = serde_json::to_value(ours)?;
    let mut without_rules = ours.clone();
    remove(&mut without_rules, RULES);
    let mut flat = without_rules.clone();
    flat["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    flat["spec"]["versions"][0]["selectableFields"] = json!([]); // they name fields of that schema
    let kind = |title, plural, crd, shape| Kind {
        title,
        plural,
        crd: renamed(crd, plural),
        shape,
    };
    let token = Shape::RealtimeToken;
    Ok(vec![
        kind("RealtimeToken", "realtimetokens", ours, token),
        kind("without CEL rules", "ruleless", without_rules.clone(), token),
        kind("without rules and without a schema of spec", "flats", flat, token),
        kind(
            "without rules, with an ExternalSecret's status",
            "small",
            without_rules,
            Shape::SmallStatus,
        ),
        kind(
            "of the shape of an ExternalSecret",
            "externals",
            external(),
            Shape::ExternalSecret,
        ),
    ])
}

impl Kind {
    pub(crate) fn path(&self, namespace: &str) -> String {
        let group = &self.crd["spec"]["group"].as_str().unwrap_or_default();
        format!("/apis/{group}/v1alpha1/namespaces/{namespace}/{}", self.plural)
    }

    pub(crate) fn object(&self, name: &str) -> Value {
        let group = self.crd["spec"]["group"].as_str().unwrap_or_default();
        let spec = match self.shape {
            Shape::RealtimeToken | Shape::SmallStatus => json!({
                "openai": {
                    "model": "gpt-realtime-2.1",
                    "session": {"instructions": "Be brief.", "audio": {"output": {"voice": "marin"}}},
                    "reuse": "Multiple",
                },
                "credentials": {"secretRef": {"name": "openai", "key": "api-key"}},
                "expirationSeconds": 1800,
                "target": {"name": format!("{name}-token")},
            }),
            Shape::ExternalSecret => json!({
                "refreshInterval": "30m",
                "secretStoreRef": {"name": "vault", "kind": "SecretStore"},
                "target": {"name": name, "creationPolicy": "Owner"},
                "data": [
                    {"secretKey": "token", "remoteRef": {"key": "voice", "property": "token"}},
                    {"secretKey": "url", "remoteRef": {"key": "voice", "property": "url"}},
                ],
            }),
        };
        json!({
            "apiVersion": format!("{group}/v1alpha1"), "kind": self.crd["spec"]["names"]["kind"],
            "metadata": {"name": name}, "spec": spec,
        })
    }

    /// The status after a rotation.
    pub(crate) fn status(&self, revision: usize) -> Value {
        let at = |minute: usize| format!("2026-11-29T09:{:02}:07Z", (revision + minute) % 60);
        let condition = |type_: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": type_, "status": status, "reason": reason, "message": message, "observedGeneration": 1,
                "lastTransitionTime": "2026-11-29T09:00:07Z",
            })
        };
        let status = match self.shape {
            Shape::RealtimeToken => json!({
                "observedGeneration": 1,
                "conditions": [
                    condition("Ready", "True", "Issued", "The Secret holds a token."),
                    condition("Renewing", "False", "Issued", "The next token is not due yet."),
                    condition("FreshnessGuaranteed", "True", "Issued", "Mounted as a volume, the Secret always has a token with enough life left."),
                ],
                "provider": "openai", "secretRef": {"name": "voice"},
                "issuedAt": at(0), "usableUntil": at(30), "expiresAt": at(30), "renewalTime": at(20),
                "revision": revision,
            }),
            Shape::SmallStatus => json!({
                "secretRef": {"name": "voice"},
                "conditions": [condition("Ready", "True", "Issued", "The Secret holds a token.")],
                "renewalTime": at(20), "revision": revision,
            }),
            Shape::ExternalSecret => json!({
                "binding": {"name": "voice"},
                "conditions": [{
                    "type": "Ready", "status": "True", "reason": "SecretSynced", "message": "secret synced",
                    "lastTransitionTime": "2026-11-29T09:00:07Z",
                }],
                "refreshTime": at(0), "syncedResourceVersion": format!("1-{revision:028}"),
            }),
        };
        json!({"status": status})
    }
}

fn remove(value: &mut Value, key: &str) {
    match value {
        Value::Object(fields) => {
            fields.remove(key);
            fields.values_mut().for_each(|value| remove(value, key));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| remove(value, key)),
        _ => {}
    }
}

/// A group of its own for each: kinds of one group share what the API server knows of their fields.
fn renamed(mut crd: Value, plural: &str) -> Value {
    let spec = &mut crd["spec"];
    let group = format!("{plural}.bench.example.com");
    spec["group"] = json!(group);
    spec["names"] = json!({"plural": plural, "singular": plural, "kind": "Bench", "listKind": "BenchList"});
    crd["metadata"] = json!({"name": format!("{plural}.{group}")});
    crd
}

/// As many fields, and as deep, as ExternalSecret v1 has; it has no CEL rules, and a small status.
fn external() -> Value {
    let text = || json!({"type": "string", "maxLength": 253, "pattern": "^[-._a-zA-Z0-9]*$"});
    let one_of = |words: &[&str]| json!({"type": "string", "enum": words});
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let list = |items: Value| json!({"type": "array", "items": items});
    let texts = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    let remote = || {
        object(json!({
            "key": text(), "property": text(), "version": text(),
            "conversionStrategy": {"type": "string", "enum": ["Default", "Unicode"], "default": "Default"},
            "decodingStrategy": {"type": "string", "enum": ["Auto", "Base64", "None"], "default": "None"},
            "metadataPolicy": {"type": "string", "enum": ["None", "Fetch"], "default": "None"},
        }))
    };
    let store = || object(json!({"name": text(), "kind": one_of(&["SecretStore", "ClusterSecretStore"])}));
    let source = || {
        object(json!({
            "storeRef": store(),
            "generatorRef": object(json!({"apiVersion": text(), "kind": text(), "name": text()})),
        }))
    };
    let rewrite = object(json!({
        "regexp": object(json!({"source": text(), "target": text()})),
        "transform": object(json!({"template": text()})),
        "merge": object(json!({"into": text(), "strategy": text(), "conflictPolicy": text(), "priority": list(text())})),
    }));
    let items = || {
        list(object(
            json!({"key": text(), "templateAs": one_of(&["Values", "KeysAndValues"])}),
        ))
    };
    let from = || object(json!({"name": text(), "items": items()}));
    let template = object(json!({
        "data": texts(), "engineVersion": one_of(&["v2"]), "mergePolicy": one_of(&["Replace", "Merge"]), "type": text(),
        "metadata": object(json!({"annotations": texts(), "labels": texts(), "finalizers": list(text())})),
        "templateFrom": list(object(json!({
            "configMap": from(), "secret": from(), "literal": text(), "target": text(),
        }))),
    }));
    let find = object(json!({
        "path": text(), "tags": texts(), "name": object(json!({"regexp": text()})),
        "conversionStrategy": text(), "decodingStrategy": text(),
    }));
    let time = json!({"type": "string", "format": "date-time"});
    let condition = json!({
        "type": "object", "required": ["status", "type"],
        "properties": {
            "lastTransitionTime": time, "message": {"type": "string"}, "reason": {"type": "string"},
            "status": {"type": "string"}, "type": {"type": "string"},
        },
    });
    let schema = object(json!({
        "spec": object(json!({
            "data": list(object(json!({"secretKey": text(), "remoteRef": remote(), "sourceRef": source()}))),
            "dataFrom": list(object(json!({
                "extract": remote(), "find": find, "rewrite": list(rewrite), "sourceRef": source(),
            }))),
            "refreshInterval": {"type": "string", "default": "1h0m0s"},
            "refreshPolicy": one_of(&["CreatedOnce", "Periodic", "OnChange"]),
            "secretStoreRef": store(),
            "target": {
                "type": "object", "default": {"creationPolicy": "Owner", "deletionPolicy": "Retain"},
                "properties": {
                    "creationPolicy": {"type": "string", "enum": ["Owner", "Orphan", "Merge", "None"], "default": "Owner"},
                    "deletionPolicy": {"type": "string", "enum": ["Delete", "Merge", "Retain"], "default": "Retain"},
                    "immutable": {"type": "boolean"}, "name": text(), "template": template,
                },
            },
        })),
        "status": object(json!({
            "binding": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {
                "name": {"type": "string", "default": ""},
            }},
            "conditions": list(condition), "refreshTime": time, "syncedResourceVersion": {"type": "string"},
        })),
    }));
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "spec": {
            "scope": "Namespaced",
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}
