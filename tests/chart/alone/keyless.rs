//! Without a stored key: real tokens of ServiceAccounts, with the rights that the chart gives for it.

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use realtime_token_operator::api::ClusterRealtimeProvider;
use serde_json::{Value, json};

use super::setup::Setup;
use super::tenant::Tenant;

/// The chart's values, and the name of every ServiceAccount here.
pub const CALLER: &str = "caller";

/// From a ServiceAccount that isn't trusted yet to tokens for a team and for the platform's tenants, with one exchange for
/// each identity and another when its access token was revoked.
pub async fn exchanges_tokens(setup: &Setup, tenant: &Tenant, namespace: &str) {
    let (team, platform) = (subject(&tenant.namespace), subject(namespace));
    create_service_account(setup, &tenant.namespace, CALLER).await;
    create_service_account(setup, namespace, CALLER).await;
    trust(setup, &[]).await;
    tenant.create("keyless", keyless(setup, CALLER)).await;
    let text = tenant
        .condition("keyless", "Renewing", "True", "CredentialRejected")
        .await;
    assert!(
        text.contains("workloadIdentity.openai") && text.contains(&team),
        "{text}"
    );

    trust(setup, &[&team, &platform]).await;
    tenant
        .patch("keyless", json!({"spec": {"expirationSeconds": 1700}}))
        .await;
    tenant.revision("keyless", 1).await;
    tenant.create("keyless-too", keyless(setup, CALLER)).await;
    tenant.revision("keyless-too", 1).await;
    assert_eq!(setup.standin.exchanges(&team), 1, "one access token serves both");

    assert_eq!(setup.standin.complaints(), [""; 0]);
    setup.standin.revoke_access_tokens();
    tenant.force("keyless", "again").await;
    tenant.revision("keyless", 2).await;
    assert_eq!(setup.standin.exchanges(&team), 2);

    let provider = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": "keyless"},
        "spec": {
            "openai": {"endpoint": setup.standin.url()},
            "credentials": keyless(setup, CALLER)["credentials"],
            "namespaceSelector": {"matchLabels": {"team": "yes"}},
        },
    });
    let provider: ClusterRealtimeProvider = serde_json::from_value(provider).unwrap();
    let providers: Api<ClusterRealtimeProvider> = Api::all(setup.client.clone());
    providers.create(&PostParams::default(), &provider).await.unwrap();
    tenant.create("keyless-lent", tenant.lent("keyless")).await;
    tenant.revision("keyless-lent", 1).await;
    assert_eq!(setup.standin.exchanges(&platform), 1);
    assert_eq!(
        setup.standin.exchanges(&team),
        2,
        "a tenant's identity is not the platform's"
    );
}

/// Of another ServiceAccount the operator can't request a token, and says what would let it.
pub async fn says_which_right_is_missing(setup: &Setup, tenant: &Tenant) {
    create_service_account(setup, &tenant.namespace, "another").await;
    tenant.create("unnamed", keyless(setup, "another")).await;
    let text = tenant
        .condition("unnamed", "Renewing", "True", "CredentialNotFound")
        .await;
    let help = "add another to workloadIdentity.serviceAccountNames";
    assert!(text.contains(help), "{text}");
}

fn keyless(setup: &Setup, account: &str) -> Value {
    json!({
        "openai": {"model": "gpt-realtime-2.1", "endpoint": setup.standin.url()},
        "credentials": {"workloadIdentity": {
            "serviceAccountName": account,
            "openai": {
                "identityProviderId": "idp_1", "serviceAccountId": "sa_1",
                "endpoint": setup.standin.origin("exchange"),
            },
        }},
        "expirationSeconds": 1800,
    })
}

fn subject(namespace: &str) -> String {
    format!("system:serviceaccount:{namespace}:{CALLER}")
}

async fn create_service_account(setup: &Setup, namespace: &str, name: &str) {
    let account = ServiceAccount {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        },
        ..ServiceAccount::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(setup.client.clone(), namespace);
    accounts.create(&PostParams::default(), &account).await.unwrap();
}

/// Has the exchange trust these subjects by what the API server publishes of itself.
async fn trust(setup: &Setup, subjects: &[&str]) {
    let (issuer, jwks) = setup.cluster.issuer().await.unwrap();
    setup.standin.trust(&issuer, jwks, subjects.iter().copied());
}
