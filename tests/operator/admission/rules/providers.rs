//! Changes to the smallest spec of a ClusterRealtimeProvider.

use serde_json::{Value, json};

use super::Refusal;
use super::messages::*;

fn selector(expression: Value) -> Value {
    json!({"namespaceSelector": {"matchExpressions": [expression]}})
}

pub(super) fn accepted() -> Vec<Value> {
    vec![
        json!({}),
        json!({"openai": null, "elevenlabs": {"region": "EU", "endpoint": "https://gw.example"}}),
        json!({"namespaceSelector": {}}),
        json!({"namespaceSelector": {"matchLabels": {"team": "voice"}}}),
        selector(json!({"key": "team", "operator": "In", "values": ["voice"]})),
        selector(json!({"key": "team", "operator": "DoesNotExist"})),
        selector(json!({"key": "team", "operator": "Exists", "values": []})),
        json!({"policy": {"allowedModels": ["gpt-realtime-*"], "maxExpirationSeconds": 600}}),
        json!({"policy": {"allowedModels": ["{{ namespace }}", "{{ namespace }}_*", "*/{{ namespace }}", "a:{{ namespace }}.b", "a{b}"]}}),
        json!({"policy": {"allowedIdentities": ["*"], "allowedFields": ["openai.session.tools", "openai.session"]}}),
        json!({"openai": null, "livekit": {}, "policy": {"allowedRooms": ["{{ namespace }}_*"]}}),
    ]
}

pub(super) fn refused() -> Vec<Refusal> {
    let secret = |change: Value| json!({"credentials": {"secretRef": change}});
    let mut rows = vec![
        (json!({"openai": null}), "spec", ONE_BLOCK.as_str()),
        (json!({"elevenlabs": {}}), "spec", ONE_BLOCK.as_str()),
        (
            json!({"credentials": {"secretRef": null}}),
            "spec.credentials",
            ONE_PLATFORM_KEY,
        ),
        (secret(json!({"name": "Key"})), "spec.credentials.secretRef.name", NAME),
        (secret(json!({"key": "a key"})), "spec.credentials.secretRef.key", KEY),
        (
            json!({"openai": {"organization": "a b"}}),
            "spec.openai.organization",
            HEADER,
        ),
        (json!({"openai": {"project": "a b"}}), "spec.openai.project", HEADER),
        (
            json!({"openai": {"endpoint": "gw.example"}}),
            "spec.openai.endpoint",
            ENDPOINT,
        ),
        (
            json!({"openai": null, "elevenlabs": {"endpoint": "https://gw.example/v1"}}),
            "spec.elevenlabs.endpoint",
            ENDPOINT,
        ),
        (
            selector(json!({"key": "team", "operator": "In"})),
            "spec.namespaceSelector",
            SELECTOR,
        ),
        (
            selector(json!({"key": "team", "operator": "NotIn", "values": []})),
            "spec.namespaceSelector",
            SELECTOR,
        ),
        (
            selector(json!({"key": "team", "operator": "Exists", "values": ["voice"]})),
            "spec.namespaceSelector",
            SELECTOR,
        ),
    ];
    for pattern in [
        "{{ namespace }}-*",
        "{{ namespace }}*",
        "*{{ namespace }}",
        "x{{ namespace }}",
        "{{ namespace }}1",
        "{{namespace}}_*",
        "{{ name }}_*",
        "{{ namespace }}_{{ namespace }}",
        "a{{",
    ] {
        for (list, field) in [
            ("allowedModels", "spec.policy.allowedModels"),
            ("allowedRooms", "spec.policy.allowedRooms"),
            ("allowedIdentities", "spec.policy.allowedIdentities"),
        ] {
            rows.push((json!({"policy": {list: ["a", pattern]}}), field, PATTERN));
        }
    }
    for field in [
        "openai",
        "openai.",
        ".session",
        "openai.session tools",
        "openai..tools",
        "open-ai.session",
    ] {
        let policy = json!({"policy": {"allowedFields": [field]}});
        rows.push((policy, "spec.policy.allowedFields", ALLOWED_FIELD));
    }
    for field in ["livekit", "twilio", "daily", "agora"] {
        let account = json!({"openai": null, field: {}, "policy": {"allowedModels": ["a"]}});
        rows.push((account, "spec", OF_ROOMS));
    }
    rows
}
