//! One plain GET, for the health and metrics pages of what we started.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context, Result, ensure};

/// The body at `http://addr{path}`; an answer other than 2xx is an error that quotes it.
pub async fn get(addr: SocketAddr, path: &str) -> Result<String> {
    let url = format!("http://{addr}{path}");
    // A client per call, because each test has its own runtime; no proxy, because it's loopback.
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(5))
        .build()?;
    let answer = client.get(&url).send().await?;
    let status = answer.status();
    let body = answer.text().await.with_context(|| format!("read the body of {url}"))?;
    ensure!(status.is_success(), "{url} answered {status}: {}", body.trim());
    Ok(body)
}
