//! A real API server, the operator and the stand-in provider, for the tests of consumers.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::{
    authentication::v1::TokenRequest,
    core::v1::{Secret, ServiceAccount},
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
    core::NamespaceResourceScope,
};
use nodetests::built;
use serde_json::{Value, json};
use testkit::{
    cluster::{Cluster, Namespace, Options},
    operator::Operator,
    ports,
    standin::{self, StandIn},
    wait,
};
use tokio::sync::OnceCell;

use super::{strict::Pod, volume::Volume};

/// For what goes through several processes on a busy machine.
pub const SOON: Duration = Duration::from_secs(120);

pub struct World {
    pub standin: StandIn,
    cluster: Cluster,
    _operator: Operator,
}

/// One for all these tests. The cluster is not the one that other tests share, whose operators would serve our tokens.
pub async fn world() -> &'static World {
    static WORLD: OnceCell<World> = OnceCell::const_new();
    WORLD
        .get_or_init(async || {
            let cluster = Cluster::start(Options::default()).await.unwrap();
            let crds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds");
            cluster.apply_crds(crds).await.unwrap();
            let standin = StandIn::start(standin::Options::default()).unwrap();
            let requests = ports::free().unwrap();
            let mut operator = Operator::builder(built::operator().unwrap(), cluster.kubeconfig())
                .namespace("default")
                .arg("--allow-endpoint")
                .arg(standin.url())
                .arg("--requests-listen")
                .arg(requests.to_string())
                .arg("--requests-url")
                .arg(format!("https://localhost:{}", requests.port()))
                .env("NO_PROXY", "127.0.0.1")
                .start()
                .unwrap();
            operator.wait_ready().await.unwrap();
            World {
                standin,
                cluster,
                _operator: operator,
            }
        })
        .await
}

impl World {
    /// A namespace with the providers' keys.
    pub async fn team(&self) -> Team<'_> {
        let namespace = self.cluster.namespace("consumer").await.unwrap();
        let secrets: Api<Secret> = namespace.api();
        for (name, key) in [("openai", "sk-test-fake"), ("elevenlabs", "xi-fake")] {
            let secret = json!({"metadata": {"name": name}, "stringData": {"api-key": key}});
            let secret = serde_json::from_value(secret).unwrap();
            secrets.create(&PostParams::default(), &secret).await.unwrap();
        }
        Team { namespace, world: self }
    }
}

/// An application team in a namespace of its own.
pub struct Team<'a> {
    namespace: Namespace,
    world: &'a World,
}

impl Team<'_> {
    /// An OpenAI token with a life of this many seconds.
    pub async fn openai(&self, name: &str, life: u32) {
        let spec = json!({
            "openai": {"model": "gpt-realtime-2.1", "endpoint": self.world.standin.url()},
            "credentials": {"secretRef": {"name": "openai"}},
            "expirationSeconds": life,
        });
        self.create(name, spec).await;
    }

    /// An ElevenLabs signed URL.
    pub async fn elevenlabs(&self, name: &str) {
        let spec = json!({
            "elevenlabs": {
                "kind": "SignedUrl", "agentId": "agent_1", "firstMessage": "Hello", "language": "en",
                "endpoint": self.world.standin.url(),
            },
            "credentials": {"secretRef": {"name": "elevenlabs"}},
        });
        self.create(name, spec).await;
    }

    /// An OpenAI token for each user, on request.
    pub async fn on_request(&self, name: &str) {
        let spec = json!({
            "openai": {"model": "gpt-realtime-2.1", "endpoint": self.world.standin.url()},
            "credentials": {"secretRef": {"name": "openai"}},
            "requests": {"subject": "Required", "overridable": ["expirationSeconds"]},
            "target": {"content": "Connection"},
        });
        self.create(name, spec).await;
    }

    /// A pod of a ServiceAccount `web`, which mounts the RealtimeToken's Secret and has no right yet.
    pub async fn pod(&self, name: &str, folder: &Path) -> (Volume, Pod) {
        self.put::<ServiceAccount>(json!({"metadata": {"name": "web"}})).await;
        let request = json!({"spec": {"audiences": ["realtime-token.dev"], "expirationSeconds": 600}});
        let request: TokenRequest = serde_json::from_value(request).unwrap();
        let accounts: Api<ServiceAccount> = self.namespace.api();
        let given = accounts
            .create_token_request("web", &PostParams::default(), &request)
            .await;
        let token_file = folder.join("token");
        fs::write(&token_file, given.unwrap().status.unwrap().token).unwrap();
        let volume = self.mount(name, folder.join("mounted"));
        wait::until("where to ask", SOON, async || {
            Ok(volume.file("request-url").exists().then_some(()))
        })
        .await
        .unwrap();
        let directory = volume.folder().to_owned();
        (volume, Pod { directory, token_file })
    }

    /// The Role and the RoleBinding of docs/consuming.md, for this namespace.
    pub fn role(&self, name: &str) -> String {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/consuming.md");
        let page = fs::read_to_string(page).unwrap();
        let (_, from) = page
            .split_once("```yaml\napiVersion: rbac.authorization.k8s.io/v1\n")
            .unwrap();
        let (block, _) = from.split_once("```").unwrap();
        let role = format!("apiVersion: rbac.authorization.k8s.io/v1\n{block}");
        role.replace("namespace: shop", &format!("namespace: {}", self.namespace.name()))
            .replace("voice", name)
    }

    /// Applies a Role and a RoleBinding, as they stand in a text.
    pub async fn grant(&self, manifests: &str) {
        let mut objects: Vec<Value> = serde_saphyr::from_multiple(manifests).unwrap();
        self.put::<RoleBinding>(objects.pop().unwrap()).await;
        self.put::<Role>(objects.pop().unwrap()).await;
        assert!(objects.is_empty());
    }

    async fn put<K>(&self, object: Value)
    where
        K: Resource<Scope = NamespaceResourceScope>
            + serde::de::DeserializeOwned
            + serde::Serialize
            + Clone
            + std::fmt::Debug,
        K::DynamicType: Default,
    {
        let api: Api<K> = self.namespace.api();
        let created = api
            .create(&PostParams::default(), &serde_json::from_value(object).unwrap())
            .await;
        created.unwrap();
    }

    async fn create(&self, name: &str, spec: Value) {
        let mut token = DynamicObject::new(name, &realtime_token());
        token.data = json!({"spec": spec});
        let created = self.tokens().create(&PostParams::default(), &token).await;
        created.unwrap();
    }

    /// Asks for the next token: the operator mints it as soon as the current one is ten seconds old.
    pub async fn renew(&self, name: &str, request: &str) {
        let patch = json!({"metadata": {"annotations": {"realtime-token.dev/renew-requested-at": request}}});
        let renewed = self
            .tokens()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await;
        renewed.unwrap();
    }

    /// The `token.json` of a revision, once it is stored.
    pub async fn token_json(&self, name: &str, revision: u32) -> String {
        let revision = revision.to_string();
        let fits = |secret: &Secret| secret.annotations().get("realtime-token.dev/revision") == Some(&revision);
        let secret = wait::object_when(&self.secrets(), name, SOON, fits).await;
        let data = secret.unwrap().data.unwrap();
        String::from_utf8(data["token.json"].0.clone()).unwrap()
    }

    /// Mounts a Secret in `folder`, as the kubelet does.
    pub fn mount(&self, name: &str, folder: impl Into<PathBuf>) -> Volume {
        Volume::follow(self.secrets(), name, folder)
    }

    fn secrets(&self) -> Api<Secret> {
        self.namespace.api()
    }

    fn tokens(&self) -> Api<DynamicObject> {
        let client = self.namespace.client();
        Api::namespaced_with(client, self.namespace.name(), &realtime_token())
    }
}

fn realtime_token() -> ApiResource {
    let kind = GroupVersionKind::gvk("realtime-token.dev", "v1alpha1", "RealtimeToken");
    ApiResource::from_gvk(&kind)
}
