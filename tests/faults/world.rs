//! One scenario's namespace, provider, proxies, operators and fleet of RealtimeTokens, and what is held at its end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use realtime_token_operator::api::{ClusterRealtimeProvider, RealtimeToken};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::cluster::{Cluster, Namespace, Options, RequestCounts};
use testkit::operator::{Operator, OperatorBuilder};
use testkit::pod::Pod;
use testkit::proxy::Proxy;
use testkit::seed;
use testkit::standin::{self, StandIn};
use testkit::wait;
use tokio::sync::{OnceCell, Semaphore};

use crate::observer::{Observer, end_of, has, is_ready};

pub const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
pub const KEY: &str = "sk-test-fake";
/// For what is no part of a scenario, such as the first issue of all tokens.
const DEADLINE: Duration = Duration::from_secs(60);

/// How a scenario begins.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    /// How many RealtimeTokens.
    pub tokens: usize,
    /// How long a token lives, in seconds.
    pub life: i64,
    /// `minRemainingSeconds`. With the default life a token is due half-way, a minute before its floor.
    pub floor: i64,
    pub replicas: usize,
    pub args: Vec<String>,
    /// Put a proxy before the provider too.
    pub provider_proxy: bool,
    /// The key is a ClusterRealtimeProvider's, which a second namespace may use too.
    pub shared_key: bool,
}

impl Setup {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            tokens: 10,
            life: 130,
            floor: 5,
            replicas: 1,
            args: Vec::new(),
            provider_proxy: false,
            shared_key: false,
        }
    }

    /// Two replicas and a Lease with the times of the chart.
    pub fn replicated(name: &'static str) -> Self {
        Self {
            replicas: 2,
            args: vec!["--leader-elect".to_owned()],
            ..Self::new(name)
        }
    }

    /// No two mints of one RealtimeToken are closer if both were due.
    fn due_after(&self) -> SignedDuration {
        let renew_before = (self.life * 33 / 100).max(self.floor + 60).min(self.life / 2);
        let jitter = (self.life / 20).min(60) + 1;
        SignedDuration::from_secs(self.life - renew_before - jitter - 2)
    }
}

/// What must hold at the end of a scenario.
#[derive(Clone, Debug)]
pub struct Expected {
    /// From now on: every token alive and every status true.
    pub converged: Duration,
    /// Mints that came before they were due.
    pub extra_mints: usize,
    /// Requests to the API server from the start of the scenario, Leases aside.
    pub requests: u64,
    /// The least life that any Secret's token had.
    pub floor: i64,
    /// The longest time for which a status said Ready=True without a living token.
    pub false_claim: Duration,
    /// Ends of processes.
    pub restarts: usize,
    /// Whether the provider has reason to refuse a request.
    pub refusals: bool,
}

impl Default for Expected {
    fn default() -> Self {
        Self {
            converged: Duration::from_secs(30),
            extra_mints: 0,
            requests: 400,
            floor: 5,
            false_claim: Duration::from_secs(3),
            restarts: 0,
            refusals: false,
        }
    }
}

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

    /// Waits until every token is alive and every status says what is true.
    pub async fn converged(&self, within: Duration) {
        let names = self.names();
        let what = format!("{}: a fleet at rest", self.setup.name);
        wait::until(&what, within, async || self.at_rest(&names).await.map(Some))
            .await
            .unwrap();
    }

    async fn at_rest(&self, names: &[String]) -> anyhow::Result<()> {
        let tokens = self.tokens().list(&ListParams::default()).await?;
        let tokens: BTreeMap<String, RealtimeToken> = tokens.into_iter().map(|it| (it.name_any(), it)).collect();
        let secrets = self.secrets().list(&ListParams::default()).await?;
        let secrets: BTreeMap<String, Secret> = secrets.into_iter().map(|it| (it.name_any(), it)).collect();
        let now = Timestamp::now();
        for name in names {
            let Some(token) = tokens.get(name) else {
                anyhow::bail!("no RealtimeToken {name}")
            };
            let Some(status) = &token.status else {
                anyhow::bail!("{name} has no status")
            };
            let Some(end) = secrets.get(name).and_then(end_of) else {
                anyhow::bail!("{name} has no token")
            };
            let left = end.duration_since(now).as_secs();
            anyhow::ensure!(left >= self.setup.floor, "{name}: {left} s left");
            let until = status.usable_until.as_ref().map(|until| until.0);
            anyhow::ensure!(
                until == Some(end),
                "{name}: the status says {until:?}, the Secret {end}"
            );
            let due = status.renewal_time.as_ref().map(|time| time.0);
            anyhow::ensure!(due > Some(now), "{name} was due at {due:?}");
            let rests = is_ready(status) && has(status, "Renewing", "False") && status.failed_mint_attempts.is_none();
            anyhow::ensure!(rests, "{name}: {:?}", status.conditions);
            anyhow::ensure!(
                status.observed_generation == token.metadata.generation,
                "{name}: a status of an older spec"
            );
        }
        Ok(())
    }

    /// Mints of each token of the fleet that came before they can have been due.
    pub fn extra_mints(&self) -> BTreeMap<String, usize> {
        let due_after = self.setup.due_after();
        let too_soon = |(name, mut mints): (String, Vec<standin::Mint>)| {
            mints.sort_by_key(|mint| mint.at);
            let early = mints
                .windows(2)
                .filter(|pair| pair[1].time.duration_since(pair[0].time) < due_after);
            (name, early.count())
        };
        let fleet = self.names();
        let of_fleet = |(name, _): &(String, Vec<standin::Mint>)| fleet.contains(name);
        let all = self.standin.mints().into_iter().filter(of_fleet).map(too_soon);
        all.filter(|(_, early)| *early > 0).collect()
    }

    pub fn requests(&self) -> RequestCounts {
        self.api.requests()
    }

    /// What was written to an object of this kind, or tried.
    pub fn writes(&self, resource: &str, subresource: &str) -> u64 {
        let write = ["POST", "PUT", "PATCH", "APPLY", "DELETE"];
        self.requests()
            .sum(|it| it.resource == resource && it.subresource == subresource && write.contains(&&*it.verb))
    }

    /// Holds what a scenario promises; prints what it showed.
    pub async fn finish(&self, expected: &Expected) {
        let healed = Instant::now();
        self.converged(expected.converged).await;
        let took = healed.elapsed();
        let seen = self.observer.seen();
        let least = seen.values().filter_map(|seen| seen.least_left).min();
        let least = least.map_or(0, |left| left.as_secs());
        let claim = seen.values().map(|seen| seen.false_claim).max().unwrap_or_default();
        let requests = self.requests();
        let asked = requests.sum(|it| it.resource != "leases");
        let extra = self.extra_mints();
        let extra_sum: usize = extra.values().sum();
        let restarts: usize = self.pods.iter().map(Pod::restarts).sum();
        let mints: usize = self.standin.mints().values().map(Vec::len).sum();
        let name = self.setup.name;
        println!(
            "{name}: converged after {:.1} s (of {:?}), {mints} mints, {extra_sum} early (of {}), {asked} requests (of {}), \
             least life {least} s (of {}), false claims {:.0} s (of {:?}), {restarts} restarts (of {})",
            took.as_secs_f64(),
            expected.converged,
            expected.extra_mints,
            expected.requests,
            expected.floor,
            claim.as_secs_f64(),
            expected.false_claim,
            expected.restarts,
        );
        let seed = self.seed;
        let again = format!("{name}, FAULTS_SEED={seed}");
        assert!(
            extra_sum <= expected.extra_mints,
            "{again}: mints before they were due: {extra:?}"
        );
        assert!(asked <= expected.requests, "{again}: {asked} requests:\n{requests}");
        assert!(least >= expected.floor, "{again}: {least} s left at least: {seen:#?}");
        assert!(
            claim <= expected.false_claim,
            "{again}: Ready=True without a token for {claim:?}: {seen:#?}"
        );
        assert!(
            restarts <= expected.restarts,
            "{again}: {restarts} restarts:\n{}",
            self.log_tail()
        );
        if !expected.refusals {
            assert_eq!(self.standin.complaints(), [""; 0], "{again}");
        }
        let tokens = self.standin.issued();
        for pod in &self.pods {
            let logs = pod.logs();
            assert!(
                !tokens.iter().any(|token| logs.contains(token)),
                "{again}: a token is in the logs"
            );
            assert!(!logs.contains(KEY), "{again}: the key is in the logs");
        }
    }

    pub fn log_tail(&self) -> String {
        let tail = |pod: &Pod| {
            let logs = pod.logs();
            let lines: Vec<&str> = logs.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        self.pods.iter().map(tail).collect::<Vec<_>>().join("\n---\n")
    }

    /// Which pods lead now.
    pub async fn leaders(&self) -> Vec<usize> {
        let mut leaders = Vec::new();
        for (nth, pod) in self.pods.iter().enumerate() {
            if pod.leads().await {
                leaders.push(nth);
            }
        }
        leaders
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
