//! What the tests share: one control plane, one stand-in provider and one operator for all of them; a namespace and a
//! key for each. A test that restarts or kills its operator, or counts its requests, has an operator of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use realtime_token_operator::api::{RealtimeToken, RealtimeTokenStatus};
use serde_json::{Value, json};
use testkit::cluster::{self, Audited, Cluster, Namespace, Options};
use testkit::operator::Operator;
use testkit::standin::{self, Call, Fault, Provider, Scope, StandIn};
use testkit::wait;
use tokio::sync::{Mutex, OnceCell};

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
        .get_or_init(async || World::new(ClusterRef::Shared(cluster::shared().await.unwrap()), &[]).await)
        .await
}

/// The control plane of the operators that one test has for itself. It logs who asked it for what.
async fn second_cluster() -> &'static Cluster {
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

fn elevenlabs_key(number: usize) -> String {
    format!("xi-canary-{number:04}-Pm5Rk9Hd2Yb7")
}

/// A test's own corner of the world.
pub struct Case<'a> {
    pub world: &'a World,
    pub namespace: Namespace,
    pub key: String,
    /// Another key that the provider accepts, for a rotation.
    pub spare_key: String,
    pub xi_key: String,
}

impl Case<'_> {
    pub fn tokens(&self) -> Api<RealtimeToken> {
        self.namespace.api()
    }

    pub fn secrets(&self) -> Api<Secret> {
        self.namespace.api()
    }

    /// Creates or replaces a key Secret.
    pub async fn put_key(&self, name: &str, key: &str) {
        put_secret(&self.secrets(), name, "api-key", key).await;
    }

    /// The spec of an OpenAI token at the stand-in.
    pub fn openai(&self) -> Value {
        json!({
            "openai": {"model": "gpt-realtime-2.1", "endpoint": self.world.standin.url()},
            "credentials": {"secretRef": {"name": "openai"}},
            "expirationSeconds": 1800,
        })
    }

    /// The spec of an ElevenLabs token at the stand-in.
    pub fn elevenlabs(&self, kind: &str) -> Value {
        json!({
            "elevenlabs": {"kind": kind, "agentId": "agent_1", "endpoint": self.world.standin.url()},
            "credentials": {"secretRef": {"name": "elevenlabs"}},
        })
    }

    pub async fn create(&self, name: &str, spec: Value) -> RealtimeToken {
        self.try_create(name, spec).await.unwrap()
    }

    pub async fn try_create(&self, name: &str, spec: Value) -> kube::Result<RealtimeToken> {
        let token = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name}, "spec": spec,
        });
        // Untyped on the way in, so that the API server sees just what was written here.
        let api = Api::<kube::core::DynamicObject>::namespaced_with(
            self.namespace.client(),
            self.namespace.name(),
            &kube::core::ApiResource::erase::<RealtimeToken>(&()),
        );
        let created = api
            .create(&PostParams::default(), &serde_json::from_value(token).unwrap())
            .await?;
        Ok(created.try_parse().unwrap())
    }

    pub async fn patch(&self, name: &str, patch: Value) -> RealtimeToken {
        self.tokens()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
    }

    /// Waits for a RealtimeToken whose status fits.
    pub async fn status_when(&self, name: &str, fits: impl Fn(&RealtimeTokenStatus) -> bool) -> RealtimeTokenStatus {
        let fits = |token: &RealtimeToken| token.status.as_ref().is_some_and(&fits);
        wait::object_when(&self.tokens(), name, DEADLINE, fits)
            .await
            .unwrap()
            .status
            .unwrap()
    }

    /// Waits for a condition.
    pub async fn condition(&self, name: &str, type_: &str, status: &str, reason: &str) -> String {
        let found = self.status_when(name, |s| holds(s, type_, status, reason)).await;
        found
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == type_)
            .unwrap()
            .message
    }

    /// Waits for a Secret of a revision.
    pub async fn revision(&self, secret: &str, revision: i64) -> Secret {
        let fits = |secret: &Secret| annotation(secret, "revision") == Some(&revision.to_string());
        wait::object_when(&self.secrets(), secret, DEADLINE, fits)
            .await
            .unwrap()
    }

    /// Waits for a Secret that fits.
    pub async fn secret_when(&self, name: &str, fits: impl Fn(&Secret) -> bool) -> Secret {
        wait::object_when(&self.secrets(), name, DEADLINE, |secret: &Secret| fits(secret))
            .await
            .unwrap()
    }

    /// The calls that the provider got with this test's keys.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = self.world.standin.calls_with_key(&self.key);
        calls.extend(self.world.standin.calls_with_key(&self.spare_key));
        calls.extend(self.world.standin.calls_with_key(&self.xi_key));
        calls
    }

    /// Waits for so many calls with this test's keys.
    pub async fn calls_reach(&self, count: usize) -> Vec<Call> {
        wait::until("calls to the provider", DEADLINE, async || {
            let calls = self.calls();
            Ok((calls.len() >= count).then_some(calls))
        })
        .await
        .unwrap()
    }

    /// Has the provider fail for this test alone.
    pub fn fail(&self, fault: Fault) {
        self.world.standin.fail_always_for(Scope::Key(self.key.clone()), fault);
    }

    /// Waits for an Event about a RealtimeToken.
    pub async fn event(&self, name: &str, reason: &str) -> Event {
        let api: Api<Event> = self.namespace.api();
        wait::until(&format!("event {reason} of {name}"), DEADLINE, async || {
            let events = api.list(&ListParams::default()).await?;
            Ok(events.into_iter().find(|event| {
                event.reason.as_deref() == Some(reason)
                    && event.regarding.as_ref().and_then(|about| about.name.as_deref()) == Some(name)
            }))
        })
        .await
        .unwrap()
    }

    /// Gives the operator time to do what it must not: everything up to now went through its queue, as a later
    /// RealtimeToken's first token proves.
    pub async fn settle(&self) {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("settle-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut spec = self.openai();
        spec["credentials"]["secretRef"]["name"] = json!("settle");
        self.put_key("settle", &openai_key(KEYS - 1)).await;
        self.create(&name, spec).await;
        self.revision(&name, 1).await;
    }
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
