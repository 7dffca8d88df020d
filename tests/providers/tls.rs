//! Certificates, proxies that look into TLS, and the built-in hosts behind one.

use std::process::Stdio;

use jiff::Timestamp;
use realtime_token_operator::mint::{ClientConfig, ClientError, EndpointPolicy, ProviderClient};
use realtime_token_operator::token::{MintError, Minted};
use serde_json::{Value, json};
use testkit::front::Front;
use testkit::standin::{Fault, StandIn};
use tokio::io::AsyncWriteExt;

use crate::{credential, openai, start};

async fn mint(front: &Front, standin: &StandIn, ca_bundle: Option<&str>) -> Result<Minted, MintError> {
    let origin = format!("https://localhost:{}", front.addr.port());
    let client = ProviderClient::new(&ClientConfig {
        ca_bundle: ca_bundle.map(|pem| pem.as_bytes().to_vec()),
        endpoints: EndpointPolicy::parse([&origin]).unwrap(),
        ..ClientConfig::default()
    });
    let ask = openai(standin, json!({"endpoint": origin}));
    client.unwrap().mint(&ask, &credential(&ask), Timestamp::now()).await
}

#[tokio::test]
async fn an_own_ca_is_trusted_once_it_is_in_the_bundle() {
    let standin = start();
    let front = Front::start(standin.addr(), "localhost").await.unwrap();
    let error = mint(&front, &standin, None).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the certificate of localhost is not trusted: if a proxy of yours signs it, add its CA with --ca-bundle"
    );
    let other = Front::start(standin.addr(), "localhost").await.unwrap();
    assert!(
        mint(&front, &standin, Some(&other.ca))
            .await
            .unwrap_err()
            .to_string()
            .contains("not trusted")
    );
    assert_eq!(standin.count(), 0, "the key stayed here");

    let bundle = format!("# two of them\n{}{}", other.ca, front.ca);
    mint(&front, &standin, Some(&bundle)).await.unwrap();
    assert_eq!(standin.complaints(), [""; 0]);
}

#[tokio::test]
async fn a_certificate_for_another_name() {
    let standin = start();
    let front = Front::start(standin.addr(), "other.example").await.unwrap();
    let error = mint(&front, &standin, Some(&front.ca)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("presented for localhost is for another name"),
        "{error}"
    );
    assert_eq!(standin.count(), 0);
}

#[tokio::test]
async fn a_server_without_tls() {
    let standin = start();
    let plain = Front {
        addr: standin.addr(),
        ca: String::new(),
    };
    let error = mint(&plain, &standin, None).await.unwrap_err();
    assert!(error.to_string().contains("TLS with localhost failed"), "{error}");
}

#[test]
fn a_bundle_without_certificates() {
    for pem in [
        "",
        "no certificate",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        let config = ClientConfig {
            ca_bundle: Some(pem.into()),
            ..ClientConfig::default()
        };
        let error = ProviderClient::new(&config).err().unwrap();
        assert!(matches!(error, ClientError::CaBundle), "{pem}: {error}");
    }
}

/// The real binary asks a built-in host through the proxy of a company that looks into TLS.
async fn through_proxy(front: &Front, spec: &Value, env: &[(&str, &str)]) -> std::process::Output {
    let manifest = json!({
        "apiVersion": "realtime-token.dev/v1alpha1",
        "kind": "RealtimeToken",
        "metadata": {"name": "voice"},
        "spec": spec,
    });
    let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_realtime-token-operator"))
        .args(["mint", "-f", "-"])
        .env_clear()
        .env("HTTPS_PROXY", format!("http://{}", front.addr))
        .envs(env.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(manifest.to_string().as_bytes())
        .await
        .unwrap();
    child.wait_with_output().await.unwrap()
}

#[tokio::test]
async fn a_built_in_host_behind_an_inspecting_proxy() {
    let standin = start();
    let front = Front::inspecting_proxy(standin.addr(), "api.openai.com").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &front.ca).unwrap();
    let ca = ca.to_str().unwrap();
    let spec = json!({"credentials": {"secretRef": {"name": "key"}}, "openai": {"model": "gpt-realtime-2.1"}});

    for trust in ["CA_BUNDLE", "SSL_CERT_FILE"] {
        standin.clear();
        let output = through_proxy(&front, &spec, &[(trust, ca), ("OPENAI_API_KEY", crate::OPENAI_KEY)]).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{trust}: {stderr}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["token"], standin.issued()[0], "{trust}");
        assert_eq!(standin.calls()[0].header("host"), Some("api.openai.com"));
    }

    // Of a refused key a built-in host's code is repeated, and not its message.
    standin.fail_next(1, Fault::status(401));
    let output = through_proxy(
        &front,
        &spec,
        &[("CA_BUNDLE", ca), ("OPENAI_API_KEY", crate::OPENAI_KEY)],
    )
    .await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
    let sentence = "OpenAI answered 401 (invalid_api_key). Check the API key in the variable OPENAI_API_KEY. Request id \
                    req_standin_";
    assert!(stderr.contains(sentence), "{stderr}");

    let output = through_proxy(&front, &spec, &[("CA_BUNDLE", ca)]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && stderr.contains("set OPENAI_API_KEY"),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_provider_ref_is_noted_on_stderr() {
    let standin = start();
    let front = Front::inspecting_proxy(standin.addr(), "api.elevenlabs.io")
        .await
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, &front.ca).unwrap();
    let spec = json!({"credentials": {"providerRef": {"name": "platform"}}, "elevenlabs": {"agentId": "agent_1"}});
    let env = [
        ("CA_BUNDLE", ca.to_str().unwrap()),
        ("ELEVENLABS_API_KEY", crate::ELEVENLABS_KEY),
    ];
    let output = through_proxy(&front, &spec, &env).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(
        stderr.contains("ClusterRealtimeProvider platform can't be looked up"),
        "{stderr}"
    );
    serde_json::from_slice::<Value>(&output.stdout).unwrap();
}
