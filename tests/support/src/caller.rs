//! An application's server that asks an operator for tokens on request.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::{Certificate, Client, header::RETRY_AFTER};
use serde_json::Value;

/// Asks one operator for tokens of one RealtimeToken.
#[derive(Clone)]
pub struct Caller {
    client: Client,
    address: SocketAddr,
    ca: Vec<Certificate>,
    url: String,
    bearer: String,
}

/// What it was answered.
pub struct Answer {
    pub status: u16,
    /// `Retry-After`, in seconds.
    pub retry_after: Option<u64>,
    pub body: Value,
    /// From the request to the end of the answer.
    pub took: Duration,
}

impl Caller {
    /// Trusts `ca` alone (PEM), and asks the operator at this address under a name that its certificate has. `bearer` is
    /// the ServiceAccount's token.
    pub fn new(address: SocketAddr, ca: &str, namespace: &str, name: &str, bearer: impl Into<String>) -> Result<Self> {
        let ca = Certificate::from_pem_bundle(ca.as_bytes())?;
        let port = address.port();
        Ok(Self {
            client: client(address, ca.clone(), None)?,
            address,
            ca,
            url: format!("https://localhost:{port}/v1alpha1/namespaces/{namespace}/realtimetokens/{name}/token"),
            bearer: bearer.into(),
        })
    }

    /// The same on connections of its own, from an address of this machine.
    pub fn from_address(&self, local: IpAddr) -> Result<Self> {
        Ok(Self {
            client: client(self.address, self.ca.clone(), Some(local))?,
            ..self.clone()
        })
    }

    /// Asks for a token. `body` is empty or JSON.
    pub async fn ask(&self, body: impl Into<String>) -> Result<Answer> {
        let began = Instant::now();
        let body = body.into();
        let mut request = self.client.post(&self.url).bearer_auth(&self.bearer);
        if !body.is_empty() {
            request = request.header("content-type", "application/json").body(body);
        }
        let answer = request.send().await?;
        let status = answer.status().as_u16();
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|it| it.to_str().ok()?.parse().ok());
        let body = answer.bytes().await?;
        let took = began.elapsed();
        Ok(Answer {
            status,
            retry_after,
            body: serde_json::from_slice(&body).context("an answer that is no JSON")?,
            took,
        })
    }
}

fn client(address: SocketAddr, ca: Vec<Certificate>, local: Option<IpAddr>) -> Result<Client> {
    Ok(Client::builder()
        .no_proxy()
        .https_only(true)
        .resolve("localhost", address)
        .local_address(local)
        .tls_certs_only(ca)
        .timeout(Duration::from_secs(30))
        .build()?)
}
