//! No field of a RealtimeToken reaches a Secret of another namespace.

use std::collections::BTreeMap;

use kube::api::{DynamicObject, Patch, PatchParams};
use realtime_token_operator::api::{ClusterRealtimeProvider, RealtimeToken, Reason};
use realtime_token_operator::mint::EndpointPolicy;
use realtime_token_operator::resolve::{CredentialRef, MetadataPolicy, ResolveContext, resolve};
use serde_json::{Value, json};

use crate::world::{put_secret, world};

/// Each way to name a foreign Secret is refused at admission, or means the Secret of that name in one's own namespace.
#[tokio::test]
async fn a_foreign_secret_can_not_be_named() {
    let victim = world().await.case("victim").await;
    let case = world().await.case("attacker").await;
    let foreign = victim.namespace.name().to_owned();
    let name = format!("key-of-{foreign}");
    for api in [victim.secrets(), victim.platform_secrets()] {
        put_secret(&api, &name, "api-key", &victim.key).await;
    }
    case.put_platform_key(&case.key).await;
    case.create_provider(case.account()).await;

    let references = [
        json!({"secretRef": {"name": name}}),
        json!({"secretRef": {"name": name, "namespace": foreign}}),
        json!({"secretRef": {"name": name, "namespace": case.world.platform.name()}}),
        json!({"secretRef": {"name": name}, "namespace": foreign}),
        json!({"secretRef": {"name": format!("{foreign}/{name}")}}),
        json!({"secretRef": {"name": format!("../{foreign}/secrets/{name}")}}),
        json!({"secretRef": {"name": format!("..%2f{foreign}%2fsecrets%2f{name}")}}),
        json!({"secretRef": {"name": format!("{name}?namespace={foreign}")}}),
        json!({"secretRef": {"name": ".."}}),
        json!({"secretRef": {"name": name, "key": "../../api-key"}}),
        json!({"providerRef": {"name": case.provider(), "namespace": foreign}, "secretRef": {"name": name}}),
        json!({"providerRef": {"name": name}}),
        json!({"providerRef": {"name": format!("{foreign}/{name}")}}),
    ];
    let mut admitted = Vec::new();
    for (n, reference) in references.iter().enumerate() {
        let token = format!("token-{n}");
        let mut spec = case.spec(&token);
        spec["credentials"] = reference.clone();
        if reference.get("providerRef").is_some() {
            spec["openai"].as_object_mut().unwrap().remove("endpoint");
        }
        // Fields that the schema doesn't know are dropped by the API server, as for a client that does not validate.
        match case.try_create(&token, spec).await {
            Ok(_) => admitted.push((token, reference)),
            Err(kube::Error::Api(status)) => {
                assert_eq!(status.code, 422, "{reference}: {status:?}")
            }
            Err(other) => panic!("{reference}: {other}"),
        }
    }
    // What is left means a Secret, or a provider, that isn't there.
    assert_eq!(admitted.len(), 5, "{admitted:?}");
    for (token, reference) in &admitted {
        let reason = if reference.get("providerRef").is_some() {
            "ProviderNotFound"
        } else {
            "CredentialNotFound"
        };
        case.not_issued(token, reason).await;
    }
    case.settle().await;
    assert!(victim.calls().is_empty(), "the victim's key was sent");

    // And then it is there, with another key, which is the one that is used.
    case.put_key(&name, &case.spare_key).await;
    for (token, reference) in &admitted {
        if reference.get("secretRef").is_some() {
            case.recovered(token, 1).await;
            assert_eq!(case.calls_of(token)[0].api_key.as_ref(), Some(&case.spare_key));
        }
    }
    assert!(victim.calls().is_empty(), "the victim's key was sent");
    case.assert_strict();
}

/// A tenant can't send the platform's key elsewhere.
#[tokio::test]
async fn the_account_side_is_the_platforms_alone() {
    let case = world().await.case("account-side").await;
    case.put_platform_key(&case.key).await;
    case.create_provider(case.account()).await;
    let standin = json!(case.world.standin.url());
    let openai = [
        ("region", json!("US")),
        ("endpoint", standin.clone()),
        ("organization", json!("o")),
        ("project", json!("p")),
    ];
    for (field, value) in openai {
        let mut spec = case.tenant("voice");
        spec["openai"][field] = value;
        refused(
            &case,
            spec,
            "come from the ClusterRealtimeProvider when credentials.providerRef is set; remove them",
        )
        .await;
    }
    for (field, value) in [("region", json!("US")), ("endpoint", standin)] {
        let spec = json!({
            "elevenlabs": {"kind": "SignedUrl", "agentId": "agent_1", field: value},
            "credentials": {"providerRef": {"name": case.provider()}},
        });
        refused(
            &case,
            spec,
            "come from the ClusterRealtimeProvider when credentials.providerRef is set; remove them",
        )
        .await;
    }
}

async fn refused(case: &crate::world::Case<'_>, spec: Value, words: &str) {
    match case.try_create("voice", spec.clone()).await {
        Err(kube::Error::Api(status)) => {
            assert!(status.message.contains(words), "{}", status.message)
        }
        other => panic!("{spec} was not refused: {other:?}"),
    }
}

/// Nor through a client that insists on strict validation: the API server names the unknown field.
#[tokio::test]
async fn a_namespace_field_is_unknown() {
    let case = world().await.case("strict").await;
    let mut spec = case.spec("voice");
    spec["credentials"]["secretRef"]["namespace"] = json!("kube-system");
    let token = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "voice"}, "spec": spec,
    });
    let resource = kube::core::ApiResource::erase::<RealtimeToken>(&());
    let api = kube::Api::<DynamicObject>::namespaced_with(case.namespace.client(), case.namespace.name(), &resource);
    let strict = PatchParams::apply("test").validation_strict();
    let error = api.patch("voice", &strict, &Patch::Apply(token)).await.unwrap_err();
    assert!(error.to_string().contains("credentials.secretRef.namespace"), "{error}");
}

/// A CRD of an older version may let through what the rules refuse today.
#[test]
fn the_core_refuses_what_admission_would() {
    let account = json!({"endpoint": "https://stranger.example"});
    let openai = json!({"model": "gpt-realtime-2.1"});
    let elevenlabs = json!({"kind": "SignedUrl", "agentId": "agent_1"});
    let allowed = EndpointPolicy::parse(["https://stranger.example"]).unwrap();
    for (provider, block, own) in [
        ("openai", &openai, account.clone()),
        ("openai", &openai, json!({"region": "EU"})),
        ("openai", &openai, json!({"organization": "org"})),
        ("openai", &openai, json!({"project": "proj"})),
        ("elevenlabs", &elevenlabs, account),
        ("elevenlabs", &elevenlabs, json!({"region": "EU"})),
    ] {
        let platform: ClusterRealtimeProvider = object(
            "ClusterRealtimeProvider",
            json!({provider: {}, "credentials": {"secretRef": {"name": "key"}}, "namespaceSelector": {}}),
        );
        let around = ResolveContext {
            provider: Some(&platform),
            namespace_labels: &BTreeMap::new(),
            operator_namespace: "platform",
            endpoints: &allowed,
            metadata: &MetadataPolicy::default(),
        };
        let token = |block: &Value| -> RealtimeToken {
            object(
                "RealtimeToken",
                json!({provider: block, "credentials": {"providerRef": {"name": "it"}}}),
            )
        };
        let found = resolve(&token(block), &around).unwrap();
        assert!(matches!(&found.credential, CredentialRef::Key(key) if key.namespace == "platform"));

        let mut with_own = block.clone();
        with_own
            .as_object_mut()
            .unwrap()
            .extend(own.as_object().unwrap().clone());
        let blocked = resolve(&token(&with_own), &around).unwrap_err();
        assert_eq!(blocked.reason, Reason::InvalidSpec, "{own}");
        assert!(
            blocked
                .message
                .contains("come from ClusterRealtimeProvider it; remove them here"),
            "{blocked}"
        );
    }
}

fn object<K: serde::de::DeserializeOwned>(kind: &str, spec: Value) -> K {
    let object = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": kind, "spec": spec,
        "metadata": {"name": "it", "namespace": "tenant"},
    });
    serde_json::from_value(object).unwrap()
}
