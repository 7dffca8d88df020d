//! The first install of all: ClusterRealtimeProviders of values come as soon as Helm can make them, and what `helm test`
//! runs says whether all is well.

use std::process::Command;

use kube::api::ListParams;
use kube::{Api, ResourceExt};
use realtime_token_operator::api::ClusterRealtimeProvider;
use serde_json::{Value, json};
use testkit::cluster::Options;
use testkit::helm::{Helm, Major};
use testkit::operator::Operator;
use testkit::wait;

use super::setup::{CHART, RELEASE, Setup};
use super::tenant::SOON;

const NAMESPACE: &str = "operators";
const BINARY: &str = env!("CARGO_BIN_EXE_realtime-token-operator");

#[tokio::test]
async fn providers_of_values_come_with_the_second_step_and_then_with_the_first() {
    let setup = Setup::start(Options::default()).await;
    let file = setup.values(&json!({"providers": [{
        "name": "openai",
        "spec": {"openai": {}, "credentials": {"secretRef": {"name": "openai"}}, "namespaceSelector": {}},
    }]}));
    for major in Major::ALL {
        let helm = setup.helm(major);
        let release = [RELEASE, CHART, "-n", NAMESPACE, "-f", &file];
        let notes = |verb: &str, more: &[&str]| helm.run([&[verb], &release[..], more].concat()).unwrap();
        let late = "The ClusterRealtimeProviders of your values are NOT there yet";

        let said = notes("install", &["--create-namespace"]);
        assert!(said.contains(late) && said.contains("Run `helm upgrade` now"), "{said}");
        assert_eq!(providers(&setup).await, [""; 0]);
        assert!(!notes("upgrade", &[]).contains(late));
        assert_eq!(providers(&setup).await, ["openai"]);
        assert!(!notes("upgrade", &[]).contains(late));
        assert_eq!(providers(&setup).await, ["openai"]);

        // The CRDs are kept, and what belonged to the release isn't.
        helm.run(["uninstall", RELEASE, "-n", NAMESPACE]).unwrap();
        assert_eq!(providers(&setup).await, [""; 0]);
        assert!(!notes("install", &[]).contains(late));
        assert_eq!(providers(&setup).await, ["openai"]);
        helm.run(["uninstall", RELEASE, "-n", NAMESPACE]).unwrap();
        setup.kubectl(&["delete", "crd", "--all"]);
    }
}

/// Of a kind that is new the API server says for a moment that it isn't there, or not yet ready.
async fn providers(setup: &Setup) -> Vec<String> {
    let api: Api<ClusterRealtimeProvider> = Api::all(setup.client.clone());
    let all = wait::until("a list of ClusterRealtimeProviders", SOON, async || {
        Ok(api.list(&ListParams::default()).await.ok())
    });
    all.await.unwrap().iter().map(ResourceExt::name_any).collect()
}

/// The pod of `helm test` as a process, with its arguments and its rights; only the operator is at another place here.
pub async fn helms_test_may_see_what_it_needs(setup: &Setup, helm: &Helm, operator: &Operator) {
    let hooks = helm.run(["get", "hooks", RELEASE, "-n", NAMESPACE]).unwrap();
    let pod: Value = serde_saphyr::from_str(hooks.trim_start_matches("---\n")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let account = pod["spec"]["serviceAccountName"].as_str().unwrap();
    let kubeconfig = setup
        .cluster
        .kubeconfig_of(NAMESPACE, account, folder.path())
        .await
        .unwrap();
    let check = async |url: &str, seconds: &str| {
        let args = pod["spec"]["containers"][0]["args"].as_array().unwrap();
        let there = format!("--operator-url=http://{RELEASE}.{NAMESPACE}.svc:8081");
        let here = args.iter().map(|arg| match arg.as_str().unwrap() {
            arg if arg == there => format!("--operator-url={url}"),
            arg => arg.to_owned(),
        });
        let here: Vec<_> = here.collect();
        assert!(here.iter().any(|arg| arg.contains(url)), "{args:?}");
        let mut command = Command::new(BINARY);
        command
            .args(here)
            .args(["--timeout-seconds", seconds])
            .env_clear()
            .env("KUBECONFIG", &kubeconfig)
            .env("POD_NAMESPACE", NAMESPACE);
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    };

    let (ok, said) = check(&format!("http://{}", operator.health_addr()), "30").await;
    assert!(ok, "{said}");
    assert_eq!(
        said.lines().filter(|line| line.starts_with("ok: ")).count(),
        3,
        "{said}"
    );
    assert!(said.contains(&format!("holds the Lease {RELEASE}")), "{said}");
    let (ok, said) = check("http://127.0.0.1:9", "1").await;
    assert!(!ok && said.contains("can't be reached"), "{said}");
}
