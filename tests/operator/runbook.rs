//! The recipes of docs/runbook.md: their commands as they are written there, in a shell, on a real API server.

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use kube::api::{Api, PostParams};
use kube::core::DynamicObject;
use kube::{ResourceExt, core::ApiResource};
use realtime_token_operator::api::ClusterRealtimeProvider;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::case::Case;
use crate::world::{put_secret, world};

const RUNBOOK: &str = include_str!("../../docs/runbook.md");

/// A section of the runbook, and a folder that its commands are run in.
struct Recipe {
    commands: Vec<String>,
    folder: TempDir,
    kubeconfig: PathBuf,
}

impl Recipe {
    /// The section's commands, with these words in the place of those in capitals.
    async fn of(heading: &str, case: &Case<'_>, words: &[(&str, &str)]) -> Self {
        let section = RUNBOOK.split_once(&format!("\n## {heading}\n")).unwrap().1;
        let section = section.split("\n## ").next().unwrap();
        let blocks = section.split("```sh\n").skip(1);
        let commands = blocks.map(|block| {
            let command = block
                .split("```")
                .next()
                .unwrap()
                .replace("NAMESPACE", case.namespace.name());
            let replaced = words.iter().fold(command, |text, (word, by)| text.replace(word, by));
            // In any namespace are other tests' RealtimeTokens.
            replaced.replace(" -A ", &format!(" -n {} ", case.namespace.name()))
        });
        let folder = tempfile::tempdir().unwrap();
        let tools = tokio::task::spawn_blocking(|| [testkit::kubectl::kubectl(), testkit::jq::jq()]);
        for (name, tool) in ["kubectl", "jq"].into_iter().zip(tools.await.unwrap()) {
            symlink(tool.unwrap(), folder.path().join(name)).unwrap();
        }
        let plugin = folder.path().join("kubectl-realtime_token");
        symlink(env!("CARGO_BIN_EXE_realtime-token-operator"), plugin).unwrap();
        Self {
            commands: commands.collect(),
            folder,
            kubeconfig: case.world.cluster.kubeconfig().to_owned(),
        }
    }

    /// Runs one block: whether it succeeded, and what it said.
    async fn try_run(&self, block: usize) -> (bool, String) {
        let mut command = Command::new("bash");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = [self.folder.path().to_owned()]
            .into_iter()
            .chain(std::env::split_paths(&path));
        command
            .args(["-euo", "pipefail", "-c", &self.commands[block]])
            .current_dir(self.folder.path())
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", std::env::join_paths(path).unwrap());
        let output = tokio::task::spawn_blocking(move || command.output());
        let output = output.await.unwrap().unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    }

    async fn run(&self, block: usize) -> String {
        let (succeeded, said) = self.try_run(block).await;
        assert!(succeeded, "{}{said}", self.commands[block]);
        said
    }
}

#[tokio::test]
async fn what_all_have_in_common_is_counted() {
    let case = world().await.case("runbook-all").await;
    let recipe = Recipe::of("All are unhealthy", &case, &[]).await;
    let mut spec = case.openai();
    case.create("good", spec.clone()).await; // its token is for one session, and it is well
    spec["credentials"]["secretRef"]["name"] = json!("nowhere");
    for name in ["a", "b"] {
        case.create(name, spec.clone()).await;
        case.condition(name, "Ready", "False", "CredentialNotFound").await;
    }
    case.condition("good", "Ready", "True", "Issued").await;

    // No Deployment is behind the operator here, so `check` finds none.
    let with_plugin = recipe.commands[0].lines().filter(|line| !line.contains(" check"));
    let with_plugin = with_plugin.collect::<Vec<_>>().join("\n");
    let recipe = Recipe {
        commands: vec![with_plugin, recipe.commands[1].clone()],
        ..recipe
    };
    let said = recipe.run(0).await;
    let first = said.lines().next().unwrap().trim();
    assert_eq!(first, "2 openai CredentialNotFound", "{said}");
    let said = recipe.run(1).await;
    let counts: Vec<Vec<_>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(counts, [["2", "openai", "CredentialNotFound"]]);
}

/// A copy, then the new one beside the old one.
#[tokio::test]
async fn a_realtime_token_is_renamed_with_a_new_secret() {
    let case = world().await.case("runbook-rename").await;
    let recipe = Recipe::of("Rename a RealtimeToken", &case, &[("OLD", "voice"), ("NEW", "speech")]).await;
    case.create("voice", case.openai()).await;
    case.revision("voice", 1).await;
    recipe.run(0).await;
    recipe.run(1).await;
    case.revision("speech", 1).await;
    case.revision("voice", 1).await; // until its readers have changed over
    recipe.run(2).await;
    assert!(case.tokens().get_opt("voice").await.unwrap().is_none());
    assert_eq!(case.calls().len(), 2);
}

/// The Secret is there all the time, with the token that its readers have.
#[tokio::test]
async fn a_realtime_token_is_renamed_and_its_secret_stays() {
    let case = world().await.case("runbook-rename-kept").await;
    let recipe = Recipe::of("Rename a RealtimeToken", &case, &[("OLD", "voice"), ("NEW", "speech")]).await;
    case.create("voice", case.openai()).await;
    let before = case.revision("voice", 1).await;
    recipe.run(0).await;
    recipe.run(3).await;
    let after = case.secrets().get("voice").await.unwrap();
    assert_eq!((before.uid(), &before.data), (after.uid(), &after.data));
    assert_eq!(case.calls().len(), 1, "nothing is minted");
    assert!(case.tokens().get_opt("voice").await.unwrap().is_none());
    // It is the new one's from now on, also in its renewals.
    let now = json!({"realtime-token.dev/renew-requested-at": "now"});
    case.patch("speech", json!({"metadata": {"annotations": now}})).await;
    case.revision("voice", 2).await;
}

/// The dry run names every field that has to go, and changes nothing.
#[tokio::test]
async fn a_namespace_moves_to_a_cluster_realtime_provider() {
    let case = world().await.case("runbook-move").await;
    let provider = case.namespace.name();
    let recipe = Recipe::of("Move to a ClusterRealtimeProvider", &case, &[("PROVIDER", provider)]).await;
    let platform = Api::namespaced(case.namespace.client(), case.world.platform.name());
    put_secret(&platform, provider, "api-key", &case.spare_key).await;
    let lent = json!({
        "apiVersion": "realtime-token.dev/v1alpha1", "kind": "ClusterRealtimeProvider", "metadata": {"name": provider},
        "spec": {
            "openai": {"endpoint": case.world.standin.url()},
            "credentials": {"secretRef": {"name": provider}}, "namespaceSelector": {},
        },
    });
    let kind = ApiResource::erase::<ClusterRealtimeProvider>(&());
    let providers = Api::<DynamicObject>::all_with(case.namespace.client(), &kind);
    let lent = serde_json::from_value(lent).unwrap();
    providers.create(&PostParams::default(), &lent).await.unwrap();
    for name in ["a", "b"] {
        case.create(name, case.openai()).await;
        case.revision(name, 1).await;
    }
    case.patch("b", json!({"spec": {"openai": {"endpoint": null}, "suspend": true}}))
        .await;

    let (succeeded, said) = recipe.try_run(0).await;
    assert!(!succeeded, "{said}");
    assert!(
        said.contains("realtimetoken.realtime-token.dev/b replaced (server dry run)"),
        "{said}"
    );
    assert!(said.contains("\"a\" is invalid") && said.contains("endpoint"), "{said}");
    for name in ["a", "b"] {
        let token = case.tokens().get(name).await.unwrap();
        assert!(token.spec.credentials.secret_ref.is_some(), "{name} was changed");
    }

    let moved: Value = json!({"spec": {
        "openai": {"endpoint": null}, "credentials": {"secretRef": null, "providerRef": {"name": provider}},
    }});
    case.patch("a", moved).await;
    case.revision("a", 2).await;
    let last = recipe.commands.len() - 1;
    assert_eq!(recipe.run(last).await, "b\n");
}
