//! The plugin as people type it, under real kubectl: what it prints, and how it ends.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::standin::Provider;

use super::{Said, binary};
use crate::case::Case;
use crate::world::world;

/// A folder with the plugin in it, as krew makes one.
pub struct Plugin {
    folder: TempDir,
    kubectl: PathBuf,
    kubeconfig: PathBuf,
    namespace: String,
}

impl Plugin {
    pub async fn of(case: &Case<'_>) -> Self {
        Self::new(case.world.cluster.kubeconfig(), case.namespace.name()).await
    }

    pub async fn new(kubeconfig: &Path, namespace: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for name in ["kubectl-realtime_token", "kubectl_complete-realtime_token"] {
            symlink(binary(), folder.path().join(name)).unwrap();
        }
        Self {
            folder,
            kubectl: tokio::task::spawn_blocking(testkit::kubectl::kubectl)
                .await
                .unwrap()
                .unwrap(),
            kubeconfig: kubeconfig.to_owned(),
            namespace: namespace.to_owned(),
        }
    }

    pub async fn say(&self, args: &[&str]) -> Said {
        self.kubectl(&[&["realtime-token"], args].concat()).await
    }

    /// Any command of kubectl's.
    pub async fn kubectl(&self, args: &[&str]) -> Said {
        let output = tokio::process::Command::new(&self.kubectl)
            .args(args)
            .args(["-n", &self.namespace])
            .env("KUBECONFIG", &self.kubeconfig)
            .env("PATH", self.folder.path())
            .output()
            .await
            .unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What it prints where it succeeds.
    async fn print(&self, args: &[&str]) -> String {
        let said = self.say(args).await;
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args:?} {said:?}");
        said.out
    }
}

#[tokio::test]
async fn one_screen_says_what_is_who_reads_it_and_what_happened() {
    let case = world().await.case("plugin-status").await;
    let plugin = Plugin::of(&case).await;
    let namespace = case.namespace.name();
    let mut spec = case.openai();
    spec["openai"]["reuse"] = json!("Multiple");
    case.create("voice", spec).await;
    case.condition("voice", "Ready", "True", "Issued").await;
    case.event("voice", "Issued").await;

    let screen = plugin.print(&["status", "voice"]).await;
    assert!(
        screen.starts_with(&format!("{namespace}/voice  openai  Ready\n")),
        "{screen}"
    );
    for expected in [
        "Secret        voice\n",
        "Revision      1\n",
        "Next renewal  20",
        "Read by: no pod\n",
        "Normal  Issued",
    ] {
        assert!(screen.contains(expected), "{expected}\n{screen}");
    }
    assert!(!screen.contains('\u{1b}'), "no colours without a terminal: {screen:?}");

    let report: Value = serde_json::from_str(&plugin.print(&["status", "voice", "-o", "json"]).await).unwrap();
    assert_eq!(report["state"], "Ready");
    assert_eq!(report["health"], "Good");
    assert_eq!(report["revision"], 1);
    let yaml = plugin.print(&["status", "-o", "yaml"]).await;
    assert!(yaml.contains("state: Ready\n"), "{yaml}");

    let none = plugin.say(&["status", "nobody"]).await;
    none.fails(1, &format!("there is no RealtimeToken {namespace}/nobody; "));
}

#[tokio::test]
async fn what_is_unhealthy_is_listed_and_explained() {
    let case = world().await.case("plugin-list").await;
    let plugin = Plugin::of(&case).await;
    assert_eq!(
        plugin.print(&["list", "--unhealthy"]).await,
        "No RealtimeToken is unhealthy.\n"
    );
    let mut spec = case.openai();
    case.create("good", spec.clone()).await;
    spec["credentials"] = json!({"secretRef": {"name": "nowhere"}});
    case.create("bad", spec).await;
    case.condition("bad", "Ready", "False", "CredentialNotFound").await;
    case.condition("good", "FreshnessGuaranteed", "False", "SingleUseToken")
        .await;

    let all = plugin.print(&["list"]).await;
    let lines: Vec<_> = all.lines().collect();
    assert_eq!(lines.len(), 3, "{all}");
    assert!(
        lines[0].starts_with("NAME  STATUS              PROVIDER  RENEWAL"),
        "{all}"
    );
    assert!(lines[1].starts_with("bad   CredentialNotFound"), "{all}");
    assert!(
        lines[2].starts_with("good  Ready") && lines[2].contains("the first reader of the Secret uses it up"),
        "{all}"
    );

    let unhealthy = plugin.say(&["list", "--unhealthy"]).await;
    assert_eq!(unhealthy.code, Some(1));
    assert_eq!(unhealthy.err, "error: 1 are unhealthy\n");
    assert!(
        unhealthy.out.contains("bad") && !unhealthy.out.contains("good"),
        "{unhealthy:?}"
    );

    let explained = plugin.print(&["explain", "bad"]).await;
    assert!(
        explained.contains("nowhere") && explained.contains("What to do."),
        "{explained}"
    );
    let explained = plugin.print(&["explain", "suspended"]).await;
    assert!(explained.starts_with("Suspended\n\nMeaning. "), "{explained}");
    let nothing = plugin.say(&["explain", "nonsense"]).await;
    nothing.fails(1, "nonsense is neither a reason nor a RealtimeToken");
}

#[tokio::test]
async fn renew_waits_for_the_new_token_and_says_why_there_is_none() {
    let case = world().await.case("plugin-renew").await;
    let plugin = Plugin::of(&case).await;
    let namespace = case.namespace.name();
    case.create("voice", case.openai()).await;
    case.revision("voice", 1).await;
    let renewed = plugin.print(&["renew", "voice"]).await;
    assert!(
        renewed.starts_with(&format!("{namespace}/voice renewed: revision 2, usable until ")),
        "{renewed}"
    );
    assert_eq!(case.calls().len(), 2);

    assert_eq!(
        plugin.print(&["suspend", "--all"]).await,
        format!("{namespace}/voice suspended: its token runs out\n")
    );
    case.condition("voice", "Renewing", "False", "Suspended").await;
    let refused = plugin.say(&["renew", "voice", "--timeout-seconds", "1"]).await;
    refused.fails(1, &format!("{namespace}/voice is not renewed yet: Suspended, "));
    assert_eq!(
        plugin.print(&["resume", "voice"]).await,
        format!("{namespace}/voice resumed\n")
    );
    // What was asked for meanwhile is done now.
    case.revision("voice", 3).await;
    plugin
        .say(&["renew"])
        .await
        .fails(1, "name a RealtimeToken, or all of the namespace with --all");
}

#[tokio::test]
async fn check_compares_versions_and_a_request_needs_a_url() {
    let case = world().await.case("plugin-check").await;
    world().await.standin.set_life(Provider::ElevenLabs, Some(900));
    let plugin = Plugin::of(&case).await;
    let version = env!("CARGO_PKG_VERSION");
    // The operator of this world is a process without a Deployment.
    let said = plugin.say(&["check"]).await;
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(1), "error: not all is well: see above\n")
    );
    let lines: Vec<Vec<_>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[1], ["this", "program", version, "ok"], "{said:?}");
    assert_eq!(lines[2], ["CRD", "realtimetokens", version, "ok"]);
    assert_eq!(lines[3], ["CRD", "clusterrealtimeproviders", version, "ok"]);
    assert_eq!(lines[4][..4], ["operator", "none", "install", "the"]);

    case.create("voice", case.openai()).await;
    case.revision("voice", 1).await;
    let said = plugin.say(&["request", "voice", "--service-account", "app"]).await;
    said.fails(
        1,
        &format!("Secret {}/voice has no `request-url`: ", case.namespace.name()),
    );
}

/// As the shell asks kubectl when somebody presses the tab key.
#[tokio::test]
async fn kubectl_completes_commands_and_names() {
    let case = world().await.case("plugin-complete").await;
    let plugin = Plugin::of(&case).await;
    let mut spec = case.openai();
    spec["suspend"] = json!(true);
    for name in ["voice", "volume", "other"] {
        case.create(name, spec.clone()).await;
    }
    let complete = async |typed: &[&str]| {
        let mut command = tokio::process::Command::new(&plugin.kubectl);
        command.args(["__complete", "realtime-token"]).args(typed);
        let said = command
            .env("KUBECONFIG", &plugin.kubeconfig)
            .env("PATH", plugin.folder.path())
            .output();
        let said = String::from_utf8(said.await.unwrap().stdout).unwrap();
        said.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let namespace = case.namespace.name();
    let commands = complete(&["re"]).await;
    let commands: Vec<_> = commands.iter().map(|line| line.split('\t').next().unwrap()).collect();
    assert_eq!(commands, ["renew", "resume", "request", ":4"]);
    assert_eq!(
        complete(&["renew", "-n", namespace, "vo"]).await,
        ["voice", "volume", ":4"]
    );
    assert_eq!(
        complete(&["explain", "--namespace", namespace, "Quota"]).await,
        ["QuotaExhausted", "QuotaExceeded", ":4"]
    );
    assert_eq!(complete(&["status", "--context", "nowhere", "vo"]).await, [":4"]);
}
