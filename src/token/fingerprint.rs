//! Short hashes: which fields make the token, and a deterministic stand-in for randomness.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use aws_lc_rs::digest::{SHA256, digest};
use jiff::SignedDuration;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::providers::{Ask, Block};

/// Hash of everything that makes the token: the provider block with its account side, the life asked for, and the
/// templates that are rendered with the token. Renewal settings, labels and the deletion policy are not part of it.
#[must_use]
pub fn of_ask(ask: &Ask, templates: &BTreeMap<String, String>) -> String {
    #[derive(Serialize)]
    struct Makes<'a> {
        provider: &'static str,
        block: &'a Block,
        expiration: i64,
        templates: &'a BTreeMap<String, String>,
    }
    let makes = Makes {
        provider: ask.block.field(),
        block: &ask.block,
        expiration: ask.expiration.as_secs(),
        templates,
    };
    // Maps with string keys, numbers and strings: serde_json can't fail on them.
    short(&serde_json::to_vec(&makes).unwrap_or_default())
}

/// Hash of the key's values, to notice that they changed. 64 bits of SHA-256 reveal nothing of a random key.
pub fn of_credential<'a>(values: impl Iterator<Item = &'a SecretString>) -> String {
    let mut bytes = b"realtime-token.dev/credential".to_vec();
    for value in values {
        bytes.push(0);
        bytes.extend_from_slice(value.expose_secret().as_bytes());
    }
    short(&bytes)
}

/// 64 bits of SHA-256, as 16 hexadecimal digits.
#[must_use]
pub fn short(bytes: &[u8]) -> String {
    digest(&SHA256, bytes)
        .as_ref()
        .iter()
        .take(8)
        .fold(String::with_capacity(16), |mut text, byte| {
            let _ = write!(text, "{byte:02x}"); // writing to a String can't fail
            text
        })
}

/// A duration in `0..=max`, the same for the same uid and purpose: the core knows no random numbers.
#[must_use]
pub fn uniform(uid: &str, purpose: &str, max: SignedDuration) -> SignedDuration {
    let hash = digest(&SHA256, format!("{uid}/{purpose}").as_bytes());
    let seed = hash
        .as_ref()
        .iter()
        .take(8)
        .fold(0u64, |seed, byte| (seed << 8) | u64::from(*byte));
    let max_millis = u128::try_from(max.as_millis()).unwrap_or(0);
    let millis = (u128::from(seed) * (max_millis + 1)) >> 64; // at most max_millis
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn uniform_stays_in_bounds_and_spreads() {
        let max = SignedDuration::from_secs(60);
        let drawn: Vec<_> = (0..1000)
            .map(|n| uniform(&format!("uid-{n}"), "renewal", max))
            .collect();
        assert!(drawn.iter().all(|d| *d >= SignedDuration::ZERO && *d <= max));
        let early = drawn.iter().filter(|d| **d < max / 2).count();
        assert!((400..600).contains(&early), "{early} of 1000 in the first half");
        assert_eq!(uniform("a", "renewal", SignedDuration::ZERO), SignedDuration::ZERO);
    }

    #[test]
    fn credential_values_do_not_run_into_each_other() {
        let of = |values: &[&str]| {
            let secrets: Vec<SecretString> = values.iter().map(|v| SecretString::from(*v)).collect();
            of_credential(secrets.iter())
        };
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_eq!(of(&["ab"]).len(), 16);
    }

    /// The fingerprint of a RealtimeToken's spec that uses the key Secret of its namespace.
    fn of_spec(spec: &serde_json::Value) -> String {
        let token = serde_json::json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": "voice", "namespace": "apps"}, "spec": spec,
        });
        let around = crate::token::resolve::Surroundings {
            provider: None,
            namespace_labels: &BTreeMap::new(),
            operator_namespace: "operator",
            endpoints: &crate::providers::EndpointPolicy::parse(["https://gateway.example.com"]).unwrap(),
        };
        let token = serde_json::from_value(token).unwrap();
        crate::token::resolve::resolve(&token, &around).unwrap().fingerprint
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
        let cases: [(&Value, &str, Value, bool); 32] = [
            (&openai, "/openai/model", "n".into(), true),
            (&openai, "/openai/kind", "Transcription".into(), true),
            (&openai, "/openai/session/instructions", "b".into(), true),
            (&openai, "/openai/session/tools", json!([]), true),
            (&openai, "/openai/safetyIdentifier", "u".into(), true),
            (&openai, "/openai/region", "EU".into(), true),
            (&openai, "/openai/organization", "o".into(), true),
            (&openai, "/openai/project", "p".into(), true),
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
