//! Two replicas of the operator, and RealtimeTokens to each of which something else happens. One of them is asked for
//! tokens all the time.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, GroupVersionKind, PostParams},
};
use nodetests::built;
use serde_json::{Value, json};
use testkit::{
    caller::Caller,
    cluster::{Cluster, Namespace, Options},
    operator::Operator,
    ports,
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
        let requests = ports::free()?;
        let replica = async |pod: &str, requests: SocketAddr| {
            let mut operator = Operator::builder(built::operator()?, cluster.kubeconfig())
                .namespace("default")
                .arg("--leader-elect")
                .arg(format!("--requests-listen={requests}"))
                .arg("--allow-endpoint")
                .arg(standin.url())
                .env("POD_NAME", pod)
                .env("NO_PROXY", "127.0.0.1")
                .start()?;
            operator.wait_ready().await?;
            anyhow::Ok(operator)
        };
        let leader = replica("a", requests).await?;
        let standby = replica("b", ports::free()?).await?;
        let team = cluster.namespace("shop").await?;
        let setup = Self {
            leader,
            standby,
            team,
            standin,
            _cluster: cluster,
        };
        setup.tokens().await?;
        setup.ask(requests).await?;
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

    /// From now on an application asks, in turn for a token that is minted for it and for one that is ready.
    async fn ask(&self, replica: SocketAddr) -> Result<()> {
        let spec = json!({
            "openai": {"model": "gpt-realtime-2.1", "endpoint": self.standin.url()},
            "credentials": {"secretRef": {"name": GOOD}},
            "requests": {"subject": "Optional", "ready": 5},
            "target": {"content": "Connection"},
        });
        self.create("asked", spec).await?;
        let secrets: Api<Secret> = self.team.api();
        let ca = |secret: &Secret| secret.data.as_ref()?.get("request-ca.crt").cloned();
        let secret = wait::object_when(&secrets, "asked", Duration::from_secs(60), |it| ca(it).is_some()).await?;
        let ca = String::from_utf8(ca(&secret).context("no CA")?.0)?;
        let caller = Caller::new(replica, &ca, self.team.name(), "asked", self.application().await?)?;
        let answer = caller.ask("").await?;
        ensure!(answer.status == 201, "{}", answer.body);
        // It ends with the test's runtime.
        tokio::spawn(async move {
            loop {
                let _ = caller.ask(r#"{"subject": "ada"}"#).await;
                let _ = caller.ask("").await;
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
        Ok(())
    }

    /// The token of a ServiceAccount that may ask.
    async fn application(&self) -> Result<String> {
        let params = PostParams::default();
        let accounts: Api<ServiceAccount> = self.team.api();
        let account = serde_json::from_value(json!({"metadata": {"name": "app"}}))?;
        accounts.create(&params, &account).await?;
        let role = json!({
            "metadata": {"name": "app"},
            "rules": [{
                "apiGroups": ["realtime-token.dev"], "resources": ["realtimetokens/token"],
                "resourceNames": ["asked"], "verbs": ["create"],
            }],
        });
        let roles: Api<Role> = self.team.api();
        roles.create(&params, &serde_json::from_value(role)?).await?;
        let binding = json!({
            "metadata": {"name": "app"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "app"},
            "subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": self.team.name()}],
        });
        let bindings: Api<RoleBinding> = self.team.api();
        bindings.create(&params, &serde_json::from_value(binding)?).await?;
        let request: TokenRequest = serde_json::from_value(json!({"spec": {"audiences": ["realtime-token.dev"]}}))?;
        let issued = accounts.create_token_request("app", &params, &request).await?;
        Ok(issued.status.context("no token for the ServiceAccount")?.token)
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
