//! One scenario's namespace, provider, proxies, operators and fleet of RealtimeTokens, and what is held at its end.

mod outcome;
mod setup;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use realtime_token_operator::api::{ClusterRealtimeProvider, RealtimeToken};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::cluster::{Cluster, Namespace, Options};
use testkit::operator::{Operator, OperatorBuilder};
use testkit::pod::Pod;
use testkit::proxy::Proxy;
use testkit::seed;
use testkit::standin::{self, StandIn};
use tokio::sync::{OnceCell, Semaphore};

pub use self::setup::{Expected, Setup};
use crate::observer::Observer;

pub const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
pub const KEY: &str = "sk-test-fake";
/// For what is no part of a scenario, such as the first issue of all tokens.
const DEADLINE: Duration = Duration::from_secs(60);

pub enum ClusterRef {
    Shared(&'static Cluster),
    Own(Box<Cluster>),
}

impl ClusterRef {
    /// The cluster to stop and to set back.
    pub fn own(&mut self) -> &mut Cluster {
        match self {
            Self::Shared(_) => panic!("the shared cluster is not one scenario's to stop"),
            Self::Own(cluster) => cluster,
        }
    }
}

impl std::ops::Deref for ClusterRef {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        match self {
            Self::Shared(cluster) => cluster,
            Self::Own(cluster) => cluster,
        }
    }
}

/// Fields drop from top to bottom: the operators first, the cluster last.
pub struct World {
    pub pods: Vec<Pod>,
    pub observer: Observer,
    pub api: Proxy,
    pub provider: Option<Proxy>,
    pub standin: StandIn,
    pub apps: Namespace,
    pub platform: Namespace,
    /// Where others use the same key, with a shared one.
    pub hostile: Option<Namespace>,
    pub setup: Setup,
    pub seed: u64,
    builder: OperatorBuilder,
    started: Instant,
    /// When the first token of the fleet was issued.
    issued: Instant,
    folder: TempDir,
    pub cluster: ClusterRef,
}

async fn shared() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let start = async || {
        let options = Options {
            controller_manager: true,
            crds: Some(CRDS),
            ..Options::default()
        };
        Cluster::start(options).await.unwrap()
    };
    CLUSTER.get_or_init(start).await
}

impl World {
    /// A fleet whose tokens have all just been issued.
    pub async fn start(setup: Setup) -> Self {
        Self::start_in(ClusterRef::Shared(shared().await), setup).await
    }

    /// The same on a control plane of its own.
    pub async fn start_alone(setup: Setup) -> Self {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        cluster.apply_crds(CRDS).await.unwrap();
        Self::start_in(ClusterRef::Own(Box::new(cluster)), setup).await
    }

    async fn start_in(cluster: ClusterRef, setup: Setup) -> Self {
        // Not all at once: starting takes more of a machine than running.
        static STARTING: Semaphore = Semaphore::const_new(4);
        let _starting = STARTING.acquire().await.unwrap();
        let seed = seed::of_this_run();
        println!("{}: FAULTS_SEED={seed}", setup.name);
        let folder = tempfile::tempdir().unwrap();
        let standin = StandIn::start(standin::Options::default()).unwrap();
        let platform = cluster.namespace("platform").await.unwrap();
        let apps = cluster.namespace(setup.name).await.unwrap();
        // A user of its own, for the message of an API server that refuses something.
        let user = apps.name();
        let direct = cluster
            .component_kubeconfig(user, user, Some("system:masters"))
            .unwrap();
        let api = Proxy::before_api(&direct, folder.path(), seed).await.unwrap();
        let provider = setup
            .provider_proxy
            .then(|| Proxy::before_provider(standin.addr(), seed).unwrap());
        let origins = provider.iter().map(Proxy::url).chain([standin.url()]);
        let mut builder = Operator::builder(operator_binary(), api.kubeconfig().unwrap())
            .namespace(platform.name())
            .arg("--allow-endpoint")
            .arg(origins.collect::<Vec<_>>().join(","))
            .env("NO_PROXY", "127.0.0.1");
        let hostile = match setup.shared_key {
            true => Some(cluster.namespace("hostile").await.unwrap()),
            false => None,
        };
        builder = match &hostile {
            Some(hostile) => builder
                .arg("--watch-namespaces")
                .arg(format!("{user},{}", hostile.name())),
            None => builder
                .arg("--no-cluster-providers")
                .arg("--watch-namespaces")
                .arg(user),
        };
        for arg in &setup.args {
            builder = builder.arg(arg);
        }
        let observer = Observer::start(cluster.client().await.unwrap(), apps.name());
        let mut world = Self {
            pods: Vec::new(),
            observer,
            api,
            provider,
            standin,
            apps,
            platform,
            hostile,
            setup,
            seed,
            builder,
            started: Instant::now(),
            issued: Instant::now(),
            folder,
            cluster,
        };
        for _ in 0..world.setup.replicas {
            world.add_pod().await;
        }
        world.put_key(KEY).await;
        if world.hostile.is_some() {
            world.create_provider().await;
        }
        for name in world.names() {
            world.create(&name).await;
        }
        world.converged(DEADLINE).await;
        world.issued = world
            .standin
            .mints()
            .values()
            .flatten()
            .map(|mint| mint.at)
            .min()
            .unwrap();
        world
    }

    async fn add_pod(&mut self) {
        let log = self.folder.path().join(format!("operator-{}.log", self.pods.len()));
        let pod = Pod::start(self.builder.clone(), &log).await.unwrap();
        self.pods.push(pod);
    }

    pub fn names(&self) -> Vec<String> {
        (0..self.setup.tokens).map(|nth| format!("token-{nth}")).collect()
    }

    pub fn tokens(&self) -> Api<RealtimeToken> {
        self.apps.api()
    }

    pub fn secrets(&self) -> Api<Secret> {
        self.apps.api()
    }

    /// The provider's base URL, as the specs have it.
    pub fn endpoint(&self) -> String {
        self.provider.as_ref().map_or_else(|| self.standin.url(), Proxy::url)
    }

    pub async fn put_key(&self, key: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"}, "stringData": {"api-key": key},
        });
        let apply = PatchParams::apply("faults").force();
        let secrets: Api<Secret> = match self.hostile {
            Some(_) => self.platform.api(),
            None => self.secrets(),
        };
        secrets.patch("openai", &apply, &Patch::Apply(&secret)).await.unwrap();
    }

    /// Named as the namespace of the fleet, since it belongs to none.
    async fn create_provider(&self) {
        let provider: ClusterRealtimeProvider = serde_json::from_value(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider",
            "metadata": {"name": self.apps.name()},
            "spec": {
                "openai": {"endpoint": self.endpoint(), "reuse": "Multiple"},
                "credentials": {"secretRef": {"name": "openai"}},
                "namespaceSelector": {},
                "rateLimit": {"requestsPerMinute": 60, "burst": 10},
            },
        }))
        .unwrap();
        let all: Api<ClusterRealtimeProvider> = Api::all(self.apps.client());
        all.create(&PostParams::default(), &provider).await.unwrap();
    }

    /// A RealtimeToken of the fleet. Its name is also the identity under which the provider counts its mints.
    pub fn manifest(&self, name: &str) -> Value {
        let mut openai = json!({"model": "gpt-realtime-2.1", "safetyIdentifier": name});
        let credentials = match self.hostile {
            Some(_) => json!({"providerRef": {"name": self.apps.name()}}),
            None => {
                openai["endpoint"] = json!(self.endpoint());
                openai["reuse"] = json!("Multiple");
                json!({"secretRef": {"name": "openai"}})
            }
        };
        json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name},
            "spec": {
                "openai": openai,
                "credentials": credentials,
                "expirationSeconds": self.setup.life,
                "renewal": {"minRemainingSeconds": self.setup.floor, "propagationSeconds": 0},
            },
        })
    }

    pub async fn create(&self, name: &str) {
        let token: RealtimeToken = serde_json::from_value(self.manifest(name)).unwrap();
        self.tokens().create(&PostParams::default(), &token).await.unwrap();
    }

    /// Tries to create an object as it is written here, whatever this version's types make of it.
    pub async fn try_create(&self, object: Value) -> kube::Result<()> {
        let kind = kube::core::ApiResource::erase::<RealtimeToken>(&());
        let api = Api::<kube::core::DynamicObject>::namespaced_with(self.apps.client(), self.apps.name(), &kind);
        let object = serde_json::from_value(object).unwrap();
        api.create(&PostParams::default(), &object).await.map(drop)
    }

    pub async fn patch(&self, name: &str, patch: Value) {
        let patch = Patch::Merge(patch);
        self.tokens()
            .patch(name, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    pub fn since_issued(&self) -> Duration {
        self.issued.elapsed()
    }

    /// Waits until so much time has passed since the first token of the fleet was issued.
    pub async fn at(&self, seconds: u64) {
        tokio::time::sleep_until((self.issued + Duration::from_secs(seconds)).into()).await;
    }
}

/// What the operators of a scenario that failed have said.
impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!(
                "{}, FAULTS_SEED={}: its operators' last words:\n{}",
                self.setup.name,
                self.seed,
                self.log_tail()
            );
        }
    }
}

/// `OPERATOR` names another build than the one beside these tests.
pub fn operator_binary() -> PathBuf {
    let named = std::env::var_os("OPERATOR").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_realtime-token-operator")))
}
