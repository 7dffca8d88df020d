//! The way out is a proxy: Debian's tinyproxy between the operator, as the chart runs it, and a provider whose
//! certificate is by a private CA.

use std::{fs, process::Stdio, time::Duration};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams, PostParams},
};
use nodetests::{built, debian};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    cluster::{Cluster, Options},
    front::Front,
    guard::{self, Guarded},
    helm::{Helm, Major},
    operator::Operator,
    ports,
    standin::{self, StandIn},
    wait,
    workload::Workload,
};

const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../charts/realtime-token-operator");
const RELEASE: &str = "realtime-token-operator";
/// The API server is at 127.0.0.1, the provider at localhost.
const NO_PROXY: &str = "127.0.0.1,.svc";
const SOON: Duration = Duration::from_secs(60);

#[tokio::test]
async fn keys_go_through_the_proxy_and_the_kubernetes_api_past_it() {
    let standin = StandIn::start(standin::Options::default()).unwrap();
    let provider = Front::start(standin.addr(), "localhost").await.unwrap();
    let origin = format!("https://localhost:{}", provider.addr.port());
    let proxy = Proxy::start("").await;
    let site = Site::start(&origin, &provider.ca).await;

    let operator = site.operator(proxy.way()).await;
    let token = site.token("voice", &origin, |status| status["revision"] == 1).await;
    assert!(token["expiresAt"].is_string());
    assert_eq!(standin.complaints(), [""; 0]);
    let tunnel = format!("localhost:{}", provider.addr.port());
    assert_eq!(proxy.tunnels(), [tunnel.as_str()], "to the provider alone");
    drop(operator);

    // A CA that isn't the provider's.
    let stranger = Front::start(standin.addr(), "localhost").await.unwrap();
    site.trust(&stranger.ca).await;
    let operator = site.operator(proxy.way()).await;
    let said = site.failure("distrustful", &origin).await;
    let distrust =
        "the certificate of localhost is not trusted: if a proxy of yours signs it, add its CA with --ca-bundle";
    assert!(said.contains(distrust), "{said}");
    assert_eq!(standin.count(), 1, "no key went there");
    drop(operator);

    // A proxy that refuses, and one that is away.
    site.trust(&provider.ca).await;
    let strict = Proxy::start("ConnectPort 443\n").await;
    let operator = site.operator(site.with_password(&strict).await).await;
    let said = site.failure("refused", &origin).await;
    let refusal = format!(
        "the proxy localhost:{} gave no connection to localhost: allow that host",
        strict.port
    );
    assert!(said.contains(&refusal), "{said}");
    let refusal = format!("the proxy localhost:{} refused the connection", strict.port);
    drop(strict);
    let said = site.failure("away", &origin).await;
    assert!(said.contains(&refusal), "{said}");
    for secret in ["sk-test-fake", "hidden"] {
        assert!(!said.contains(secret), "{said}");
        assert!(!operator.logs().contains(secret), "a secret in the logs");
    }
    assert_eq!(standin.count(), 1);
}

/// A tinyproxy.
struct Proxy {
    port: u16,
    folder: TempDir,
    _process: Guarded,
}

impl Proxy {
    async fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let addr = ports::free().unwrap();
        let log = folder.path().join("log");
        let config = folder.path().join("tinyproxy.conf");
        let text = format!(
            "Port {}\nListen 127.0.0.1\nAllow 127.0.0.1\nLogFile \"{}\"\nLogLevel Connect\nTimeout 60\n{more}",
            addr.port(),
            log.display()
        );
        fs::write(&config, text).unwrap();
        let binary = debian::program("tinyproxy").unwrap();
        let mut command = guard::command(&binary, None);
        command.arg("-d").arg("-c").arg(&config);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let process = Guarded::spawn(&mut command).unwrap();
        wait::until("the proxy", SOON, async || {
            Ok(Some(tokio::net::TcpStream::connect(addr).await?))
        })
        .await
        .unwrap();
        Self {
            port: addr.port(),
            folder,
            _process: process,
        }
    }

    /// The values of the chart that lead through it.
    fn way(&self) -> Value {
        // By a name that NO_PROXY doesn't have: it is about the hosts behind.
        json!({"proxy": {"https": format!("http://localhost:{}", self.port), "noProxy": NO_PROXY}})
    }

    /// Where tunnels were asked for.
    fn tunnels(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("log")).unwrap();
        let asked = log.lines().filter_map(|line| line.split_once(": CONNECT "));
        let mut all: Vec<_> = asked
            .filter_map(|(_, rest)| rest.split_whitespace().next().map(str::to_owned))
            .collect();
        all.dedup();
        all
    }
}

/// A cluster whose operator was installed with the chart.
struct Site {
    cluster: Cluster,
    client: Client,
    helm: Helm,
    origin: String,
}

impl Site {
    async fn start(origin: &str, ca: &str) -> Self {
        let cluster = Cluster::start(Options {
            controller_manager: true,
            ..Options::default()
        })
        .await
        .unwrap();
        let site = Self {
            client: cluster.client().await.unwrap(),
            helm: Helm::new(Major::Four).unwrap().on(cluster.kubeconfig()),
            cluster,
            origin: origin.to_owned(),
        };
        let namespaces: Api<Namespace> = Api::all(site.client.clone());
        let operators: Namespace = serde_json::from_value(json!({"metadata": {"name": "operators"}})).unwrap();
        namespaces.create(&PostParams::default(), &operators).await.unwrap();
        site.trust(ca).await;
        let key = json!({"metadata": {"name": "openai"}, "stringData": {"api-key": "sk-test-fake"}});
        let secrets: Api<Secret> = Api::namespaced(site.client.clone(), "default");
        secrets
            .create(&PostParams::default(), &serde_json::from_value(key).unwrap())
            .await
            .unwrap();
        site
    }

    /// The CA bundle of the platform team.
    async fn trust(&self, ca: &str) {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "corporate-ca"}, "data": {"ca.crt": ca},
        });
        Api::<ConfigMap>::namespaced(self.client.clone(), "operators")
            .patch("corporate-ca", &PatchParams::apply("platform"), &Patch::Apply(map))
            .await
            .unwrap();
    }

    /// The operator with these values of the chart.
    async fn operator(&self, way: Value) -> Operator {
        let mut values = json!({
            "image": {"repository": "registry.example/realtime-token-operator"},
            "allowEndpoints": [self.origin],
            "caBundle": {"configMap": "corporate-ca"},
            "leaderElection": {"enabled": false},
            "replicas": 1,
        });
        for (name, value) in way.as_object().unwrap() {
            values[name] = value.clone();
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), values.to_string()).unwrap();
        let file = file.path().to_str().unwrap();
        let args = ["upgrade", "--install", RELEASE, CHART, "-n", "operators", "-f", file];
        self.helm.run(args).unwrap();
        let workload = Workload::of(&self.cluster, "operators", RELEASE).await.unwrap();
        let builder = workload
            .operator(built::operator().unwrap(), "operator-0")
            .await
            .unwrap();
        let mut operator = builder.start().unwrap();
        operator.wait_ready().await.unwrap();
        operator
    }

    /// The way through this proxy. It has a password, so it comes from a Secret.
    async fn with_password(&self, proxy: &Proxy) -> Value {
        let url = format!("http://me:hidden@localhost:{}", proxy.port);
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "proxy"},
            "data": {"url": k8s_openapi::ByteString(url.into_bytes())},
        });
        Api::<Secret>::namespaced(self.client.clone(), "operators")
            .patch("proxy", &PatchParams::apply("platform"), &Patch::Apply(secret))
            .await
            .unwrap();
        let from = json!({"secretKeyRef": {"name": "proxy", "key": "url"}});
        json!({
            "proxy": {"noProxy": NO_PROXY}, "extraEnv": [{"name": "HTTPS_PROXY", "valueFrom": from}],
        })
    }

    /// Creates a RealtimeToken and waits for a status that fits.
    async fn token(&self, name: &str, origin: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let kind = GroupVersionKind::gvk("realtime-token.dev", "v1alpha1", "RealtimeToken");
        let kind = ApiResource::from_gvk(&kind);
        let tokens = Api::<DynamicObject>::namespaced_with(self.client.clone(), "default", &kind);
        let mut token = DynamicObject::new(name, &kind);
        token.data = json!({"spec": {
            "openai": {"model": "gpt-realtime-2.1", "endpoint": origin},
            "credentials": {"secretRef": {"name": "openai"}},
        }});
        tokens.create(&PostParams::default(), &token).await.unwrap();
        let fits = |token: &DynamicObject| fits(&token.data["status"]);
        let found = wait::object_when(&tokens, name, SOON, fits).await.unwrap();
        found.data["status"].clone()
    }

    /// What a RealtimeToken says that gets none.
    async fn failure(&self, name: &str, origin: &str) -> String {
        let failed = |status: &Value| status["failedMintAttempts"].as_i64().is_some_and(|it| it > 0);
        let status = self.token(name, origin, failed).await;
        let conditions = status["conditions"].as_array().unwrap();
        let ready = conditions.iter().find(|it| it["type"] == "Ready").unwrap();
        assert_eq!(ready["status"], "False");
        ready["message"].as_str().unwrap().to_owned()
    }
}
