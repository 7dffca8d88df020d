//! Two replicas of the operator, and RealtimeTokens to each of which something else happens.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use nodetests::built;
use serde_json::{Value, json};
use testkit::{
    cluster::{Cluster, Namespace, Options},
    operator::Operator,
    standin::{self, Fault, Provider, Scope, StandIn},
    wait,
};

/// The keys: one that works, one that is refused, one that is limited, one whose provider breaks down later.
const GOOD: &str = "sk-good";
const REFUSED: &str = "sk-refused";
const LIMITED: &str = "sk-limited";
const BROKEN: &str = "sk-broken";
const ELEVENLABS: &str = "xi-good";

pub struct Setup {
    pub leader: Operator,
    pub standby: Operator,
    pub team: Namespace,
    standin: StandIn,
    _cluster: Cluster,
}

impl Setup {
    /// Everything starts, and the tokens that will get one have got it.
    pub async fn start() -> Result<Self> {
        let cluster = Cluster::start(Options::default()).await?;
        cluster
            .apply_crds(concat!(env!("CARGO_MANIFEST_DIR"), "/../../crds"))
            .await?;
        let standin = StandIn::start(standin::Options::default())?;
        standin.accept_keys(Provider::OpenAi, [GOOD, REFUSED, LIMITED, BROKEN]);
        standin.accept_keys(Provider::ElevenLabs, [ELEVENLABS]);
        standin.fail_always_for(Scope::Key(REFUSED.into()), Fault::status(401));
        standin.fail_always_for(Scope::Key(LIMITED.into()), Fault::throttled(5));
        let replica = async |pod: &str| {
            let mut operator = Operator::builder(built::operator()?, cluster.kubeconfig())
                .namespace("default")
                .arg("--leader-elect")
                .arg("--allow-endpoint")
                .arg(standin.url())
                .env("POD_NAME", pod)
                .env("NO_PROXY", "127.0.0.1")
                .start()?;
            operator.wait_ready().await?;
            anyhow::Ok(operator)
        };
        let leader = replica("a").await?;
        let standby = replica("b").await?;
        let team = cluster.namespace("shop").await?;
        let setup = Self {
            leader,
            standby,
            team,
            standin,
            _cluster: cluster,
        };
        setup.tokens().await?;
        Ok(setup)
    }

    async fn tokens(&self) -> Result<()> {
        // Short lives, so that they rotate before our eyes.
        let short = |key: &str| {
            json!({
                "openai": {"model": "gpt-realtime-2.1", "endpoint": self.standin.url()},
                "credentials": {"secretRef": {"name": key}},
                "expirationSeconds": 20,
                "renewal": {"minRemainingSeconds": 2, "propagationSeconds": 0},
            })
        };
        for key in [GOOD, REFUSED, LIMITED, BROKEN, ELEVENLABS] {
            let secret = json!({"metadata": {"name": key}, "stringData": {"api-key": key}});
            let secrets: Api<Secret> = self.team.api();
            let secret = serde_json::from_value(secret)?;
            secrets.create(&PostParams::default(), &secret).await?;
        }
        for name in ["voice", "another"] {
            self.create(name, short(GOOD)).await?;
        }
        let url = json!({
            "elevenlabs": {"kind": "SignedUrl", "agentId": "agent_1", "endpoint": self.standin.url()},
            "credentials": {"secretRef": {"name": ELEVENLABS}},
        });
        self.create("url", url).await?;
        self.create("overdue", short(BROKEN)).await?;
        for name in ["voice", "another", "url", "overdue"] {
            wait::object_when(&self.team.api::<Secret>(), name, Duration::from_secs(60), |_| true).await?;
        }
        self.standin
            .fail_always_for(Scope::Key(BROKEN.into()), Fault::status(500));
        self.create("refused", short(REFUSED)).await?;
        self.create("limited", short(LIMITED)).await
    }

    async fn create(&self, name: &str, spec: Value) -> Result<()> {
        let kind = GroupVersionKind::gvk("realtime-token.dev", "v1alpha1", "RealtimeToken");
        let kind = ApiResource::from_gvk(&kind);
        let api: Api<DynamicObject> = Api::namespaced_with(self.team.client(), self.team.name(), &kind);
        let mut token = DynamicObject::new(name, &kind);
        token.data = json!({"spec": spec});
        api.create(&PostParams::default(), &token).await?;
        Ok(())
    }
}
