//! Azure OpenAI by way of Microsoft Entra: two requests for one mint, over the wire.

use jiff::{SignedDuration, Timestamp};
use realtime_token_operator::api::AzureOpenAi;
use realtime_token_operator::mint::{Ask, ClientConfig, Credential, EndpointPolicy, ProviderClient};
use realtime_token_operator::providers::Block;
use realtime_token_operator::token::{MintError, Minted};
use secrecy::ExposeSecret;
use serde_json::json;
use testkit::standin::StandIn;

use crate::start;

const ENTRA: &str = "/contoso.onmicrosoft.com/oauth2/v2.0/token";

async fn mint(standin: &StandIn, authority: &str, client_secret: &str) -> Result<Minted, MintError> {
    let origin = standin.origin("azureOpenAI");
    let block: AzureOpenAi = serde_json::from_value(json!({
        "deployment": "my-deployment",
        "endpoint": origin,
        "entra": {"tenantId": "contoso.onmicrosoft.com", "clientId": "app-1", "authority": authority},
    }))
    .unwrap();
    let ask = Ask {
        block: Block::AzureOpenAi(Box::new(block)),
        expiration: SignedDuration::from_secs(1800),
        namespace: "apps".to_owned(),
        subject: None,
        of_caller: false,
    };
    let credential = Credential::new([("AZURE_CLIENT_SECRET", client_secret.into())]);
    let endpoints = EndpointPolicy::parse(standin.origins()).unwrap();
    let config = ClientConfig {
        endpoints,
        ..ClientConfig::default()
    };
    let client = ProviderClient::new(&config).unwrap();
    client.mint(&ask, &credential, Timestamp::now()).await
}

#[tokio::test]
async fn the_access_token_comes_first_and_the_client_secret_goes_nowhere_else() {
    let standin = start();
    let authority = standin.origin("azureOpenAI");
    let minted = mint(&standin, &authority, "entra secret").await;
    assert_eq!(standin.complaints(), [""; 0]);
    let minted = minted.unwrap();
    assert!(minted.value.expose_secret().starts_with("ek_standin"));

    let calls = standin.calls();
    let paths: Vec<_> = calls.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(paths, [ENTRA, "/openai/v1/realtime/client_secrets"]);
    let header = |nth: usize, name: &str| {
        let mut headers = calls[nth].headers.iter();
        headers
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    assert_eq!(header(0, "authorization"), None);
    assert_eq!(header(1, "authorization"), Some("Bearer entra-token"));
    assert_eq!(header(1, "api-key"), None);
    assert!(!String::from_utf8_lossy(&calls[1].body).contains("secret="));
}

#[tokio::test]
async fn a_wrong_client_secret_ends_the_mint() {
    let standin = start();
    let authority = standin.origin("azureOpenAI");
    let error = mint(&standin, &authority, "entra wrong").await.unwrap_err();
    assert!(matches!(error, MintError::Rejected { credential: true, .. }), "{error}");
    assert!(!error.to_string().contains("entra wrong"), "{error}");
    assert_eq!(standin.count(), 1);
}

#[tokio::test]
async fn another_authority_must_be_listed() {
    let standin = start();
    let error = mint(&standin, "https://login.evil.example", "entra secret")
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("login.evil.example is not allowed"),
        "{error}"
    );
    assert!(error.to_string().contains("--allow-endpoint"), "{error}");
    assert_eq!(standin.count(), 0);
}
