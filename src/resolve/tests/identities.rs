//! Which ServiceAccount's token is exchanged, for which provider.

use super::*;

const GOOGLE: &str = "projects/1/locations/global/workloadIdentityPools/p/providers/c";

fn identity(exchange: &str) -> Value {
    let exchange = match exchange {
        "openai" => json!({"openai": {"identityProviderId": "idp_1", "serviceAccountId": "sa_1"}}),
        "azure" => json!({"azure": {"tenantId": "t", "clientId": "c"}}),
        _ => json!({"google": {"workloadIdentityProvider": GOOGLE}}),
    };
    let mut identity = json!({"serviceAccountName": "voice"});
    identity
        .as_object_mut()
        .unwrap()
        .extend(exchange.as_object().unwrap().clone());
    json!({"workloadIdentity": identity})
}

fn keyless(block: &Value, exchange: &str) -> Value {
    let mut spec = block.clone();
    spec["credentials"] = identity(exchange);
    spec
}

fn identity_of(found: &Resolved) -> &Identity {
    match &found.credential {
        CredentialRef::Identity(identity) => identity,
        CredentialRef::Key(key) => panic!("{key:?}"),
    }
}

fn http() -> Value {
    json!({"http": {
        "endpoint": "https://gateway.example.com", "request": {"path": "/v1/tokens"}, "ttl": {"fixedSeconds": 600},
        "response": {"token": "/token", "expiry": [{"from": "Ttl"}], "maxSeconds": 600},
    }})
}

#[test]
fn the_service_account_is_of_the_tokens_namespace_or_the_operators() {
    let own = resolved(&keyless(&openai(), "openai"), None).unwrap();
    assert_eq!(identity_of(&own).subject(), "system:serviceaccount:apps:voice");
    let mut platform = lent();
    platform["credentials"] = identity("openai");
    let lent = borrowed(&openai(), &platform).unwrap();
    assert_eq!(identity_of(&lent).subject(), "system:serviceaccount:operator:voice");
    assert_ne!(identity_of(&own).revision(), identity_of(&lent).revision());
    assert_eq!(own.credential.to_string(), "access token of ServiceAccount apps/voice");
}

#[test]
fn the_audience_is_the_clouds_unless_it_is_set() {
    let cases = [
        (openai(), "openai", "https://api.openai.com/v1".to_owned()),
        (
            json!({"azureOpenAI": {"deployment": "d", "resource": "r"}}),
            "azure",
            "api://AzureADTokenExchange".to_owned(),
        ),
        (http(), "google", format!("https://iam.googleapis.com/{GOOGLE}")),
    ];
    for (block, exchange, audience) in cases {
        let mut spec = keyless(&block, exchange);
        assert_eq!(identity_of(&resolved(&spec, None).unwrap()).audience, audience);
        spec["credentials"]["workloadIdentity"]["audience"] = "own".into();
        assert_eq!(identity_of(&resolved(&spec, None).unwrap()).audience, "own");
    }
}

#[test]
fn a_provider_takes_its_own_clouds_access_tokens() {
    let speech = json!({"azureSpeech": {"resource": "r"}});
    let azure = json!({"azureOpenAI": {"deployment": "d", "resource": "r"}});
    for (block, exchanges) in [
        (openai(), ["openai", "", ""]),
        (azure, ["azure", "", ""]),
        (speech, ["azure", "", ""]),
        (http(), ["openai", "azure", "google"]),
        (json!({"gemini": {}}), ["", "", ""]),
        (elevenlabs("SignedUrl"), ["", "", ""]),
    ] {
        for exchange in ["openai", "azure", "google"] {
            let answer = resolved(&keyless(&block, exchange), None);
            if exchanges.contains(&exchange) {
                assert!(answer.is_ok(), "{block} {exchange}: {answer:?}");
            } else {
                let reason = refused(answer, "azure with azureOpenAI and azureSpeech");
                assert_eq!(reason, Reason::InvalidSpec, "{block} {exchange}");
            }
        }
    }
}

#[test]
fn what_an_access_token_cannot_do_is_refused() {
    let entra =
        json!({"azureOpenAI": {"deployment": "d", "resource": "r", "entra": {"tenantId": "t", "clientId": "c"}}});
    let region = json!({"azureSpeech": {"region": "westeurope"}});
    let mut basic = http();
    basic["http"]["request"]["auth"] = json!({"kind": "Basic"});
    let mut with_id = http();
    with_id["http"]["request"]["headers"] = json!({"x-id": "{{ keyId }}"});
    for (block, text) in [
        (entra, "azureOpenAI.entra"),
        (region, "azureSpeech.resource"),
        (basic, "remove {{ keyId }}"),
        (with_id, "remove {{ keyId }}"),
    ] {
        assert_eq!(
            refused(resolved(&keyless(&block, "azure"), None), text),
            Reason::InvalidSpec
        );
    }
    let mut both = keyless(&openai(), "openai");
    both["credentials"]["secretRef"] = json!({"name": "key"});
    refused(resolved(&both, None), "exactly one of credentials.secretRef");
}

#[test]
fn a_token_is_sent_to_listed_origins_only() {
    let at = |origin: &str| {
        let mut spec = keyless(&openai(), "openai");
        spec["credentials"]["workloadIdentity"]["openai"]["endpoint"] = origin.into();
        resolved(&spec, None)
    };
    assert!(at("https://gateway.example.com").is_ok());
    let reason = refused(at("https://evil.example.com"), "--allow-endpoint");
    assert_eq!(reason, Reason::EndpointNotAllowed);
}

/// Another access token of the same identity makes no other token; another identity does.
#[test]
fn the_revision_is_the_identitys() {
    let of = |path: &str, value: &str| {
        let mut spec = keyless(&openai(), "openai");
        let (parent, field) = path.rsplit_once('/').unwrap();
        spec.pointer_mut(&format!("/credentials/workloadIdentity{parent}"))
            .unwrap()[field] = value.into();
        identity_of(&resolved(&spec, None).unwrap()).revision()
    };
    let first = of("/serviceAccountName", "voice");
    assert_eq!(first, of("/openai/identityProviderId", "idp_1"));
    for (path, value) in [
        ("/serviceAccountName", "other"),
        ("/audience", "own"),
        ("/openai/identityProviderId", "idp_2"),
        ("/openai/serviceAccountId", "sa_2"),
    ] {
        assert_ne!(first, of(path, value), "{path}");
    }
}
