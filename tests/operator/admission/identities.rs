//! `credentials.workloadIdentity`: its rules and bounds. `bounds` and `rules` leave it to this table.

use std::sync::LazyLock;

use serde_json::{Value, json};

use super::{ApiServer, Kind};

const ONE_EXCHANGE: &str = "workloadIdentity: set exactly one of openai, azure and google";
const AUDIENCE: &str = "workloadIdentity.audience: ASCII letters, digits and punctuation, no spaces";
const ID: &str = "an id has ASCII letters, digits and punctuation, no spaces";
const POOL: &str = "google.workloadIdentityProvider: the provider's full name, projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with the project's number";
const EMAIL: &str = "google.serviceAccountEmail: the email address of a Google service account";
const NAME: &str = "a name has lower-case letters, digits, '-' and '.', and begins and ends with a letter or digit";
const TENANT: &str = "the tenant's id, or one of its domains such as contoso.onmicrosoft.com";
/// Grows with the providers that take access tokens.
static EXCHANGES: LazyLock<String> = LazyLock::new(realtime_token_operator::api::exchange_message);

/// The messages that are tested here and not in `rules`.
pub(super) fn messages() -> Vec<String> {
    let here = [ONE_EXCHANGE, AUDIENCE, ID, POOL, EMAIL, EXCHANGES.as_str()];
    here.map(str::to_owned).into()
}

fn openai() -> Value {
    json!({"identityProviderId": "idp_1", "serviceAccountId": "sa_1"})
}

fn google() -> Value {
    json!({
        "workloadIdentityProvider": "projects/123/locations/global/workloadIdentityPools/pool/providers/cluster",
        "serviceAccountEmail": "voice@p.iam.gserviceaccount.com",
    })
}

fn azure() -> Value {
    json!({"tenantId": "contoso.onmicrosoft.com", "clientId": "app-1"})
}

/// A spec with this exchange, its account side included, which both kinds take.
fn spec(block: &Value, exchange: &Value) -> Value {
    let mut identity = json!({"serviceAccountName": "voice"});
    identity
        .as_object_mut()
        .unwrap()
        .extend(exchange.as_object().unwrap().clone());
    let mut spec = block.clone();
    spec["credentials"] = json!({"workloadIdentity": identity});
    spec
}

fn with(change: &Value) -> Value {
    let mut spec = spec(&json!({"openai": {"model": "m"}}), &json!({"openai": openai()}));
    let identity = spec["credentials"]["workloadIdentity"].as_object_mut().unwrap();
    for (key, value) in change.as_object().unwrap() {
        identity.insert(key.clone(), value.clone());
        identity.retain(|_, value| !value.is_null());
    }
    spec
}

fn http() -> Value {
    json!({"http": {
        "endpoint": "https://api.example.com", "request": {"path": "/v1/tokens"}, "ttl": {"fixedSeconds": 600},
        "response": {"token": "/token", "expiry": [{"from": "Ttl"}], "maxSeconds": 600},
    }})
}

#[tokio::test]
async fn each_exchange_goes_with_its_providers() {
    let server = ApiServer::new().await;
    let azure_openai = json!({"azureOpenAI": {"deployment": "d", "resource": "r"}});
    let speech = json!({"azureSpeech": {"resource": "r"}});
    for (block, exchange) in [
        (json!({"openai": {"model": "m"}}), json!({"openai": openai()})),
        (azure_openai, json!({"azure": azure()})),
        (speech, json!({"azure": azure()})),
        (http(), json!({"openai": openai()})),
        (http(), json!({"azure": azure(), "audience": "own"})),
        (http(), json!({"google": google()})),
    ] {
        server.accepts(Kind::Token, &spec(&block, &exchange)).await;
    }
    let account = spec(&json!({"openai": {}}), &json!({"openai": openai()}));
    server.accepts(Kind::Provider, &account).await;

    for (block, exchange) in [
        (json!({"openai": {"model": "m"}}), json!({"azure": azure()})),
        (json!({"azureSpeech": {"resource": "r"}}), json!({"google": google()})),
        // Google documents API keys only for the tokens of the Gemini API.
        (json!({"gemini": {}}), json!({"google": google()})),
        (json!({"elevenlabs": {"agentId": "a"}}), json!({"openai": openai()})),
    ] {
        server
            .refuses(Kind::Token, &spec(&block, &exchange), "spec", &EXCHANGES)
            .await;
    }
    let account = spec(&json!({"openai": {}}), &json!({"google": google()}));
    server.refuses(Kind::Provider, &account, "spec", &EXCHANGES).await;
}

#[tokio::test]
async fn its_fields_are_held_to_their_rules() {
    let server = ApiServer::new().await;
    let at = "spec.credentials.workloadIdentity";
    let long = |length: usize| "a".repeat(length);
    let mut pool = google();
    pool["workloadIdentityProvider"] =
        json!("projects/my-project/locations/global/workloadIdentityPools/p/providers/c");
    let mut email = google();
    email["serviceAccountEmail"] = json!("voice");
    let only = |name: &str, value: Value| {
        let mut exchange = json!({"openai": null, "azure": null, "google": null});
        exchange[name] = value;
        exchange
    };
    for (change, field, text) in [
        (json!({"openai": null}), "", ONE_EXCHANGE),
        (json!({"azure": azure()}), "", ONE_EXCHANGE),
        (json!({"serviceAccountName": "Voice"}), ".serviceAccountName", NAME),
        (
            json!({"serviceAccountName": long(254)}),
            ".serviceAccountName",
            "may not be more than 253",
        ),
        (
            json!({"serviceAccountName": null}),
            ".serviceAccountName",
            "Required value",
        ),
        (json!({"audience": "a b"}), ".audience", AUDIENCE),
        (json!({"audience": ""}), ".audience", "at least 1 chars"),
        (json!({"audience": long(513)}), ".audience", "may not be more than 512"),
        (
            only("openai", json!({"serviceAccountId": "s"})),
            ".openai.identityProviderId",
            "Required value",
        ),
        (
            only("openai", json!({"serviceAccountId": "s s", "identityProviderId": "i"})),
            ".openai.serviceAccountId",
            ID,
        ),
        (
            only(
                "openai",
                json!({"serviceAccountId": "s", "identityProviderId": long(129)}),
            ),
            ".openai.identityProviderId",
            "may not be more than 128",
        ),
        (
            only("azure", json!({"tenantId": "a/b", "clientId": "c"})),
            ".azure.tenantId",
            TENANT,
        ),
        (
            only("azure", json!({"tenantId": "t", "clientId": "c c"})),
            ".azure.clientId",
            ID,
        ),
        (
            only("azure", json!({"tenantId": "t", "clientId": "c", "scope": "a b"})),
            ".azure.scope",
            ID,
        ),
        (
            only(
                "azure",
                json!({"tenantId": "t", "clientId": "c", "authority": "login.example"}),
            ),
            ".azure.authority",
            "an endpoint is scheme, host",
        ),
        (only("google", pool), ".google.workloadIdentityProvider", POOL),
        (only("google", email), ".google.serviceAccountEmail", EMAIL),
    ] {
        let (spec, field) = (with(&change), format!("{at}{field}"));
        let complaints = server.admit(Kind::Token, &spec).await.unwrap_err();
        assert!(
            complaints.iter().any(|it| it.field == field && it.text.contains(text)),
            "{change}\nexpected {field}: {text}\ngot {complaints:#?}"
        );
    }
    // Beside another credential, and in place of none.
    let mut both = with(&json!({}));
    both["credentials"]["secretRef"] = json!({"name": "key"});
    server
        .refuses(Kind::Token, &both, "spec.credentials", super::rules::messages::ONE_KEY)
        .await;
}
