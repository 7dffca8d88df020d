//! Tokens on request: operators that serve them, each on a port of its own, and applications that ask.

mod access;
mod certificate;
mod flood;
mod limits;
mod mistakes;
mod overrides;
mod replicas;
mod rights;
mod watches;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::caller::{Answer, Caller};
use testkit::cluster::{Cluster, Namespace, Options};
use testkit::operator::{Operator, OperatorBuilder};
use testkit::standin::{self, StandIn};
use testkit::{ports, wait};

use crate::world::{CRDS, ClusterRef, DEADLINE, data, second_cluster};

pub const MISTAKES: &str = "When an application asks for a token";

const AUDIENCE: &str = "realtime-token.dev";
/// How long an answer of the API server about a caller is kept, and a busy machine's share.
const REVIEWS_ARE_KEPT: Duration = Duration::from_secs(10 + 5);

/// An installation whose operator looks after one namespace, with the rights that the chart grants it.
struct Site {
    cluster: ClusterRef,
    standin: StandIn,
    platform: Namespace,
    apps: Namespace,
    /// With the operator's own ServiceAccount.
    kubeconfig: PathBuf,
    _folder: TempDir,
}

struct Replica {
    address: SocketAddr,
    operator: Operator,
}

impl Site {
    async fn new() -> Self {
        Self::with_values(&[]).await
    }

    /// With more of the chart's values.
    async fn with_values(values: &[&str]) -> Self {
        Self::on(ClusterRef::Shared(second_cluster().await), values).await
    }

    /// With an API server that may be stopped.
    async fn with_own_cluster() -> Self {
        let cluster = Cluster::start(Options::default()).await.unwrap();
        cluster.apply_crds(CRDS).await.unwrap();
        Self::on(ClusterRef::Own(Box::new(cluster)), &[]).await
    }

    async fn on(cluster: ClusterRef, values: &[&str]) -> Self {
        let platform = cluster.namespace("platform").await.unwrap();
        let apps = cluster.namespace("apps").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        rights::grant(&cluster, platform.name(), apps.name(), values);
        let kubeconfig = cluster.kubeconfig_of(platform.name(), rights::RELEASE, folder.path());
        let site = Self {
            kubeconfig: kubeconfig.await.unwrap(),
            standin: StandIn::start(standin::Options::default()).unwrap(),
            platform,
            apps,
            cluster,
            _folder: folder,
        };
        site.apply(json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "openai"},
            "stringData": {"api-key": "sk-test-fake"},
        }));
        site.account("app", &["realtimetokens/token"]);
        site
    }

    /// An operator that is ready.
    async fn replica(&self, args: &[&str]) -> Replica {
        let replica = self.unready_replica(args);
        self.ready(replica).await
    }

    async fn ready(&self, mut replica: Replica) -> Replica {
        replica.operator.wait_ready().await.unwrap();
        replica
    }

    fn unready_replica(&self, args: &[&str]) -> Replica {
        self.started_at(ports::free().unwrap(), args)
    }

    fn started_at(&self, address: SocketAddr, args: &[&str]) -> Replica {
        let operator = self.builder(args).arg(format!("--requests-listen={address}")).start();
        Replica {
            address,
            operator: operator.unwrap(),
        }
    }

    fn builder(&self, args: &[&str]) -> OperatorBuilder {
        let binary = env!("CARGO_BIN_EXE_realtime-token-operator");
        let builder = Operator::builder(binary, &self.kubeconfig)
            .namespace(self.platform.name())
            .env("LOG", "info,realtime_token_operator=debug")
            .arg(format!("--allow-endpoint={}", self.standin.url()))
            .arg(format!("--watch-namespaces={}", self.apps.name()))
            .arg("--no-cluster-providers");
        args.iter().fold(builder, |builder, arg| builder.arg(*arg))
    }

    /// Applies an object in the applications' namespace.
    fn apply(&self, object: Value) {
        self.apply_in(self.apps.name(), &object);
    }

    fn apply_in(&self, namespace: &str, object: &Value) {
        let file = tempfile::Builder::new().suffix(".json").tempfile().unwrap();
        std::fs::write(file.path(), object.to_string()).unwrap();
        let mut kubectl = self.cluster.kubectl().unwrap();
        kubectl
            .args(["--namespace", namespace, "apply", "--filename"])
            .arg(file.path());
        let output = kubectl.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// A RealtimeToken that is asked for: its Secret holds no token.
    fn token(&self, name: &str, requests: Value) {
        self.apply(json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": name},
            "spec": {
                "openai": {
                    "model": "gpt-realtime-2.1", "endpoint": self.standin.url(),
                    "session": {"instructions": "Be brief.", "audio": {"output": {"voice": "marin"}}},
                },
                "credentials": {"secretRef": {"name": "openai"}},
                "expirationSeconds": 600,
                "requests": requests,
                "target": {"content": "Connection"},
            },
        }));
    }

    /// A ServiceAccount that may create these resources of our group.
    fn account(&self, name: &str, resources: &[&str]) {
        self.apply(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}));
        self.apply(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": name},
            "rules": [{"apiGroups": [AUDIENCE], "resources": resources, "verbs": ["create"]}],
        }));
        self.apply(json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name}],
        }));
    }

    async fn bearer(&self, account: &str) -> String {
        self.cluster
            .token_of(self.apps.name(), account, &[AUDIENCE])
            .await
            .unwrap()
    }

    /// What a pod reads from the mounted Secret.
    async fn ca(&self, name: &str) -> String {
        self.ca_when(name, |_| true).await
    }

    async fn ca_when(&self, name: &str, fits: impl Fn(&str) -> bool) -> String {
        let secrets: Api<Secret> = self.apps.api();
        let has_ca = |secret: &Secret| {
            let has = |data: &std::collections::BTreeMap<String, _>| data.contains_key("request-ca.crt");
            secret.data.as_ref().is_some_and(has) && fits(&data(secret, "request-ca.crt"))
        };
        let secret = wait::object_when(&secrets, name, DEADLINE, has_ca).await.unwrap();
        data(&secret, "request-ca.crt")
    }

    async fn caller(&self, replica: &Replica, account: &str, name: &str) -> Caller {
        let bearer = self.bearer(account).await;
        self.caller_with(replica, name, bearer).await
    }

    async fn caller_with(&self, replica: &Replica, name: &str, bearer: String) -> Caller {
        let ca = self.ca("voice").await;
        Caller::new(replica.address, &ca, self.apps.name(), name, bearer).unwrap()
    }
}

/// Status and reason.
fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.body["reason"].as_str().unwrap_or_default())
}

fn token_of(answer: &Answer) -> &str {
    assert_eq!(answer.status, 201, "{}", answer.body);
    answer.body["token"].as_str().unwrap()
}

/// Asks until the answer has this status, and says how long that took.
async fn until_status(caller: &Caller, status: u16) -> Duration {
    let start = std::time::Instant::now();
    wait::until(&format!("a {status}"), DEADLINE, async || {
        let answer = caller.ask("").await?;
        Ok((answer.status == status).then_some(()))
    })
    .await
    .unwrap();
    start.elapsed()
}
