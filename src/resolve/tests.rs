//! Who may use what, and with which key.

mod customized;
mod described;
mod identities;
mod limits;
mod policies;
mod rate_limits;
mod subjects;
mod targets;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn token(spec: &Value) -> RealtimeToken {
    token_named("voice", "apps", spec)
}

fn token_named(name: &str, namespace: &str, spec: &Value) -> RealtimeToken {
    serde_json::from_value(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": name, "namespace": namespace}, "spec": spec,
    }))
    .unwrap()
}

fn provider(spec: &Value) -> ClusterRealtimeProvider {
    serde_json::from_value(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider",
        "metadata": {"name": "platform"}, "spec": spec,
    }))
    .unwrap()
}

/// An OpenAI account, lent to all.
fn lent() -> Value {
    json!({
        "openai": {"region": "EU", "organization": "org"},
        "credentials": {"secretRef": {"name": "platform-key", "key": "k"}},
        "namespaceSelector": {},
    })
}

fn borrowing(block: &Value) -> Value {
    let mut spec = block.clone();
    spec["credentials"] = json!({"providerRef": {"name": "platform"}});
    spec
}

fn openai() -> Value {
    json!({"openai": {"model": "gpt-realtime-2.1"}})
}

fn elevenlabs(kind: &str) -> Value {
    json!({"elevenlabs": {"agentId": "agent_1", "kind": kind}})
}

fn with_own_key(block: &Value) -> Value {
    let mut spec = block.clone();
    spec["credentials"] = json!({"secretRef": {"name": "own-key"}});
    spec
}

/// Resolves in a namespace with the label team=voice.
fn resolved(spec: &Value, provider_spec: Option<&Value>) -> Result<Resolved, Blocked> {
    let provider = provider_spec.map(provider);
    resolve(
        &token(spec),
        &ResolveContext {
            provider: provider.as_ref(),
            namespace_labels: &BTreeMap::from([("team".to_owned(), "voice".to_owned())]),
            operator_namespace: "operator",
            endpoints: &EndpointPolicy::parse(["https://gateway.example.com"]).unwrap(),
            metadata: &MetadataPolicy::default(),
        },
    )
}

fn key_of(found: &Resolved) -> &KeyRef {
    match &found.credential {
        CredentialRef::Key(key) => key,
        CredentialRef::Identity(identity) => panic!("{identity:?}"),
    }
}

fn borrowed(block: &Value, provider_spec: &Value) -> Result<Resolved, Blocked> {
    resolved(&borrowing(block), Some(provider_spec))
}

/// The reason for a refusal; the message has to hold this text.
fn refused(answer: Result<Resolved, Blocked>, text: &str) -> Reason {
    let blocked = answer.unwrap_err();
    assert!(blocked.message.contains(text), "{}", blocked.message);
    blocked.reason
}

#[test]
fn namespaces_are_shut_out_by_default() {
    let admitted = |selector: &Value| {
        let mut spec = lent();
        spec["namespaceSelector"] = selector.clone();
        borrowed(&openai(), &spec).map(|_| ())
    };
    let expression = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
    for selector in [
        json!({}),
        json!({"matchLabels": {}}),
        json!({"matchLabels": {"team": "voice"}}),
        expression("team", "In", &["chat", "voice"]),
        expression("team", "NotIn", &["chat"]),
        expression("team", "Exists", &[]),
        expression("stage", "DoesNotExist", &[]),
    ] {
        assert_eq!(admitted(&selector), Ok(()), "{selector}");
    }
    // What exists for others can't be told from what doesn't.
    let missing = resolved(&borrowing(&openai()), None).unwrap_err();
    assert_eq!(missing.reason, Reason::ProviderNotFound);
    assert!(
        missing
            .message
            .contains("namespace apps has no ClusterRealtimeProvider platform"),
        "{}",
        missing.message
    );
    for selector in [
        json!(null),
        json!({"matchLabels": {"team": "chat"}}),
        json!({"matchLabels": {"team": "voice", "stage": "prod"}}),
        expression("team", "In", &["chat"]),
        expression("team", "NotIn", &["voice"]),
        expression("team", "DoesNotExist", &[]),
        expression("stage", "Exists", &[]),
        expression("team", "Equals", &["voice"]),
        expression("team", "in", &["voice"]),
    ] {
        assert_eq!(admitted(&selector), Err(missing.clone()), "{selector}");
    }
}

#[test]
fn the_account_comes_from_the_provider() {
    let found = borrowed(&openai(), &lent()).unwrap();
    let Block::OpenAi(block) = &found.ask.block else {
        panic!("{:?}", found.ask)
    };
    assert_eq!(block.account.organization.as_deref(), Some("org"));
    assert_eq!(block.account.region, Some(crate::api::OpenAiRegion::EU));
    let mut spec = lent();
    spec.as_object_mut().unwrap().remove("openai");
    spec["elevenlabs"] = json!({"region": "India"});
    let found = borrowed(&elevenlabs("SignedUrl"), &spec).unwrap();
    let Block::ElevenLabs(block) = &found.ask.block else {
        panic!("{:?}", found.ask)
    };
    let india = crate::api::ElevenLabsRegion::India;
    assert_eq!(block.account.region, Some(india));
}

#[test]
fn a_borrower_brings_no_account_of_its_own() {
    for (field, value) in [
        ("region", "EU"), // the same as the provider's, and still not the borrower's to say
        ("region", "Global"),
        ("organization", "org"),
        ("project", "p"),
        ("endpoint", "https://gateway.example.com"),
    ] {
        let mut spec = openai();
        spec["openai"][field] = value.into();
        let reason = refused(borrowed(&spec, &lent()), "come from ClusterRealtimeProvider platform");
        assert_eq!(reason, Reason::InvalidSpec, "{field}");
    }
    let mut account = lent();
    account.as_object_mut().unwrap().remove("openai");
    account["elevenlabs"] = json!({});
    for (field, value) in [("region", "US"), ("endpoint", "https://gateway.example.com")] {
        let mut spec = elevenlabs("SignedUrl");
        spec["elevenlabs"][field] = value.into();
        let reason = refused(borrowed(&spec, &account), "come from ClusterRealtimeProvider");
        assert_eq!(reason, Reason::InvalidSpec, "{field}");
    }
    let other = borrowed(&openai(), &account);
    assert_eq!(refused(other, "is not an account of openai"), Reason::InvalidSpec);
    let other = borrowed(&elevenlabs("SignedUrl"), &lent());
    assert_eq!(refused(other, "is not an account of elevenlabs"), Reason::InvalidSpec);
}

#[test]
fn endpoints_are_checked_wherever_they_come_from() {
    for (endpoint, allowed) in [
        ("https://gateway.example.com", true),
        ("https://GATEWAY.example.com:443", true),
        ("http://gateway.example.com", false),
        ("https://gateway.example.com.evil.example", false),
        ("https://api.openai.com@evil.example", false),
    ] {
        let mut own = with_own_key(&openai());
        own["openai"]["endpoint"] = endpoint.into();
        let mut account = lent();
        account["openai"]["endpoint"] = endpoint.into();
        for answer in [resolved(&own, None), borrowed(&openai(), &account)] {
            let reason = answer.err().map(|blocked| blocked.reason);
            let expected = (!allowed).then_some(Reason::EndpointNotAllowed);
            assert_eq!(reason, expected, "{endpoint}");
        }
    }
}

#[test]
fn exactly_one_of_each() {
    let both = json!({"openai": {"model": "m"}, "elevenlabs": {"agentId": "a"}});
    for block in [both, json!({})] {
        let reason = refused(resolved(&with_own_key(&block), None), "exactly one provider block");
        assert_eq!(reason, Reason::InvalidSpec);
    }
    let mut two = borrowing(&openai());
    two["credentials"]["secretRef"] = json!({"name": "own-key"});
    let mut none = openai();
    none["credentials"] = json!({});
    for spec in [two, none] {
        let reason = refused(resolved(&spec, Some(&lent())), "exactly one of credentials");
        assert_eq!(reason, Reason::InvalidSpec);
    }
    let missing = resolved(&borrowing(&openai()), None);
    let reason = refused(missing, "no ClusterRealtimeProvider platform");
    assert_eq!(reason, Reason::ProviderNotFound);
}

#[test]
fn a_wrong_template_is_found_before_a_mint() {
    for (template, why) in [
        ("{{ tokn }}", "unknown variable"),
        ("{{ token", "syntax error"),
        ("{{ 'x' * 300000 }}", "target.template.data"),
    ] {
        let mut spec = with_own_key(&openai());
        spec["target"] = json!({"template": {"data": {"k": template}}});
        assert_eq!(refused(resolved(&spec, None), why), Reason::InvalidSpec);
    }
    let mut spec = with_own_key(&openai());
    spec["target"] = json!({"template": {"data": {"k": "{{ token }}"}}});
    assert!(resolved(&spec, None).is_ok());
}

proptest! {
    #[test]
    fn the_key_is_in_the_tokens_namespace_or_the_operators(
        name in "[a-z0-9./-]{1,20}", namespace in "[a-z0-9-]{1,12}", operator in "[a-z0-9-]{1,12}",
        secret in "[a-zA-Z0-9./-]{1,30}", key in "[a-zA-Z0-9./_-]{1,30}",
    ) {
        let reference = json!({"name": secret, "key": key});
        let mut platform = lent();
        platform["credentials"]["secretRef"] = reference.clone();
        let platform = provider(&platform);
        let around = ResolveContext {
            provider: Some(&platform),
            namespace_labels: &BTreeMap::new(),
            operator_namespace: &operator,
            endpoints: &EndpointPolicy::default(),
            metadata: &MetadataPolicy::default(),
        };
        let mut own = openai();
        own["credentials"] = json!({"secretRef": reference});
        for (spec, expected) in [(own, &namespace), (borrowing(&openai()), &operator)] {
            let found = resolve(&token_named(&name, &namespace, &spec), &around).unwrap();
            let found = key_of(&found);
            prop_assert_eq!(&found.namespace, expected);
            prop_assert_eq!((&found.name, &found.key), (&secret, &key));
        }
    }
}

/// News of a credential is for them, and for no other.
#[test]
fn which_requests_are_minted_with_a_credential() {
    let lent = provider(&lent());
    let of_lent = CredentialRef::of_provider("operator", &lent).unwrap();
    let own = resolved(&with_own_key(&openai()), None).unwrap().credential;
    let requested = |mut spec: Value| {
        spec["requests"] = json!({});
        token(&spec)
    };
    let is_with = |credential, token: &RealtimeToken, lent| is_requested_with(credential, token, lent, "operator");
    let (borrower, owner) = (requested(borrowing(&openai())), requested(with_own_key(&openai())));
    assert!(is_with(&of_lent, &borrower, Some(&lent)));
    assert!(is_with(&own, &owner, None));
    assert!(!is_with(&own, &borrower, Some(&lent)));
    assert!(!is_with(&of_lent, &owner, None));
    assert!(!is_with(&of_lent, &borrower, None), "the provider is gone");
    let mut other = lent.clone();
    other.spec.credentials.secret_ref.as_mut().unwrap().name = "other".to_owned();
    assert!(!is_with(&of_lent, &borrower, Some(&other)));
    let elsewhere = token_named("voice", "other", &serde_json::to_value(&owner.spec).unwrap());
    assert!(!is_with(&own, &elsewhere, None), "a Secret of the same name");
    assert!(!is_with(&own, &token(&with_own_key(&openai())), None), "no requests");
}
