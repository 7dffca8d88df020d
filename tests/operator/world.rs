//! What the tests share: one control plane, one stand-in provider and one operator for all of them; a namespace and a
//! key for each. A test that restarts or kills its operator, or counts its requests, has an operator of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, ResourceExt};
use realtime_token_operator::api::RealtimeTokenStatus;
use serde_json::{Value, json};
use testkit::cluster::{self, Audited, Cluster, Namespace, Options};
use testkit::operator::Operator;
use testkit::standin::{self, Provider, StandIn};
use tokio::sync::{Mutex, OnceCell};

pub use crate::case::Case;

/// How long a test waits for anything before it fails. It measures nothing: two mints of one RealtimeToken are ten
/// seconds apart, and a busy machine takes its time. What has to be quick is asserted by the times of what happened.
pub const DEADLINE: Duration = Duration::from_secs(60);
pub const CRDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/crds");
/// More tests than this don't run in one world.
const KEYS: usize = 400;
/// Below a level at which the logs would cost more than what is tested.
const LOG: &str = "info,realtime_token_operator=debug";

pub struct World {
    pub cluster: ClusterRef,
    pub standin: StandIn,
    pub operator: Mutex<Operator>,
    pub platform: Namespace,
    kubeconfig: PathBuf,
    args: Vec<String>,
    /// The one namespace that the operator looks after, until a case takes it.
    watched: Option<Mutex<Option<Namespace>>>,
    next: AtomicUsize,
}

pub enum ClusterRef {
    Shared(&'static Cluster),
    Own(Box<Cluster>),
}

impl ClusterRef {
    /// The cluster to stop and start.
    pub fn own(&mut self) -> &mut Cluster {
        match self {
            Self::Shared(_) => panic!("the shared cluster is not one test's to stop"),
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

/// The world that most tests share.
pub async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(async || World::new(ClusterRef::Shared(cluster::shared(Some(CRDS)).await.unwrap()), &[]).await)
        .await
}

/// The control plane of the operators that one test has for itself. It logs who asked it for what.
pub async fn second_cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    CLUSTER
        .get_or_init(async || {
            let options = Options {
                audit: true,
                ..Options::default()
            };
            let cluster = Cluster::start(options).await.unwrap();
            cluster.apply_crds(CRDS).await.unwrap();
            cluster
        })
        .await
}

impl World {
    /// A world with an operator of its own, which looks after the namespace of the one [`World::case`] and no other.
    pub async fn with_own_operator(name: &str, args: &[&str]) -> Self {
        let cluster = second_cluster().await;
        let platform = cluster.namespace("platform").await.unwrap();
        let watched = cluster.namespace(name).await.unwrap();
        // A user of its own, by whose name the API server logs its requests.
        let user = platform.name();
        let kubeconfig = cluster.component_kubeconfig(user, user, Some("system:masters"));
        let mut all = vec!["--watch-namespaces", watched.name(), "--no-cluster-providers"];
        all.extend(args);
        let all = all.into_iter().map(str::to_owned).collect();
        let mut world = Self::start(ClusterRef::Shared(cluster), platform, kubeconfig.unwrap(), all).await;
        world.watched = Some(Mutex::new(Some(watched)));
        world
    }

    /// A world with a control plane of its own, to be stopped or changed.
    pub async fn with_own_cluster() -> Self {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        Self::new(ClusterRef::Own(Box::new(cluster)), &[]).await
    }

    async fn new(cluster: ClusterRef, args: &[&str]) -> Self {
        cluster.apply_crds(CRDS).await.unwrap();
        let platform = cluster.namespace("platform").await.unwrap();
        let kubeconfig = cluster.kubeconfig().to_owned();
        let args = args.iter().map(|&arg| arg.to_owned()).collect();
        Self::start(cluster, platform, kubeconfig, args).await
    }

    async fn start(cluster: ClusterRef, platform: Namespace, kubeconfig: PathBuf, args: Vec<String>) -> Self {
        let standin = StandIn::start(standin::Options::default()).unwrap();
        // Beside each test's own keys those of the files in tests/conformance.
        let openai = (0..KEYS).map(openai_key).chain(["sk-test-fake".into()]);
        let elevenlabs = (0..KEYS).map(elevenlabs_key).chain(["xi-fake".into()]);
        standin.accept_keys(Provider::OpenAi, openai);
        standin.accept_keys(Provider::ElevenLabs, elevenlabs);
        let operator = start_operator(&kubeconfig, &standin, &platform, &args).await;
        Self {
            cluster,
            standin,
            operator: Mutex::new(operator),
            platform,
            kubeconfig,
            args,
            watched: None,
            next: AtomicUsize::new(0),
        }
    }

    /// Ends the operator with SIGKILL and starts another.
    pub async fn restart(&self) {
        let mut operator = self.operator.lock().await;
        operator.kill().unwrap();
        *operator = self.replica().await;
    }

    /// Another operator with the same arguments.
    pub async fn replica(&self) -> Operator {
        start_operator(&self.kubeconfig, &self.standin, &self.platform, &self.args).await
    }

    /// What the operator of [`World::with_own_operator`] has asked the API server for, without its lists and watches.
    pub fn requests(&self) -> Vec<Audited> {
        let mut all = self.cluster.audit().unwrap();
        all.retain(|it| it.user == self.platform.name() && it.verb != "list" && it.verb != "watch");
        all
    }

    /// A namespace with key Secrets `openai` and `elevenlabs`.
    pub async fn case(&self, name: &str) -> Case<'_> {
        self.labelled_case(name, &[]).await
    }

    pub async fn labelled_case(&self, name: &str, labels: &[(&str, &str)]) -> Case<'_> {
        let number = 2 * self.next.fetch_add(1, Ordering::Relaxed);
        assert!(number + 2 < KEYS, "more cases than keys");
        let namespace = match &self.watched {
            Some(watched) => watched.lock().await.take().expect("one case per operator"),
            None => self.cluster.labelled_namespace(name, labels).await.unwrap(),
        };
        let case = Case {
            world: self,
            namespace,
            key: openai_key(number),
            spare_key: openai_key(number + 1),
            xi_key: elevenlabs_key(number),
        };
        case.put_key("openai", &case.key).await;
        case.put_key("elevenlabs", &case.xi_key).await;
        case
    }
}

async fn start_operator(kubeconfig: &Path, standin: &StandIn, platform: &Namespace, args: &[String]) -> Operator {
    let binary = PathBuf::from(env!("CARGO_BIN_EXE_realtime-token-operator"));
    let mut builder = Operator::builder(binary, kubeconfig)
        .namespace(platform.name())
        .arg("--allow-endpoint")
        .arg(standin.origins().join(","))
        .env("LOG", LOG)
        .env("NO_PROXY", "127.0.0.1");
    for arg in args {
        builder = builder.arg(arg);
    }
    let mut operator = builder.start().unwrap();
    operator.wait_ready().await.unwrap();
    operator
}

fn openai_key(number: usize) -> String {
    format!("sk-test-canary-{number:04}-Zq8Lw3Vt6Xn1")
}

/// The key of [`Case::settle`].
pub fn settle_key() -> String {
    openai_key(KEYS - 1)
}

fn elevenlabs_key(number: usize) -> String {
    format!("xi-canary-{number:04}-Pm5Rk9Hd2Yb7")
}

pub async fn put_secret(api: &Api<Secret>, name: &str, key: &str, value: &str) {
    let secret = Secret {
        metadata: kube::core::ObjectMeta {
            name: Some(name.to_owned()),
            ..Default::default()
        },
        data: Some(BTreeMap::from([(
            key.to_owned(),
            ByteString(value.as_bytes().to_vec()),
        )])),
        ..Secret::default()
    };
    api.patch(
        name,
        &PatchParams::apply("test").force(),
        &Patch::Apply(&json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret.name_any()}, "data": secret.data,
        })),
    )
    .await
    .unwrap();
}

pub fn holds(status: &RealtimeTokenStatus, type_: &str, value: &str, reason: &str) -> bool {
    status
        .conditions
        .iter()
        .any(|c| c.type_ == type_ && c.status == value && c.reason == reason)
}

pub fn annotation<'a>(secret: &'a Secret, name: &str) -> Option<&'a String> {
    secret.annotations().get(&format!("realtime-token.dev/{name}"))
}

/// Waits until the smallest interval between two mints has passed since this one's: the operator no longer holds the
/// token, and mints at once where it must.
pub async fn outlive_the_interval(secret: &Secret) {
    let issued: Timestamp = annotation(secret, "issued-at").unwrap().parse().unwrap();
    let rest = SignedDuration::from_millis(10_200) - Timestamp::now().duration_since(issued);
    if let Ok(rest) = rest.try_into() {
        tokio::time::sleep(rest).await; // what is awaited is time itself
    }
}

pub fn data(secret: &Secret, key: &str) -> String {
    let data = secret.data.as_ref().unwrap();
    String::from_utf8(data.get(key).unwrap_or_else(|| panic!("no key {key}")).0.clone()).unwrap()
}

pub fn token_json(secret: &Secret) -> Value {
    serde_json::from_str(&data(secret, "token.json")).unwrap()
}
