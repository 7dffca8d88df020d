//! Where keys go, and where they don't.

use jiff::Timestamp;
use realtime_token_operator::mint::{ClientConfig, EndpointPolicy, ProviderClient};
use serde_json::json;
use testkit::standin::Fault;

use crate::{class, credential, elevenlabs, mint, openai, start};

fn client_for(allowed: &[&str]) -> ProviderClient {
    let endpoints = EndpointPolicy::parse(allowed).unwrap();
    ProviderClient::new(&ClientConfig {
        endpoints,
        ..ClientConfig::default()
    })
    .unwrap()
}

#[tokio::test]
async fn an_unlisted_endpoint_is_never_called() {
    let standin = start();
    let port = standin.addr().port();
    let other_scheme = format!("https://127.0.0.1:{port}");
    let other_host = format!("http://localhost:{port}");
    for allowed in [&[][..], &[other_scheme.as_str()], &[&other_host], &["http://127.0.0.1"]] {
        let ask = openai(&standin, json!({}));
        let error = client_for(allowed)
            .mint(&ask, &credential(&ask), Timestamp::now())
            .await
            .unwrap_err();
        assert_eq!(class(&error), "rejected");
        assert!(error.to_string().contains("--allow-endpoint"), "{error}");
        assert!(error.to_string().contains(&standin.url()), "{error}");
    }
    assert_eq!(standin.count(), 0);
}

#[tokio::test]
async fn a_listed_endpoint_is_called() {
    let standin = start();
    let shouted = standin.url().to_uppercase();
    let ask = openai(&standin, json!({}));
    client_for(&["https://gw.example", &shouted])
        .mint(&ask, &credential(&ask), Timestamp::now())
        .await
        .unwrap();
    assert_eq!(standin.count(), 1);
}

#[tokio::test]
async fn an_endpoint_with_a_path_is_refused_whatever_is_listed() {
    let standin = start();
    for suffix in ["/v1", "/?", "#x", "/../"] {
        let endpoint = format!("{}{suffix}", standin.url());
        let ask = openai(&standin, json!({"endpoint": endpoint}));
        let error = mint(&standin, &ask).await.unwrap_err();
        assert!(error.to_string().contains("write scheme, host"), "{error}");
    }
    assert_eq!(standin.count(), 0);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (standin, elsewhere) = (start(), start());
    for ask in [openai(&standin, json!({})), elevenlabs(&standin, json!({}))] {
        // To a host that would answer, even to one that is listed.
        for target in [elsewhere.url(), standin.url()] {
            standin.clear();
            standin.fail_next(1, Fault::Redirect(format!("{target}/v1/realtime/client_secrets")));
            let error = mint(&standin, &ask).await.unwrap_err();
            assert_eq!(class(&error), "rejected");
            assert!(
                error.to_string().contains("302") && error.to_string().contains("never followed"),
                "{error}"
            );
            assert!(!error.to_string().contains("client_secrets"), "{error}");
            assert_eq!(standin.count(), 1);
        }
    }
    assert_eq!(elsewhere.count(), 0);
}
