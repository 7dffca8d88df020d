//! The application of the demo: it asks for a token for each of its users, one after the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::{
    caller::Caller,
    cluster::{Cluster, Namespace},
    wait,
};
use tokio::sync::watch;

/// The RealtimeToken that it asks for tokens of, and the ServiceAccount that may.
pub(crate) const TOKEN: &str = "users";
const ACCOUNT: &str = "app";

const USERS: [&str; 3] = ["ada", "bob", "cleo"];
const EVERY: Duration = Duration::from_secs(2);
const SOON: Duration = Duration::from_secs(30);

/// What it was given so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Given {
    pub(crate) tokens: usize,
    /// Whom the last one is for.
    pub(crate) user: &'static str,
    pub(crate) took: Duration,
    /// Hash of the last token.
    pub(crate) hash: String,
}

/// Asks until it is dropped, or ends with the first answer that is no token.
pub(crate) async fn ask(
    cluster: &Cluster,
    namespace: &Namespace,
    address: SocketAddr,
    given: watch::Sender<Given>,
) -> Result<()> {
    let secret = wait::object_when(&namespace.api::<Secret>(), TOKEN, SOON, |it| it.data.is_some()).await?;
    let data = secret.data.unwrap_or_default();
    let ca = data.get("request-ca.crt").context("a Secret without request-ca.crt")?;
    let ca = String::from_utf8_lossy(&ca.0);
    let bearer = cluster
        .token_of(namespace.name(), ACCOUNT, &["realtime-token.dev"])
        .await?;
    let caller = Caller::new(address, &ca, namespace.name(), TOKEN, bearer)?;
    for user in USERS.into_iter().cycle() {
        let answer = caller.ask(json!({"subject": user}).to_string()).await?;
        ensure!(
            answer.status == 201,
            "asked for a token for {user}: {} {}",
            answer.status,
            answer.body
        );
        let token = answer.body["token"].as_str().context("an answer without a token")?;
        let hash = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
        given.send_modify(|given| {
            *given = Given {
                tokens: given.tokens + 1,
                user,
                took: answer.took,
                hash,
            };
        });
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}
