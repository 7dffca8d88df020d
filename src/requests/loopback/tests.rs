use std::net::Ipv4Addr;

use axum::body::Body;
use http::Request;
use jiff::SignedDuration;
use secrecy::SecretString;
use serde_json::{Value, json};

use super::*;
use crate::api::SecretField;
use crate::issuer::LocalKeys;
use crate::mint::Credential;
use crate::testing::FakeProvider;
use crate::token::Blocked;

const PATH: &str = "/v1alpha1/namespaces/default/realtimetokens/voice/token";

struct Key;

impl LocalKeys for Key {
    fn read(&self, fields: &'static [SecretField]) -> Result<(Credential, String), Blocked> {
        let values = fields.iter().map(|field| (field.key, SecretString::from("sk-1")));
        Ok((Credential::new(values), "1".to_owned()))
    }
}

fn token(requests: &Value) -> RealtimeToken {
    serde_json::from_value(json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
        "metadata": {"name": "voice", "namespace": "default", "uid": "u"},
        "spec": {
            "openai": {"model": "m"}, "credentials": {"secretRef": {"name": "k"}}, "requests": requests,
        },
    }))
    .unwrap()
}

fn serving(requests: &Value) -> (Loopback, FakeProvider) {
    let provider = FakeProvider::new(SignedDuration::from_secs(600));
    let metrics = Arc::new(Metrics::new(false));
    let issuer = Issuer::local(Arc::new(Key), Arc::new(provider.clone()), Arc::clone(&metrics));
    let shutdown = CancellationToken::new();
    let mut loopback = Loopback::new(Arc::new(issuer), EndpointPolicy::default(), metrics, shutdown);
    loopback.show(token(requests));
    (loopback, provider)
}

async fn ask(loopback: &Loopback, headers: &[(&str, &str)], uri: &str, body: &str) -> (u16, Value) {
    let mut request = Request::post(uri).header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let answer = loopback.handler.answer(request, Ipv4Addr::LOCALHOST.into()).await;
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap())
}

#[tokio::test(start_paused = true)]
async fn each_caller_gets_a_token_of_its_own_without_a_bearer_token() {
    let (loopback, provider) = serving(&json!({"subject": "Optional"}));
    for (nth, host) in [
        "127.0.0.1:8099",
        "localhost:8099",
        "LOCALHOST",
        "[::1]:8099",
        "127.8.8.8",
    ]
    .iter()
    .enumerate()
    {
        let (status, token) = ask(&loopback, &[("host", host)], PATH, "").await;
        assert_eq!(
            (status, &token["token"]),
            (201, &json!(format!("token-{}", nth + 1))),
            "{host}"
        );
    }
    let (status, _) = ask(&loopback, &[], &format!("http://127.0.0.1:8099{PATH}"), "").await;
    assert_eq!(status, 201, "HTTP/2 has the host in the URI");
    assert_eq!(provider.count(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_page_in_a_browser_gets_none() {
    let (loopback, provider) = serving(&json!({"subject": "Optional"}));
    for headers in [
        &[("host", "127.0.0.1:8099"), ("origin", "http://localhost:3000")][..],
        &[("host", "127.0.0.1:8099"), ("origin", "null")],
        &[("host", "rebound.example:8099")],
        &[("host", "127.0.0.1.example")],
        &[("host", "192.0.2.1")],
        &[("host", "not a host")],
        &[],
    ] {
        let (status, problem) = ask(&loopback, headers, PATH, "").await;
        assert_eq!((status, &problem["reason"]), (403, &json!("Forbidden")), "{headers:?}");
    }
    assert_eq!(provider.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_rules_of_the_spec_hold_here_as_well() {
    let limits = json!({"requestsPerMinute": 600, "burst": 1});
    let (mut loopback, provider) = serving(&json!({"subject": "Required", "subjectRateLimit": limits}));
    let host = [("host", "127.0.0.1:8099")];
    let (status, problem) = ask(&loopback, &host, PATH, "").await;
    assert_eq!((status, &problem["reason"]), (422, &json!("SubjectRequired")));
    let for_one = r#"{"subject": "u-1"}"#;
    assert_eq!(ask(&loopback, &host, PATH, for_one).await.0, 201);
    assert_eq!(ask(&loopback, &host, PATH, for_one).await.0, 429);
    let other = PATH.replace("voice", "other");
    assert_eq!(ask(&loopback, &host, &other, for_one).await.0, 404);
    loopback.show(token(&json!({"subject": "Ignored"})));
    assert_eq!(
        ask(&loopback, &host, PATH, "").await.0,
        201,
        "what the manifest says now"
    );
    assert_eq!(provider.count(), 2);
}

#[test]
fn only_a_loopback_address_will_do() {
    for address in ["127.0.0.1:8099", "[::1]:8099", "127.9.9.9:0"] {
        assert!(parse_address(address).is_ok(), "{address}");
    }
    for address in ["0.0.0.0:8099", "[::]:8099", "192.168.1.2:8099"] {
        assert!(
            parse_address(address)
                .unwrap_err()
                .contains("only a loopback address will do"),
            "{address}"
        );
    }
    for address in ["8099", "localhost:8099", "127.0.0.1"] {
        assert!(
            parse_address(address).unwrap_err().contains("such as 127.0.0.1:8099"),
            "{address}"
        );
    }
}
