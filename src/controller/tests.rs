//! The whole controller in one process, against stand-ins for the Kubernetes API and the provider, under paused time.

mod api_faults;
mod assertions;
mod calls;
mod crowded;
mod deaths;
mod faults;
mod identities;
mod key_reads;
mod leadership;
mod meddlers;
mod metrics;
mod outages;
mod people;
mod providers_of_platform;
mod refusals;
mod requests;
mod restored;
mod retry_after;
mod shared_key;
mod transitions;

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Options, run};
use crate::api::{ConditionType, RealtimeTokenStatus};
use crate::clock::now;
use crate::cluster::Scope;
use crate::health::Health;
use crate::issuer::Issuer;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::mint::EndpointPolicy;
use crate::testing::{FakeApi, FakeProvider};
use crate::token::Connection;
use crate::token::secret::annotations;

/// The namespace of the operator's own Secrets.
const OPERATOR: &str = "operator";
const NAMESPACE: &str = "shop";
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// A cluster with the key Secret shop/openai, a provider, and one operator.
struct Fleet {
    api: FakeApi,
    provider: FakeProvider,
    /// The operator's process.
    process: Option<(JoinHandle<()>, CancellationToken)>,
    /// What the operator knows of the server of tokens on request; `None` where there is none.
    connection: Option<watch::Receiver<Option<Connection>>>,
    endpoints: EndpointPolicy,
    /// Of the process that was started last.
    metrics: Arc<Metrics>,
    issuer: Arc<Issuer>,
    health: Arc<Health>,
}

impl Fleet {
    /// With tokens of this life, and the operator running.
    fn new(life: i64) -> Self {
        Self::serving(life, None)
    }

    /// The same, with tokens on request.
    fn serving(life: i64, connection: Option<watch::Receiver<Option<Connection>>>) -> Self {
        let mut fleet = Self::prepared(life, connection);
        fleet.start();
        fleet
    }

    /// With tokens of ten minutes, and no operator yet.
    fn paused() -> Self {
        Self::prepared(600, None)
    }

    fn prepared(life: i64, connection: Option<watch::Receiver<Option<Connection>>>) -> Self {
        let (api, provider) = (FakeApi::new(), FakeProvider::new(SignedDuration::from_secs(life)));
        let fleet = Self {
            issuer: Issuer::with_fakes(&api, &provider),
            api,
            provider,
            process: None,
            connection,
            endpoints: EndpointPolicy::default(),
            metrics: Arc::new(Metrics::new(true)),
            health: Arc::default(),
        };
        fleet.api.create(key_secret(NAMESPACE, "openai"));
        fleet
    }

    fn start(&mut self) {
        self.start_with(Leadership::always());
    }

    fn start_with(&mut self, leadership: Leadership) {
        let shutdown = CancellationToken::new();
        (self.metrics, self.health) = (Arc::new(Metrics::new(true)), Arc::default());
        self.issuer = Issuer::of_process(self.api.client(), &self.provider, &self.metrics, &self.health);
        let process = tokio::spawn(run(self.options(), leadership, shutdown.clone()));
        self.process = Some((process, shutdown));
    }

    fn options(&self) -> Options {
        Options {
            client: self.api.client(),
            issuer: Arc::clone(&self.issuer),
            endpoints: self.endpoints.clone(),
            metadata: crate::resolve::MetadataPolicy::default(),
            operator_namespace: OPERATOR.to_owned(),
            scope: Scope {
                namespaces: Vec::new(),
                cluster_providers: true,
            },
            pod_name: None,
            concurrency: 8,
            health: Arc::clone(&self.health),
            connection: self.connection.clone(),
            metrics: Arc::clone(&self.metrics),
        }
    }

    /// The process ends at once, with everything that it remembers.
    fn kill(&mut self) {
        if let Some((process, _)) = self.process.take() {
            process.abort();
        }
    }

    /// The process is asked to end, and does.
    async fn stop(&mut self) {
        if let Some((process, shutdown)) = self.process.take() {
            shutdown.cancel();
            process.await.unwrap();
        }
    }

    /// The RealtimeToken shop/NAME, whose model is called as it is and whose tokens may be shared.
    fn create(&self, name: &str) {
        let openai = json!({"model": name, "reuse": "Multiple"});
        self.create_with(
            NAMESPACE,
            name,
            openai,
            json!({"secretRef": {"name": "openai", "key": "api-key"}}),
        );
    }

    /// One in any namespace, with a key Secret of its own.
    fn create_with_key(&self, namespace: &str, name: &str) {
        let key = format!("key-of-{name}");
        self.api.create(key_secret(namespace, &key));
        let credentials = json!({"secretRef": {"name": key, "key": "api-key"}});
        self.create_with(namespace, name, json!({"model": name}), credentials);
    }

    fn create_with(&self, namespace: &str, name: &str, openai: Value, credentials: Value) {
        self.api.create(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"openai": openai, "credentials": credentials},
        }));
    }

    fn edit(&self, name: &str, patch: Value) {
        self.api.edit("realtimetokens", NAMESPACE, name, &patch);
    }

    fn secret(&self, name: &str) -> Option<Value> {
        self.api.get("secrets", NAMESPACE, name)
    }

    fn status(&self, name: &str) -> RealtimeTokenStatus {
        let token = self.api.get("realtimetokens", NAMESPACE, name).unwrap();
        serde_json::from_value(token["status"].clone()).unwrap_or_default()
    }

    /// Status and reason of a condition.
    fn condition(&self, name: &str, type_: ConditionType) -> (String, String) {
        let status = self.status(name);
        let mut conditions = status.conditions.into_iter();
        let condition = conditions.find(|condition| condition.type_ == type_.as_str());
        condition.map_or_else(Default::default, |condition| (condition.status, condition.reason))
    }

    /// The reasons of the Events about an object.
    fn events(&self, name: &str) -> Vec<String> {
        let events = self.api.list("events").into_iter();
        let about = events.filter(|event| event["regarding"]["name"] == name);
        about
            .map(|event| event["reason"].as_str().unwrap().to_owned())
            .collect()
    }

    /// The value of a series in the metrics.
    fn metric(&self, series: &str) -> f64 {
        let text = self.metrics.render();
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value
            .unwrap_or_else(|| panic!("no {series} in\n{text}"))
            .parse()
            .unwrap()
    }

    /// Lets time pass. Every few seconds: no status claims more than the Secret holds.
    async fn pass(&self, seconds: u64) {
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            let next = Instant::now() + LOOK_EVERY;
            tokio::time::sleep_until(next.min(end)).await;
            self.assert_no_status_claims_too_much();
        }
    }
}

fn key_secret(namespace: &str, name: &str) -> Value {
    let key = base64("sk-1");
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": namespace},
        "data": {"api-key": key},
    })
}

fn base64(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(text)
}

fn annotation<'a>(secret: &'a Value, key: &str) -> Option<&'a str> {
    secret["metadata"]["annotations"][key].as_str()
}

fn usable_until(secret: &Value) -> Option<Timestamp> {
    annotation(secret, annotations::USABLE_UNTIL)?.parse().ok()
}

fn revision(secret: &Value) -> Option<i64> {
    annotation(secret, annotations::REVISION)?.parse().ok()
}
