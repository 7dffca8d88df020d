//! An application's server that asks for tokens.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::{Certificate, Client};
use serde_json::Value;

/// Asks one operator for tokens of one RealtimeToken.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Client,
    url: String,
    bearer: String,
}

impl Caller {
    /// Trusts `ca` alone, and asks the operator at this address under the name in its certificate.
    pub(crate) fn new(address: SocketAddr, ca: &str, path: &str, bearer: String) -> Result<Self> {
        let client = Client::builder()
            .no_proxy()
            .https_only(true)
            .tls_certs_only(Certificate::from_pem_bundle(ca.as_bytes())?)
            .timeout(Duration::from_secs(30))
            .build()?;
        Ok(Self {
            client,
            url: format!("https://localhost:{}{path}", address.port()),
            bearer,
        })
    }

    /// Asks for a token, and says how long the answer took.
    pub(crate) async fn ask(&self) -> Result<Duration> {
        let began = Instant::now();
        let request = self.client.post(&self.url).bearer_auth(&self.bearer);
        let answer = request.send().await?;
        let status = answer.status();
        let body = answer.bytes().await?;
        let took = began.elapsed();
        let body: Value = serde_json::from_slice(&body).context("an answer that is no JSON")?;
        ensure!(status == 201, "{status}: {body}");
        ensure!(body["token"].is_string(), "an answer without a token");
        Ok(took)
    }
}
