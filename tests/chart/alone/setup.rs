//! A cluster, a provider, helm, and the operator of a release.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use k8s_openapi::api::core::v1::{Namespace, Pod, Secret};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::api::{ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::cluster::{Audited, Cluster, Options};
use testkit::fetch;
use testkit::helm::{Helm, Major};
use testkit::operator::Operator;
use testkit::standin::{self, Provider, StandIn};
use testkit::workload::Workload;

use super::tenant::Tenant;

pub const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/realtime-token-operator");
/// The release's name, and so that of its Deployment, ServiceAccount, Lease and roles.
pub const RELEASE: &str = "realtime-token-operator";
/// The keys that the provider accepts.
pub const PLATFORM_KEY: &str = "sk-test-platform-Zq8Lw3Vt6Xn1";
pub const TEAM_KEY: &str = "sk-test-team-Pm5Rk9Hd2Yb7";

pub const BINARY: &str = env!("CARGO_BIN_EXE_realtime-token-operator");

pub struct Setup {
    pub cluster: Cluster,
    pub client: Client,
    pub standin: StandIn,
    files: TempDir,
}

impl Setup {
    pub async fn start(options: Options) -> Self {
        let cluster = Cluster::start(Options {
            controller_manager: true,
            ..options
        })
        .await
        .unwrap();
        let standin = StandIn::start(standin::Options::default()).unwrap();
        standin.accept_keys(Provider::OpenAi, [PLATFORM_KEY, TEAM_KEY]);
        Self {
            client: cluster.client().await.unwrap(),
            cluster,
            standin,
            files: tempfile::tempdir().unwrap(),
        }
    }

    pub fn helm(&self, major: Major) -> Helm {
        Helm::new(major).unwrap().on(self.cluster.kubeconfig())
    }

    /// A values file: what every installation here needs, and `values` over it.
    pub fn values(&self, values: &Value) -> String {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut all = json!({
            "image": {"repository": "registry.example/realtime-token-operator"},
            "allowEndpoints": [self.standin.url(), self.standin.origin("exchange")],
        });
        for (name, value) in values.as_object().unwrap() {
            all[name] = value.clone();
        }
        let file = self.files.path().join(format!("values-{number}.json"));
        fs::write(&file, all.to_string()).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// `helm upgrade --install`, as an automation would.
    pub fn install(&self, helm: &Helm, namespace: &str, values: &Value) {
        let values = self.values(values);
        let args = ["upgrade", "--install", RELEASE, CHART, "-n", namespace, "-f", &values];
        helm.run(args).unwrap();
    }

    pub async fn namespace(&self, name: &str, labels: Value) {
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: serde_json::from_value(labels).unwrap(),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        Api::all(self.client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }

    /// A namespace of an application team, with a key in it.
    pub async fn tenant(&self, namespace: &str) -> Tenant {
        self.namespace(namespace, json!({"team": "yes"})).await;
        put_key(&self.client, namespace, "openai", TEAM_KEY).await;
        Tenant::new(self.client.clone(), namespace, self.standin.url())
    }

    pub async fn workload(&self, namespace: &str) -> Workload {
        Workload::of(&self.cluster, namespace, RELEASE).await.unwrap()
    }

    /// The operator, as the Deployment in `namespace` has it now; ready.
    pub async fn operator(&self, namespace: &str) -> Operator {
        let workload = self.workload(namespace).await;
        let builder = workload.operator(BINARY, "operator-0").await.unwrap();
        let mut operator = builder.start().unwrap();
        operator.wait_ready().await.unwrap();
        for path in workload.probes().unwrap() {
            fetch::get(operator.health_addr(), &path).await.unwrap();
        }
        operator
    }

    /// A pod of the Deployment gets past the Pod Security Standard of its namespace, which looks: the same pod with a
    /// little more is refused.
    pub async fn deployments_pod_is_admitted(&self, namespace: &str) {
        let template = self.workload(namespace).await.deployment.spec.unwrap().template;
        let mut pod = Pod {
            metadata: ObjectMeta {
                name: Some("operator-0".to_owned()),
                ..template.metadata.unwrap_or_default()
            },
            spec: template.spec,
            ..Pod::default()
        };
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        pods.create(&dry_run(), &pod).await.unwrap();
        let container = &mut pod.spec.as_mut().unwrap().containers[0];
        container.security_context.as_mut().unwrap().allow_privilege_escalation = Some(true);
        let refusal = pods.create(&dry_run(), &pod).await.unwrap_err().to_string();
        assert!(refusal.contains("allowPrivilegeEscalation"), "{refusal}");
    }

    /// The pod of `helm test`.
    pub fn test_pod(&self, helm: &Helm, namespace: &str) -> Pod {
        let (mut pods, _) = self.test_hooks(helm, namespace);
        assert_eq!(pods.len(), 1, "{pods:?}");
        serde_json::from_value(pods.remove(0)).unwrap()
    }

    /// What `helm test` makes: pods, and what it makes before them.
    pub fn test_hooks(&self, helm: &Helm, namespace: &str) -> (Vec<Value>, Vec<Value>) {
        let hooks = helm.run(["get", "hooks", RELEASE, "-n", namespace]).unwrap();
        let hooks: Vec<Value> = serde_saphyr::from_multiple(&hooks).unwrap();
        hooks.into_iter().partition(|hook| hook["kind"] == "Pod")
    }

    /// Runs the check of `helm test`, with the rights of its pod.
    pub async fn check(&self, helm: &Helm, namespace: &str, operator: &Operator) {
        let pod = self.test_pod(helm, namespace).spec.unwrap();
        assert_eq!(pod.service_account_name.as_deref(), Some(RELEASE));
        let args = pod.containers[0].args.iter().flatten();
        let args = args.filter(|arg| !arg.starts_with("--operator-url="));
        let workload = self.workload(namespace).await;
        let mut command = Command::new(BINARY);
        command
            .args(args)
            .arg(format!("--operator-url=http://{}", operator.health_addr()))
            .env_clear()
            .env("KUBECONFIG", workload.kubeconfig())
            .env("POD_NAMESPACE", namespace);
        run(&mut command);
    }

    /// The ClusterRoles that the release has made, and what binds them.
    pub async fn cluster_roles(&self) -> Vec<String> {
        let all = ListParams::default();
        let roles: Api<ClusterRole> = Api::all(self.client.clone());
        let bindings: Api<ClusterRoleBinding> = Api::all(self.client.clone());
        let roles = roles.list(&all).await.unwrap();
        let bindings = bindings.list(&all).await.unwrap();
        let names = roles.iter().map(ResourceExt::name_any);
        names
            .chain(bindings.iter().map(ResourceExt::name_any))
            .filter(|name| name.contains(RELEASE))
            .collect()
    }

    pub fn kubectl(&self, args: &[&str]) -> String {
        let mut command = self.cluster.kubectl().unwrap();
        run(command.args(args))
    }

    /// What the operator has asked the API server for.
    pub fn asked_by_operator(&self, namespace: &str) -> Vec<Audited> {
        let user = format!("system:serviceaccount:{namespace}:{RELEASE}");
        let mut all = self.cluster.audit().unwrap();
        all.retain(|request| request.user == user);
        all
    }
}

pub async fn put_key(client: &Client, namespace: &str, name: &str, key: &str) {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name},
        "data": {"api-key": k8s_openapi::ByteString(key.as_bytes().to_vec())},
    });
    Api::<Secret>::namespaced(client.clone(), namespace)
        .patch(name, &PatchParams::apply("test").force(), &Patch::Apply(secret))
        .await
        .unwrap();
}

pub fn dry_run() -> PostParams {
    PostParams {
        dry_run: true,
        ..PostParams::default()
    }
}

pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The chart as an older version of it might have been: its RealtimeTokens don't show their revision yet.
pub fn older_chart(folder: &TempDir) -> String {
    run(Command::new("cp").args(["-r", CHART]).arg(folder.path()));
    let chart = folder.path().join("realtime-token-operator");
    let edit = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(chart.join(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from:?}");
        fs::write(chart.join(file), text.replacen(from, to, 1)).unwrap();
    };
    edit("Chart.yaml", "\nversion: ", "\nversion: 0.0.1 # ");
    let column = "    - jsonPath: .status.revision\n      name: Revision\n      priority: 1\n      type: integer\n";
    edit("files/crds/realtimetokens.yaml", column, "");
    chart.to_str().unwrap().to_owned()
}
