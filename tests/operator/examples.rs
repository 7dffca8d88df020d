//! The manifests in `examples/`: admitted as they are, and served; their workloads mount what the operator writes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use kube::Api;
use kube::api::ListParams;
use serde_json::{Value, json};

use crate::world::{Case, data, holds, put_secret, token_json, world};

const EXAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
const OVERLAYS: [&str; 2] = ["staging", "production"];

#[tokio::test]
async fn every_manifest_is_admitted_as_it_is() {
    let case = world().await.case("examples-admitted").await;
    let mut manifests: Vec<String> = manifests(Path::new(EXAMPLES))
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    assert!(manifests.len() >= 8, "only {} found", manifests.len());
    manifests.extend(OVERLAYS.map(|overlay| kustomize(&case, overlay)));
    for manifest in manifests {
        let said = apply(&case, &["--dry-run=server", "--validate=strict"], &manifest);
        assert!(!said.contains("Warning"), "{said}\n{manifest}");
    }
}

/// No two make the same object or write the same Secret. They are suspended here, so that no provider is asked.
#[tokio::test]
async fn all_fit_into_one_namespace() {
    let case = world().await.case("examples-together").await;
    let mut objects = BTreeMap::new();
    let mut secrets = BTreeSet::new();
    // The demo applies its own, to a namespace of its own.
    for file in manifests(Path::new(EXAMPLES))
        .iter()
        .filter(|file| !file.parent().unwrap().ends_with("demo"))
    {
        for mut document in documents(&fs::read_to_string(file).unwrap()) {
            let kind = document["kind"].as_str().unwrap().to_owned();
            let name = document["metadata"]["name"].as_str().unwrap().to_owned();
            if kind == "RealtimeToken" {
                let secret = document["spec"]["target"]["name"].as_str().unwrap_or(&name).to_owned();
                assert!(
                    secrets.insert(secret.clone()),
                    "{}: {secret} is written by another",
                    file.display()
                );
                document["spec"]["suspend"] = json!(true);
            }
            if let Some(other) = objects.insert((kind, name), document.clone()) {
                assert_eq!(other, document, "{}: another example has this name", file.display());
            }
        }
    }
    objects.retain(|(kind, _), _| !["Namespace", "ClusterRealtimeProvider"].contains(&kind.as_str()));
    let stream: Vec<_> = objects.values().map(Value::to_string).collect();
    let said = apply(&case, &[], &stream.join("\n"));
    assert_eq!(said.lines().count(), objects.len(), "{said}");
    let tokens = case.tokens().list(&ListParams::default()).await.unwrap();
    assert_eq!(tokens.items.len(), secrets.len());
}

#[tokio::test]
async fn a_team_with_its_own_key() {
    let case = world().await.case("examples-own").await;
    for (file, secret) in [
        ("openai.yaml", "voice"),
        ("elevenlabs.yaml", "agent"),
        ("dotenv.yaml", "kiosk-token"),
    ] {
        serve(&case, &read(file)).await;
        case.revision(secret, 1).await;
    }
    let kiosk = case.revision("kiosk-token", 1).await;
    let token = token_json(&kiosk)["token"].as_str().unwrap().to_owned();
    let line = format!("OPENAI_REALTIME_TOKEN={token}\n");
    assert!(data(&kiosk, ".env").starts_with(&line));
    assert_eq!(data(&kiosk, "authorization"), format!("Bearer {token}"));
}

#[tokio::test]
async fn a_team_with_the_platforms_key() {
    let label = [("realtime-token.dev/openai", "yes")];
    let case = world().await.labelled_case("examples-platform", &label).await;
    // Not the platform namespace's own client: its runtime is that of the test that came first.
    let platform = Api::namespaced(case.namespace.client(), case.world.platform.name());
    put_secret(&platform, "openai", "api-key", &case.key).await;
    serve(&case, &read("platform/cluster-realtime-provider.yaml")).await;
    serve(&case, &read("platform/realtime-token.yaml")).await;
    case.revision("assistant", 1).await;
    serve(&case, &kustomize(&case, "production")).await;
    case.revision("voice", 1).await;
}

#[tokio::test]
async fn the_small_overlay_has_names_of_its_own() {
    let case = world().await.case("examples-staging").await;
    serve(&case, &kustomize(&case, "staging")).await;
    let secret = case.revision("staging-voice", 1).await;
    let config = &token_json(&secret)["config"];
    assert_eq!(config["model"], "gpt-realtime-2.1-mini");
}

/// A mounted folder, never a `subPath`, never an environment variable; and a Secret that a RealtimeToken writes.
#[tokio::test]
async fn workloads_mount_what_the_operator_writes() {
    let case = world().await.case("examples-mount").await;
    let sets = [
        format!("{}\n---\n{}", read("openai.yaml"), read("deployment.yaml")),
        kustomize(&case, "staging"),
        kustomize(&case, "production"),
    ];
    for set in sets {
        let documents = documents(&set);
        let of = |kind: &str| documents.iter().find(|it| it["kind"] == kind).unwrap();
        let pod = &of("Deployment")["spec"]["template"]["spec"];
        let secret = &pod["volumes"][0]["secret"]["secretName"];
        assert_eq!(secret, &of("RealtimeToken")["metadata"]["name"], "{set}");
        let container = &pod["containers"][0];
        let mount = &container["volumeMounts"][0];
        assert_eq!(mount["mountPath"], "/var/run/realtime-token");
        assert_eq!(mount["readOnly"], true);
        assert!(mount.get("subPath").is_none(), "{mount}");
        assert!(container.get("env").is_none(), "{container}");
    }
}

/// The application is the one that may ask, and mounts what it needs for that: where, whom to trust, who it is.
#[test]
fn who_asks_for_tokens_may_do_so() {
    let token = &documents(&read("requests/realtime-token.yaml"))[0];
    assert_eq!(token["spec"]["target"]["content"], "Connection");
    assert_eq!(token["spec"]["requests"]["subject"], "Required");
    let [account, role, binding] = &documents(&read("requests/role.yaml"))[..] else {
        panic!("a ServiceAccount, a Role, a RoleBinding");
    };
    let rule = json!({
        "apiGroups": ["realtime-token.dev"], "resources": ["realtimetokens/token"],
        "resourceNames": [token["metadata"]["name"]], "verbs": ["create"],
    });
    assert_eq!(role["rules"], json!([rule]));
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let namespace = &documents(&read("requests/namespace.yaml"))[0]["metadata"]["name"];
    let name = &account["metadata"]["name"];
    let subject = json!({"kind": "ServiceAccount", "name": name, "namespace": namespace});
    assert_eq!(binding["subjects"], json!([subject]));

    let deployment = &documents(&read("requests/deployment.yaml"))[0];
    let pod = &deployment["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], *name);
    let volumes = pod["volumes"].as_array().unwrap();
    assert_eq!(volumes[0]["secret"]["secretName"], token["metadata"]["name"]);
    let source = &volumes[1]["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(
        (&source["audience"], &source["path"]),
        (&json!("realtime-token.dev"), &json!("token"))
    );
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    assert_eq!(mounts.len(), volumes.len());
    for (mount, volume) in mounts.iter().zip(volumes) {
        assert_eq!(mount["name"], volume["name"]);
        assert!(mount.get("subPath").is_none(), "{mount}");
        let script = pod["containers"][0]["command"][2].as_str().unwrap();
        assert!(script.contains(mount["mountPath"].as_str().unwrap()), "{mount}");
    }
}

/// Applies a manifest with the stand-in for the provider, and waits for its RealtimeTokens.
pub async fn serve(case: &Case<'_>, manifest: &str) {
    let mut names = Vec::new();
    for mut document in documents(manifest) {
        let kind = document["kind"].as_str().unwrap().to_owned();
        let own_account = document["spec"]["credentials"].get("secretRef").is_some();
        at_the_exchange(case, &mut document);
        for provider in ["openai", "elevenlabs"] {
            if own_account && document["spec"].get(provider).is_some() {
                document["spec"][provider]["endpoint"] = json!(case.world.standin.url());
            }
        }
        if kind == "RealtimeToken" {
            names.push(document["metadata"]["name"].as_str().unwrap().to_owned());
        }
        apply(case, &[], &document.to_string());
    }
    for name in names {
        case.status_when(&name, |status| holds(status, "Ready", "True", "Issued"))
            .await;
    }
}

/// Has a keyless RealtimeToken asked of the stand-ins for its cloud and for its provider.
fn at_the_exchange(case: &Case<'_>, document: &mut Value) {
    let standin = &case.world.standin;
    let Some(identity) = document.pointer_mut("/spec/credentials/workloadIdentity") else {
        return;
    };
    for (exchange, field) in [("openai", "endpoint"), ("azure", "authority"), ("google", "endpoint")] {
        if let Some(exchange) = identity.get_mut(exchange) {
            exchange[field] = json!(standin.origin("exchange"));
        }
    }
    // Google's API is asked with what its exchange has issued.
    for (block, origin) in [
        ("openai", "openai"),
        ("azureOpenAI", "azureOpenAI"),
        ("http", "exchange"),
    ] {
        if let Some(block) = document["spec"].get_mut(block) {
            block["endpoint"] = json!(standin.origin(origin));
        }
    }
}

pub fn read(file: &str) -> String {
    fs::read_to_string(Path::new(EXAMPLES).join(file)).unwrap()
}

fn documents(manifest: &str) -> Vec<Value> {
    manifest
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect()
}

/// All manifests below a folder that kubectl applies as they are.
fn manifests(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["kustomize", "node_modules"].contains(&name) {
            found.extend(manifests(&path));
        } else if name.ends_with(".yaml") && name != "compose.yaml" {
            found.push(path);
        }
    }
    found
}

fn kustomize(case: &Case<'_>, overlay: &str) -> String {
    let folder = Path::new(EXAMPLES).join("kustomize/overlays").join(overlay);
    let mut kubectl = case.world.cluster.kubectl().unwrap();
    let output = kubectl.arg("kustomize").arg(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(errors, "");
    String::from_utf8(output.stdout).unwrap()
}

/// What kubectl says of a server-side apply that goes well.
fn apply(case: &Case<'_>, args: &[&str], manifest: &str) -> String {
    let mut kubectl = case.world.cluster.kubectl().unwrap();
    kubectl.args(["--namespace", case.namespace.name(), "apply"]);
    kubectl.args(["--server-side", "--filename=-"]).args(args);
    kubectl.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = kubectl.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(manifest.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}\n{manifest}");
    said
}
