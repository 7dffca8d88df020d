//! The life of a release: install, upgrade, rollback, uninstall, and what remains. With helm 3 and with helm 4.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::DeleteParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use testkit::cluster::Options;
use testkit::helm::{Helm, Major};
use testkit::operator::Operator;

use super::setup::{CHART, RELEASE, Setup, older_chart};
use super::tenant::{SOON, Tenant};

const NAMESPACE: &str = "operators";
const CRD: &str = "realtimetokens.realtime-token.dev";

#[tokio::test]
async fn a_release_of_helm_3() {
    lives(Major::Three).await;
}

/// By server-side apply, as is helm 4's way.
#[tokio::test]
async fn a_release_of_helm_4() {
    lives(Major::Four).await;
}

async fn lives(major: Major) {
    let setup = Setup::start(Options::default()).await;
    let helm = setup.helm(major);
    let mut matrix = Matrix::new(&helm);
    let run = |args: &[&str]| helm.run([args, &["-n", NAMESPACE]].concat()).unwrap();
    let (folder, values) = (tempfile::tempdir().unwrap(), setup.values(&json!({})));

    // An older version, and tokens that live.
    let older = older_chart(&folder);
    run(&["install", RELEASE, &older, "-f", &values, "--create-namespace"]);
    assert!(!columns(&setup).await.contains("Revision"));
    let mut operator = setup.operator(NAMESPACE).await;
    let tenant = setup.tenant("shop").await;
    for name in ["voice", "phone"] {
        tenant.create(name, tenant.own()).await;
        tenant.revision(name, 1).await;
    }
    let mut issued = Issued::now(&setup, &tenant).await;
    matrix.ran("install of an older version");

    // The new version, and another value.
    let faster = setup.values(&json!({"concurrency": 8}));
    run(&["upgrade", RELEASE, CHART, "-f", &faster]);
    assert!(
        columns(&setup).await.contains("Revision"),
        "the CRD is the new version's"
    );
    roll(&setup, &mut operator, "--concurrency=8").await;
    issued.still_the_same("upgrade").await;
    matrix.ran("upgrade with live tokens: no mint, no write");

    let before = versions(&setup, &helm);
    run(&["upgrade", RELEASE, CHART, "-f", &faster]);
    assert_eq!(
        versions(&setup, &helm),
        before,
        "an upgrade to what is there changes nothing"
    );
    matrix.ran("upgrade to the same: nothing changes");

    run(&["rollback", RELEASE, "1"]);
    assert!(!columns(&setup).await.contains("Revision"));
    roll(&setup, &mut operator, "--concurrency=64").await;
    issued.still_the_same("rollback").await;
    matrix.ran("rollback: no mint, no write");

    run(&["uninstall", RELEASE]);
    stop(&mut operator).await;
    // Without its rights it couldn't release the Lease, and the next install would wait for its end.
    let leases: Api<Lease> = Api::namespaced(setup.client.clone(), NAMESPACE);
    leases.delete(RELEASE, &DeleteParams::default()).await.unwrap();
    assert_eq!(deployments(&setup).await, 0);
    assert_eq!(setup.cluster_roles().await, [""; 0]);
    issued.still_the_same("uninstall").await;
    matrix.ran("uninstall: CRDs, RealtimeTokens and Secrets stay");

    // The CRDs that stayed belong to the release of this name in this namespace.
    run(&["install", RELEASE, CHART, "-f", &values]);
    assert!(columns(&setup).await.contains("Revision"));
    let mut operator = setup.operator(NAMESPACE).await;
    issued.still_the_same("install over the CRDs that stayed").await;
    tenant.create("later", tenant.own()).await;
    tenant.revision("later", 1).await;
    issued.calls += 1;
    matrix.ran("install over the CRDs that stayed");
    run(&["uninstall", RELEASE]);
    stop(&mut operator).await;

    adopted_by_another(&setup, &helm).await;
    let mut operator = setup.operator("elsewhere").await;
    issued.still_the_same("install under another name").await;
    matrix.ran("install elsewhere with --take-ownership");

    // Without `crds.keep` everything goes.
    let all = setup.values(&json!({"crds": {"install": true, "keep": false}}));
    helm.run(["upgrade", RELEASE, CHART, "-n", "elsewhere", "-f", &all])
        .unwrap();
    helm.run(["uninstall", RELEASE, "-n", "elsewhere"]).unwrap();
    stop(&mut operator).await;
    let crds: Api<CustomResourceDefinition> = Api::all(setup.client.clone());
    testkit::wait::until("the CRD's end", SOON, async || {
        Ok(crds.get_opt(CRD).await?.is_none().then_some(()))
    })
    .await
    .unwrap();
    matrix.ran("uninstall without crds.keep: CRDs gone");
    matrix.print();
}

/// A change to helm 4 keeps the release, and may change to server-side apply too.
#[tokio::test]
async fn helm_4_takes_over_from_helm_3() {
    let setup = Setup::start(Options::default()).await;
    let (three, four) = (setup.helm(Major::Three), setup.helm(Major::Four));
    let values = setup.values(&json!({}));
    let install = ["install", RELEASE, CHART, "-n", NAMESPACE, "-f", &values];
    three.run([&install[..], &["--create-namespace"]].concat()).unwrap();
    let mut operator = setup.operator(NAMESPACE).await;
    let tenant = setup.tenant("shop").await;
    for name in ["voice", "phone"] {
        tenant.create(name, tenant.own()).await;
        tenant.revision(name, 1).await;
    }
    let issued = Issued::now(&setup, &tenant).await;
    let mut matrix = Matrix::new(&four);
    let upgrade = ["upgrade", RELEASE, CHART, "-n", NAMESPACE, "-f"];
    four.run([&upgrade[..], &[&values]].concat()).unwrap();
    matrix.ran("upgrade of a release of helm 3");
    let faster = setup.values(&json!({"concurrency": 8}));
    four.run([&upgrade[..], &[&faster, "--server-side=true"]].concat())
        .unwrap();
    roll(&setup, &mut operator, "--concurrency=8").await;
    matrix.ran("its change to server-side apply");
    issued.still_the_same("the change of helm").await;
    four.run(["uninstall", RELEASE, "-n", NAMESPACE]).unwrap();
    issued.still_the_same("uninstall").await;
    matrix.ran("its uninstall");
    matrix.print();
}

/// Helm takes an object of another release only with --take-ownership, and its refusal names that release.
async fn adopted_by_another(setup: &Setup, helm: &Helm) {
    let values = setup.values(&json!({}));
    let install = [
        "install",
        RELEASE,
        CHART,
        "-n",
        "elsewhere",
        "--create-namespace",
        "-f",
        &values,
    ];
    let refusal = helm.refused(install).unwrap();
    for part in ["realtime-token.dev", "release-namespace", "elsewhere", NAMESPACE] {
        assert!(refusal.contains(part), "{refusal}");
    }
    helm.run([&install[..], &["--take-ownership"]].concat()).unwrap();
}

/// What the tenants have, by the versions of their objects: one write, and it is another.
struct Issued<'a> {
    setup: &'a Setup,
    tenant: &'a Tenant,
    secrets: BTreeMap<String, (String, String)>,
    calls: usize,
}

impl<'a> Issued<'a> {
    async fn now(setup: &'a Setup, tenant: &'a Tenant) -> Self {
        Self {
            setup,
            tenant,
            secrets: secrets(tenant).await,
            calls: setup.standin.count(),
        }
    }

    async fn still_the_same(&self, after: &str) {
        let secrets = secrets(self.tenant).await;
        assert_eq!(secrets, self.secrets, "Secrets after {after}");
        assert_eq!(
            self.setup.standin.count(),
            self.calls,
            "calls to the provider after {after}"
        );
        for name in self.secrets.keys() {
            let token = self.tenant.tokens().get(name).await.unwrap();
            let status = token.status.unwrap();
            assert_eq!(status.revision, Some(1), "{name} after {after}");
        }
    }
}

/// Uid and version of each Secret that holds a token: a Secret that was away for a moment has another uid.
async fn secrets(tenant: &Tenant) -> BTreeMap<String, (String, String)> {
    let mut all = BTreeMap::new();
    for name in ["voice", "phone"] {
        let secret: Secret = tenant.secrets().get(name).await.unwrap();
        let version = secret.resource_version().unwrap();
        all.insert(name.to_owned(), (secret.uid().unwrap(), version));
    }
    all
}

/// Does what the Deployment's controller would: a pod of the new template in the place of the old one.
async fn roll(setup: &Setup, operator: &mut Operator, arg: &str) {
    let workload = setup.workload(NAMESPACE).await;
    let args = format!("{:?}", workload.deployment.spec);
    assert!(args.contains(arg), "{arg} isn't in {args}");
    stop(operator).await;
    *operator = setup.operator(NAMESPACE).await;
    // It leads and has listed everything once a change comes through it: a suspended token needs no mint.
    let tenant = Tenant::new(setup.client.clone(), "shop", setup.standin.url());
    let name = format!("probe{}", arg.trim_start_matches("--concurrency="));
    let mut spec = tenant.own();
    spec["suspend"] = json!(true);
    tenant.create(&name, spec).await;
    tenant.condition(&name, "Renewing", "False", "Suspended").await;
}

async fn stop(operator: &mut Operator) {
    operator.sigterm().unwrap();
    let status = operator.wait_exit(SOON).await.unwrap();
    assert!(status.success(), "{status}: {}", operator.logs());
}

/// The columns of `kubectl get realtimetokens`.
async fn columns(setup: &Setup) -> String {
    let crds: Api<CustomResourceDefinition> = Api::all(setup.client.clone());
    let crd = crds.get(CRD).await.unwrap();
    let columns = crd.spec.versions[0].additional_printer_columns.clone();
    columns
        .unwrap_or_default()
        .into_iter()
        .map(|column| column.name + " ")
        .collect()
}

async fn deployments(setup: &Setup) -> usize {
    let api = Api::<Deployment>::namespaced(setup.client.clone(), NAMESPACE);
    api.list(&Default::default()).await.unwrap().items.len()
}

/// The version of every object of the release.
fn versions(setup: &Setup, helm: &Helm) -> BTreeMap<String, String> {
    let manifest = helm.run(["get", "manifest", RELEASE, "-n", NAMESPACE]).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), manifest).unwrap();
    let file = file.path().to_str().unwrap();
    let list: Value =
        serde_json::from_str(&setup.kubectl(&["get", "-f", file, "-o", "json", "-n", NAMESPACE])).unwrap();
    let items = list["items"].as_array().unwrap();
    assert!(items.len() > 8, "{list}");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = |item: &Value| {
        let metadata = &item["metadata"];
        (
            text(&item["kind"]) + "/" + &text(&metadata["name"]),
            text(&metadata["resourceVersion"]),
        )
    };
    items.iter().map(version).collect()
}

/// What ran with which helm, for the test's output.
struct Matrix {
    version: String,
    ran: Vec<&'static str>,
}

impl Matrix {
    fn new(helm: &Helm) -> Self {
        Self {
            version: helm.version().unwrap(),
            ran: Vec::new(),
        }
    }

    fn ran(&mut self, what: &'static str) {
        self.ran.push(what);
    }

    fn print(&self) {
        use std::io::Write as _;
        let mut out = std::io::stdout();
        for what in &self.ran {
            writeln!(out, "helm {:8} ok  {what}", self.version).unwrap();
        }
    }
}
