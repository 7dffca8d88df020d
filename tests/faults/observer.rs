//! Looks at Secrets and statuses once a second, past the proxy, and keeps the worst of what it saw.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};
use realtime_token_operator::api::{RealtimeToken, RealtimeTokenStatus};
use serde_json::Value;
use tokio::task::JoinHandle;

const EVERY: Duration = Duration::from_secs(1);

/// What was seen of one token.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The least life that a token in the Secret had.
    pub least_left: Option<SignedDuration>,
    /// For how long at most the status said Ready=True without a living token in the Secret.
    pub false_claim: Duration,
    claims_since: Option<Instant>,
}

pub struct Observer {
    seen: Arc<Mutex<BTreeMap<String, Seen>>>,
    task: JoinHandle<()>,
}

impl Observer {
    pub fn start(client: Client, namespace: &str) -> Self {
        let seen = Arc::new(Mutex::new(BTreeMap::new()));
        let task = tokio::spawn(look(client, namespace.to_owned(), Arc::clone(&seen)));
        Self { seen, task }
    }

    pub fn seen(&self) -> BTreeMap<String, Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Forgets what was seen, for what comes now.
    pub fn forget(&self) {
        self.seen.lock().unwrap().clear();
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look(client: Client, namespace: String, seen: Arc<Mutex<BTreeMap<String, Seen>>>) {
    let tokens: Api<RealtimeToken> = Api::namespaced(client.clone(), &namespace);
    let secrets: Api<Secret> = Api::namespaced(client, &namespace);
    let ours = ListParams::default().labels("app.kubernetes.io/managed-by=realtime-token-operator");
    loop {
        // Statuses first: what they claim must hold by the time the Secrets are read.
        let statuses = tokens.list(&ListParams::default()).await;
        let stored = secrets.list(&ours).await;
        // An API server that is away is part of some scenarios.
        if let (Ok(statuses), Ok(stored)) = (statuses, stored) {
            let now = Timestamp::now();
            let stored = stored.iter().map(|secret| (secret.name_any(), end_of(secret)));
            let stored: BTreeMap<String, Option<Timestamp>> = stored.collect();
            let mut seen = seen.lock().unwrap();
            for token in statuses {
                let name = token.name_any();
                let end = stored.get(&name).copied().flatten();
                let ready = token.status.as_ref().is_some_and(is_ready);
                seen.entry(name).or_default().note(end, ready, now);
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

impl Seen {
    fn note(&mut self, end: Option<Timestamp>, ready: bool, now: Timestamp) {
        let left = end.map(|end| end.duration_since(now));
        self.least_left = match (self.least_left, left) {
            (Some(least), Some(left)) => Some(least.min(left)),
            (least, left) => least.or(left),
        };
        let alive = left.is_some_and(|left| left.is_positive());
        if ready && !alive {
            let since = *self.claims_since.get_or_insert_with(Instant::now);
            self.false_claim = self.false_claim.max(since.elapsed());
        } else {
            self.claims_since = None;
        }
    }
}

/// When the token in a Secret ends, as a consumer reads it.
pub fn end_of(secret: &Secret) -> Option<Timestamp> {
    let json = secret.data.as_ref()?.get("token.json")?;
    let json: Value = serde_json::from_slice(&json.0).ok()?;
    Timestamp::from_millisecond(json["expiresAt"].as_i64()?).ok()
}

pub fn is_ready(status: &RealtimeTokenStatus) -> bool {
    has(status, "Ready", "True")
}

pub fn has(status: &RealtimeTokenStatus, type_: &str, value: &str) -> bool {
    let mut all = status.conditions.iter();
    all.any(|condition| condition.type_ == type_ && condition.status == value)
}
