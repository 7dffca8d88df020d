//! The control plane, the provider, a proxy before each, two replicas, and the objects.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{ListParams, PostParams};
use realtime_token_operator::api::RealtimeToken;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::caller::Caller;
use testkit::cluster::{Cluster, Namespace, Options};
use testkit::operator::Operator;
use testkit::pod::Pod;
use testkit::proxy::Proxy;
use testkit::standin::{self, Recording, StandIn};
use testkit::{ports, wait};

use crate::Flags;

const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
/// `minRemainingSeconds` of tokens on request.
pub(crate) const HANDED_OUT_WITH: i64 = 30;
/// `minRemainingSeconds` of the tokens in Secrets.
pub(crate) const FLOOR: i64 = 5;
const OURS: &str = "app.kubernetes.io/managed-by=realtime-token-operator";

/// Fields drop from top to bottom: the replicas first, the cluster last.
pub(crate) struct World {
    pub(crate) pods: Vec<Pod>,
    addresses: Vec<std::net::SocketAddr>,
    pub(crate) api: Proxy,
    pub(crate) provider: Proxy,
    pub(crate) standin: StandIn,
    pub(crate) apps: Namespace,
    pub(crate) tokens: u32,
    pub(crate) life: i64,
    pub(crate) began: Instant,
    platform: Namespace,
    _folder: TempDir,
    cluster: Cluster,
}

impl World {
    pub(crate) async fn start(flags: &Flags, seed: u64) -> Result<Self> {
        let cluster = Cluster::start(Options::default()).await?;
        cluster.apply_crds(Path::new(CRDS)).await?;
        let folder = tempfile::tempdir()?;
        let standin = StandIn::start(standin::Options::default())?;
        standin.set_recording(Recording::Counts);
        standin.set_latency(Duration::from_millis(20));
        let (platform, apps) = (cluster.namespace("platform").await?, cluster.namespace("apps").await?);
        let api = Proxy::before_api(cluster.kubeconfig(), folder.path(), seed).await?;
        let provider = Proxy::before_provider(standin.addr(), seed)?;
        let mut world = Self {
            pods: Vec::new(),
            addresses: Vec::new(),
            api,
            provider,
            standin,
            apps,
            tokens: flags.tokens,
            life: flags.life,
            began: Instant::now(),
            platform,
            _folder: folder,
            cluster,
        };
        for nth in 0..2 {
            world.add_replica(&flags.operator, nth).await?;
        }
        world.began = Instant::now();
        world.create_objects().await?;
        Ok(world)
    }

    async fn add_replica(&mut self, binary: &Path, nth: u8) -> Result<()> {
        let address = ports::free()?;
        let builder = Operator::builder(binary, self.api.kubeconfig()?)
            .namespace(self.platform.name())
            .env("NO_PROXY", "127.0.0.1")
            .arg(format!("--requests-listen={address}"))
            .arg("--leader-elect")
            .arg("--allow-endpoint")
            .arg(self.provider.url());
        let log: PathBuf = self._folder.path().join(format!("operator-{nth}.log"));
        self.pods.push(Pod::start(builder, &log).await?);
        self.addresses.push(address);
        Ok(())
    }

    /// How often another process has begun to lead. One that is killed, or frozen for longer than its Lease holds, is
    /// followed by another, and so is one that could not renew its Lease in time; one that gets its Lease back goes on with
    /// all that it has minted, and isn't counted.
    pub(crate) async fn leader_changes(&self) -> Result<usize> {
        let leases: Api<Lease> = self.platform.api();
        let lease = leases.get("realtime-token-operator").await?;
        let changes = lease.spec.and_then(|spec| spec.lease_transitions).unwrap_or_default();
        Ok(usize::try_from(changes)?)
    }

    async fn create_objects(&self) -> Result<()> {
        let client = self.apps.client();
        let post = PostParams::default();
        for object in application() {
            let kind = object["kind"].as_str().unwrap_or_default().to_owned();
            let made = match kind.as_str() {
                "Secret" => self.create::<Secret>(object).await,
                "ServiceAccount" => self.create::<k8s_openapi::api::core::v1::ServiceAccount>(object).await,
                "Role" => self.create::<k8s_openapi::api::rbac::v1::Role>(object).await,
                _ => self.create::<k8s_openapi::api::rbac::v1::RoleBinding>(object).await,
            };
            made.with_context(|| format!("create the {kind}"))?;
        }
        let tokens: Api<RealtimeToken> = Api::namespaced(client, self.apps.name());
        let manifests = (0..self.tokens).map(|nth| self.rotating(&format!("token-{nth}")));
        let manifests = manifests.chain([
            self.requested("asked", "Required", 0),
            self.requested("pooled", "Ignored", 20),
        ]);
        let create = async |manifest: Value| -> Result<()> {
            let token: RealtimeToken = serde_json::from_value(manifest)?;
            tokens.create(&post, &token).await?;
            Ok(())
        };
        stream::iter(manifests)
            .map(create)
            .buffer_unordered(16)
            .try_collect::<()>()
            .await?;
        let all = usize::try_from(self.tokens)? + 2;
        let secrets: Api<Secret> = self.apps.api();
        wait::until("a Secret of each token", Duration::from_secs(600), async || {
            let there = secrets
                .list_metadata(&ListParams::default().labels(OURS))
                .await?
                .items
                .len();
            anyhow::ensure!(there >= all, "{there} of {all}");
            Ok(Some(()))
        })
        .await
    }

    async fn create<K>(&self, object: Value) -> Result<()>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K: Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.apps.api();
        api.create(&PostParams::default(), &serde_json::from_value(object)?)
            .await?;
        Ok(())
    }

    fn token(&self, name: &str, spec: Value) -> Value {
        let mut whole = json!({
            "openai": {
                "model": "gpt-realtime-2.1", "endpoint": self.provider.url(), "reuse": "Multiple",
                "safetyIdentifier": name,
            },
            "credentials": {"secretRef": {"name": "openai"}},
            "expirationSeconds": self.life,
        });
        if let (Some(whole), Value::Object(spec)) = (whole.as_object_mut(), spec) {
            whole.extend(spec);
        }
        json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken",
            "metadata": {"name": name}, "spec": whole,
        })
    }

    /// Its name is also the identity under which the provider counts its mints.
    fn rotating(&self, name: &str) -> Value {
        let renewal = json!({"minRemainingSeconds": FLOOR, "propagationSeconds": 0});
        self.token(name, json!({"renewal": renewal}))
    }

    fn requested(&self, name: &str, subject: &str, ready: i64) -> Value {
        let limit = json!({"requestsPerMinute": 60_000, "burst": 1000});
        let requests = json!({
            "subject": subject, "ready": ready, "rateLimit": limit, "subjectRateLimit": limit,
            "minRemainingSeconds": HANDED_OUT_WITH,
        });
        let mut token = self.token(name, json!({"requests": requests, "target": {"content": "Connection"}}));
        if let Some(openai) = token["spec"]["openai"].as_object_mut() {
            openai.remove("safetyIdentifier");
        }
        token
    }

    /// Who asks each replica for tokens of both RealtimeTokens that are asked. Their credential holds for an hour.
    pub(crate) async fn callers(&self) -> Result<Vec<(Caller, bool)>> {
        let namespace = self.apps.name();
        let bearer = self.cluster.token_of(namespace, "app", &["realtime-token.dev"]).await?;
        let secret = self.apps.api::<Secret>().get("asked").await?;
        let data = secret.data.unwrap_or_default();
        let ca = data.get("request-ca.crt").context("a Secret without request-ca.crt")?;
        let ca = String::from_utf8_lossy(&ca.0).into_owned();
        let mut callers = Vec::new();
        for (name, subject) in [("asked", true), ("pooled", false)] {
            for address in &self.addresses {
                callers.push((Caller::new(*address, &ca, namespace, name, &bearer)?, subject));
            }
        }
        Ok(callers)
    }
}

/// The key, and a ServiceAccount that may ask.
fn application() -> [Value; 4] {
    [
        json!({"kind": "Secret", "metadata": {"name": "openai"}, "stringData": {"api-key": "sk-test-fake"}}),
        json!({"kind": "ServiceAccount", "metadata": {"name": "app"}}),
        json!({
            "kind": "Role", "metadata": {"name": "ask"},
            "rules": [{
                "apiGroups": ["realtime-token.dev"], "resources": ["realtimetokens/token"], "verbs": ["create"],
            }],
        }),
        json!({
            "kind": "RoleBinding", "metadata": {"name": "ask"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "ask"},
            "subjects": [{"kind": "ServiceAccount", "name": "app"}],
        }),
    ]
}
