//! The cluster, the stand-in provider, the operator, and an application that may ask.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::{
    core::v1::{Secret, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::Api;
use kube::api::PostParams;
use realtime_token_operator::api::RealtimeToken;
use serde_json::json;
use testkit::{
    caller::Caller,
    cluster::{Cluster, Namespace, Options},
    operator::Operator,
    ports,
    standin::{self, Recording, StandIn},
    wait,
};

const OPERATOR: &str = env!("CARGO_BIN_EXE_realtime-token-operator");
const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
const SOON: Duration = Duration::from_secs(30);

/// Fields drop from top to bottom: the cluster last.
pub(crate) struct World {
    pub(crate) operator: Operator,
    pub(crate) standin: StandIn,
    requests: SocketAddr,
    bearer: String,
    apps: Namespace,
    _platform: Namespace,
    _cluster: Cluster,
}

impl World {
    pub(crate) async fn start(latency: Duration) -> Result<Self> {
        let cluster = Cluster::start(Options::default()).await?;
        cluster.apply_crds(Path::new(CRDS)).await?;
        let standin = StandIn::start(standin::Options::default())?;
        standin.set_recording(Recording::Counts);
        standin.set_latency(latency);
        let (platform, apps) = (cluster.namespace("platform").await?, cluster.namespace("apps").await?);
        let requests = ports::free()?;
        let mut operator = Operator::builder(OPERATOR, cluster.kubeconfig())
            .namespace(platform.name())
            .env("REQUESTS_LISTEN", requests.to_string())
            .arg("--allow-endpoint")
            .arg(standin.url())
            .start()?;
        operator.wait_ready().await?;
        let bearer = application(&cluster, &apps).await?;
        Ok(Self {
            operator,
            standin,
            requests,
            bearer,
            apps,
            _platform: platform,
            _cluster: cluster,
        })
    }

    /// Creates a RealtimeToken with so many tokens minted ahead. Returns who asks for its tokens.
    pub(crate) async fn caller(&self, name: &str, ready: i64) -> Result<Caller> {
        let token = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name},
            "spec": {
                "openai": {"model": "gpt-realtime-2.1", "endpoint": self.standin.url()},
                "credentials": {"secretRef": {"name": "openai"}},
                "target": {"content": "Connection"},
                "requests": {
                    "subject": "Ignored", "ready": ready,
                    "rateLimit": {"requestsPerMinute": 60000, "burst": 1000},
                },
            },
        });
        let token: RealtimeToken = serde_json::from_value(token)?;
        self.apps.api().create(&PostParams::default(), &token).await?;
        let secrets: Api<Secret> = self.apps.api();
        let secret = wait::object_when(&secrets, name, SOON, |secret| secret.data.is_some()).await?;
        let data = secret.data.unwrap_or_default();
        let ca = data.get("request-ca.crt").context("a Secret without request-ca.crt")?;
        let ca = String::from_utf8_lossy(&ca.0);
        Caller::new(self.requests, &ca, self.apps.name(), name, &self.bearer)
    }

    /// Waits until so many tokens of a RealtimeToken are minted ahead.
    pub(crate) async fn wait_for_pool(&self, name: &str, ready: i64) -> Result<()> {
        let series = format!(
            "realtime_token_request_pool_ready{{namespace=\"{}\",name=\"{name}\"}} {ready}",
            self.apps.name()
        );
        wait::until("the pool to be full", SOON, async || {
            Ok(self.operator.metrics().await?.contains(&series).then_some(()))
        })
        .await
    }

    /// How many tokens the operator has given that were minted ahead.
    pub(crate) async fn given_from_pool(&self) -> Result<u64> {
        self.metric("realtime_token_request_duration_seconds_count{source=\"pool\"} ")
            .await
    }

    /// How many connections are open at the operator's port for requests.
    pub(crate) async fn open_connections(&self) -> Result<u64> {
        self.metric("realtime_token_request_connections ").await
    }

    async fn metric(&self, series: &str) -> Result<u64> {
        let metrics = self.operator.metrics().await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(Ok(0), str::parse).with_context(|| series.to_owned())
    }
}

/// A ServiceAccount that may ask for tokens, and the key. Returns the ServiceAccount's token.
async fn application(cluster: &Cluster, apps: &Namespace) -> Result<String> {
    let post = PostParams::default();
    let key = json!({"metadata": {"name": "openai"}, "stringData": {"api-key": "sk-test-fake"}});
    let key: Secret = serde_json::from_value(key)?;
    apps.api().create(&post, &key).await?;
    let account: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "app"}}))?;
    apps.api().create(&post, &account).await?;
    let role: Role = serde_json::from_value(json!({
        "metadata": {"name": "ask"},
        "rules": [{"apiGroups": ["realtime-token.dev"], "resources": ["realtimetokens/token"], "verbs": ["create"]}],
    }))?;
    apps.api().create(&post, &role).await?;
    let binding: RoleBinding = serde_json::from_value(json!({
        "metadata": {"name": "ask"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ask"},
        "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": apps.name()}],
    }))?;
    apps.api().create(&post, &binding).await?;
    cluster.token_of(apps.name(), "app", &["realtime-token.dev"]).await
}
