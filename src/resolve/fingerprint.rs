//! Which fields of a spec make the token: another fingerprint needs another token.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::mint::Ask;
use crate::token::hash;

/// Hash of everything that makes the token: the provider block with its account side, the life asked for, and the
/// templates that are rendered with the token. Renewal settings, labels and the deletion policy are not part of it, nor
/// is what a block says of how often its tokens may be used: a token is the same whatever is said of it.
pub(super) fn of_ask(ask: &Ask, templates: &BTreeMap<String, String>) -> String {
    #[derive(Serialize)]
    struct Makes<'a> {
        provider: &'static str,
        block: Value,
        expiration: i64,
        templates: &'a BTreeMap<String, String>,
    }
    // Maps with string keys, numbers and strings: serde_json can't fail on them.
    let mut block = serde_json::to_value(&ask.block).unwrap_or_default();
    if let Some(fields) = block.as_object_mut() {
        fields.shift_remove("reuse");
    }
    let makes = Makes {
        provider: ask.block.field(),
        block,
        expiration: ask.expiration.as_secs(),
        templates,
    };
    hash::short(&serde_json::to_vec(&makes).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// The fingerprint of a RealtimeToken's spec that uses the key Secret of its namespace.
    fn of_spec(spec: &serde_json::Value) -> String {
        let token = serde_json::json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": "voice", "namespace": "apps"}, "spec": spec,
        });
        let around = crate::resolve::ResolveContext {
            provider: None,
            namespace_labels: &BTreeMap::new(),
            operator_namespace: "operator",
            endpoints: &crate::mint::EndpointPolicy::parse(["https://gateway.example.com"]).unwrap(),
            metadata: &crate::resolve::MetadataPolicy::parse(["a"]).unwrap(),
        };
        let token = serde_json::from_value(token).unwrap();
        crate::resolve::resolve(&token, &around).unwrap().fingerprint
    }

    #[test]
    fn what_makes_another_token() {
        use serde_json::{Value, json};
        let openai = json!({
            "openai": {"model": "m", "session": {"instructions": "a"}},
            "credentials": {"secretRef": {"name": "key"}},
        });
        let elevenlabs = json!({
            "elevenlabs": {"kind": "ConversationToken", "agentId": "agent_1"},
            "credentials": {"secretRef": {"name": "key"}},
        });
        // A path, a value, and whether the token becomes another.
        let cases: [(&Value, &str, Value, bool); 33] = [
            (&openai, "/openai/model", "n".into(), true),
            (&openai, "/openai/kind", "Transcription".into(), true),
            (&openai, "/openai/session/instructions", "b".into(), true),
            (&openai, "/openai/session/tools", json!([]), true),
            (&openai, "/openai/safetyIdentifier", "u".into(), true),
            (&openai, "/openai/region", "EU".into(), true),
            (&openai, "/openai/organization", "o".into(), true),
            (&openai, "/openai/project", "p".into(), true),
            (&openai, "/openai/reuse", "Multiple".into(), false),
            (&openai, "/openai/endpoint", "https://gateway.example.com".into(), true),
            (&openai, "/expirationSeconds", 600.into(), true),
            (
                &openai,
                "/target",
                json!({"template": {"data": {"k": "{{ token }}"}}}),
                true,
            ),
            (&openai, "/expirationSeconds", 1800.into(), false),
            (&openai, "/suspend", true.into(), false),
            (
                &openai,
                "/renewal",
                json!({"renewBeforeSeconds": 5, "minRemainingSeconds": 0, "propagationSeconds": 1}),
                false,
            ),
            (
                &openai,
                "/target",
                json!({"template": {"metadata": {"labels": {"a": "b"}}}}),
                false,
            ),
            (
                &openai,
                "/target",
                json!({"template": {"metadata": {"annotations": {"a": "b"}}}}),
                false,
            ),
            (&openai, "/target", json!({"deletionPolicy": "Retain"}), false),
            (&openai, "/target", json!({"name": "elsewhere"}), false),
            // Another key is another credential revision, if its value is another.
            (&openai, "/credentials/secretRef/name", "b".into(), false),
            (&openai, "/credentials/secretRef/key", "b".into(), false),
            (&elevenlabs, "/elevenlabs/kind", "SignedUrl".into(), true),
            (&elevenlabs, "/elevenlabs/agentId", "agent_2".into(), true),
            (&elevenlabs, "/elevenlabs/participantName", "p".into(), true),
            (&elevenlabs, "/elevenlabs/branchId", "b".into(), true),
            (&elevenlabs, "/elevenlabs/versionId", "v".into(), true),
            (&elevenlabs, "/elevenlabs/environment", "staging".into(), true),
            (&elevenlabs, "/elevenlabs/voice", "v".into(), true),
            (&elevenlabs, "/elevenlabs/instructions", "i".into(), true),
            (&elevenlabs, "/elevenlabs/firstMessage", "hi".into(), true),
            (&elevenlabs, "/elevenlabs/language", "de".into(), true),
            (&elevenlabs, "/elevenlabs/region", "India".into(), true),
            (&elevenlabs, "/suspend", true.into(), false),
        ];
        assert_ne!(of_spec(&openai), of_spec(&elevenlabs));
        for (base, path, value, other) in cases {
            let (parent, field) = path.rsplit_once('/').unwrap();
            let mut changed = base.clone();
            changed.pointer_mut(parent).unwrap()[field] = value.clone();
            assert_eq!(of_spec(&changed) != of_spec(base), other, "{path}: {value}");
        }
    }
}
