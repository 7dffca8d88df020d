//! The application of the demo: it asks for a token for each of its users, one after the other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use serde_json::json;
use sha2::{Digest, Sha256};
use testkit::{
    caller::{Answer, Caller},
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
    /// Those that were asked for so far, in the order of the first time.
    pub(crate) users: Vec<User>,
    /// Whom the last answer is for.
    last: usize,
}

/// The answers for one user.
#[derive(Clone, Debug)]
pub(crate) struct User {
    pub(crate) name: &'static str,
    pub(crate) tokens: usize,
    pub(crate) took: Duration,
    pub(crate) slowest: Duration,
    /// Hash of the last token.
    pub(crate) hash: String,
    /// Why the last answer was no token: status and reason.
    pub(crate) refused: Option<String>,
}

impl Given {
    /// The user of the last answer.
    pub(crate) fn last(&self) -> Option<&User> {
        self.users.get(self.last)
    }

    fn record(&mut self, name: &'static str, answer: &Answer) {
        let known = self.users.iter().position(|it| it.name == name);
        self.last = known.unwrap_or(self.users.len());
        if known.is_none() {
            self.users.push(User {
                name,
                tokens: 0,
                took: Duration::ZERO,
                slowest: Duration::ZERO,
                hash: String::new(),
                refused: None,
            });
        }
        let user = &mut self.users[self.last];
        user.took = answer.took;
        user.slowest = answer.took.max(user.slowest);
        user.refused = match answer.body["token"].as_str().filter(|_| answer.status == 201) {
            Some(token) => {
                user.hash = Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect();
                user.tokens += 1;
                self.tokens += 1;
                None
            }
            None => {
                let reason = answer.body["reason"].as_str().unwrap_or_default();
                Some(format!("{} {reason}", answer.status))
            }
        };
    }
}

/// Asks until it is dropped. An answer that is no token ends it, unless people may have caused it.
pub(crate) async fn ask(
    cluster: &Cluster,
    namespace: &Namespace,
    address: SocketAddr,
    people_interfere: bool,
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
            answer.status == 201 || people_interfere,
            "asked for a token for {user}: {} {}",
            answer.status,
            answer.body
        );
        given.send_modify(|given| given.record(user, &answer));
        tokio::time::sleep(EVERY).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_has_tokens_times_and_the_last_refusal() {
        let answer = |status, body, millis| Answer {
            status,
            retry_after: None,
            body,
            took: Duration::from_millis(millis),
        };
        let mut given = Given::default();
        given.record("ada", &answer(201, json!({"token": "ek_1"}), 30));
        given.record("bob", &answer(201, json!({"token": "ek_2"}), 10));
        given.record("ada", &answer(503, json!({"reason": "CredentialRejected"}), 5));
        assert_eq!((given.tokens, given.users.len()), (2, 2));
        let ada = &given.users[0];
        assert_eq!((ada.tokens, ada.took.as_millis(), ada.slowest.as_millis()), (1, 5, 30));
        assert_eq!(ada.refused.as_deref(), Some("503 CredentialRejected"));
        assert_eq!(given.last().map(|it| it.name), Some("ada"));
        given.record("ada", &answer(201, json!({"token": "ek_3"}), 8));
        assert_eq!(given.users[0].refused, None);
        assert_ne!(given.users[0].hash, given.users[1].hash);
    }
}
