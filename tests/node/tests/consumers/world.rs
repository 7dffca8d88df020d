//! A real API server, the operator and the stand-in provider, for the tests of consumers.

use std::{path::PathBuf, time::Duration};

use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use nodetests::built;
use serde_json::{Value, json};
use testkit::{
    cluster::{Cluster, Namespace, Options},
    operator::Operator,
    standin::{self, StandIn},
    wait,
};
use tokio::sync::OnceCell;

use super::volume::Volume;

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
            let mut operator = Operator::builder(built::operator().unwrap(), cluster.kubeconfig())
                .namespace("default")
                .arg("--allow-endpoint")
                .arg(standin.url())
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
