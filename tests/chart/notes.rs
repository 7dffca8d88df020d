//! What people read after an install.

use realtime_token_operator::api::{RealtimeToken, SubjectUse, TargetContent};
use serde_json::json;

use crate::chart::notes;

#[test]
fn they_say_what_to_do_next_and_what_never_to_do() {
    let notes = notes(json!({}), &[]);
    for part in [
        "is installed in the namespace platform",
        "RealtimeTokens in every namespace",
        "kubectl --namespace platform rollout status deployment/realtime-token-operator",
        "helm --namespace platform test realtime-token-operator",
        "kind: RealtimeToken",
        "secret: {secretName: voice}",
        "wait --for=condition=Ready realtimetoken/voice",
        "NEVER with subPath, and NEVER as an environment variable",
        "An OpenAI token is reported to start one session",
        "Keys of ClusterRealtimeProviders are Secrets in platform",
        "`helm uninstall` keeps the CRDs",
    ] {
        assert!(notes.contains(part), "{part} in\n{notes}");
    }
    assert!(!notes.contains("***"), "nothing to warn of:\n{notes}");
}

/// The commands are there to be pasted.
#[test]
fn their_manifest_is_a_realtimetoken() {
    let notes = notes(json!({"watchNamespaces": ["shop"]}), &[]);
    assert!(notes.contains("in shop, and nowhere else"), "{notes}");
    let token = manifest(&notes);
    assert_eq!(token.metadata.name.as_deref(), Some("voice"));
    assert!(token.spec.requests.is_none());
    assert!(
        notes.contains("create secret generic openai --from-literal=api-key="),
        "{notes}"
    );
    assert!(notes.contains("realtimetoken/voice"), "{notes}");
}

fn manifest(notes: &str) -> RealtimeToken {
    let (_, rest) = notes.split_once(" apply -f - <<EOF\n").unwrap();
    let (manifest, _) = rest.split_once("EOF\n").unwrap();
    serde_saphyr::from_str(manifest).unwrap()
}

#[test]
fn they_say_who_may_ask_for_tokens() {
    let notes = notes(json!({"requests": {"enabled": true}}), &[]);
    let spec = manifest(&notes).spec;
    assert_eq!(spec.requests.unwrap().subject, SubjectUse::Required);
    assert_eq!(spec.target.content, TargetContent::Connection);
    for part in [
        "wait --for=condition=Serving realtimetoken/voice",
        "served at https://realtime-token-operator.platform.svc, for RealtimeTokens",
        "--verb=create --resource=realtimetokens.realtime-token.dev/token --resource-name=voice",
        "--role=request-voice-tokens --serviceaccount=my-team:voice-app",
    ] {
        assert!(notes.contains(part), "{part} in\n{notes}");
    }
    assert!(
        !notes.contains("token.json"),
        "the Secret has none with target.content Connection:\n{notes}"
    );
    assert!(!notes.contains("***"), "nothing to warn of:\n{notes}");
}

#[test]
fn they_warn_of_what_is_out_of_the_ordinary() {
    let warned = |values, warning: &str| {
        let notes = notes(values, &[]);
        assert!(notes.contains(warning), "{warning} in\n{notes}");
        assert!(notes.contains("***"), "{notes}");
    };
    warned(
        json!({"crds": {"keep": false}}),
        "`helm uninstall` deletes the CRDs, and with them every RealtimeToken",
    );
    warned(
        json!({"hostNetwork": true, "networkPolicy": {"enabled": true}}),
        "NetworkPolicies don't apply",
    );
    warned(json!({"crds": {"install": false}}), "the CRDs must come from elsewhere");
    warned(json!({"rbac": {"create": false}}), "must get its rights from you");
}
