//! The binary as people type it: what it prints where, and how it ends.

mod get;
mod krew;
pub mod kubectl;
mod local;
mod mint;

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::standin::{Options, Provider, StandIn};

use crate::world::world;

const KEY: &str = "sk-test-canary-cli";

#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Said {
    /// One line on stderr that begins so, nothing on stdout, no key anywhere.
    pub fn fails(&self, code: i32, with: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "");
        assert!(
            self.err.starts_with(&format!("error: {with}")),
            "expected {with}\n{self:?}"
        );
        assert_eq!(self.err.trim_end().lines().count(), 1, "{self:?}");
        assert!(!self.err.contains("canary"), "{self:?}");
    }
}

/// A folder, an environment and a provider.
struct Setup {
    folder: TempDir,
    standin: StandIn,
    env: Vec<(&'static str, String)>,
}

impl Setup {
    fn new() -> Self {
        let standin = StandIn::start(Options::default()).unwrap();
        standin.accept_keys(Provider::OpenAi, [KEY]);
        standin.accept_keys(Provider::ElevenLabs, [KEY]);
        Self {
            folder: tempfile::tempdir().unwrap(),
            standin,
            env: vec![("OPENAI_API_KEY", KEY.to_owned())],
        }
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn say(&self, args: &[&str], stdin: &str) -> Said {
        let mut child = Command::new(binary())
            .args(args)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (*name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that doesn't read it closes the pipe.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn mint(&self, manifest: &str) -> Said {
        self.say(&["mint", "-f", manifest, "--allow-endpoint", &self.standin.url()], "")
    }

    fn manifest(&self, spec: &Value) -> String {
        let manifest = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "voice"}, "spec": spec,
        });
        manifest.to_string()
    }

    fn openai(&self) -> Value {
        json!({
            "openai": {"model": "gpt-realtime-2.1", "endpoint": self.standin.url(), "reuse": "Multiple"},
            "credentials": {"secretRef": {"name": "key"}},
        })
    }
}

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_realtime-token-operator"))
}

#[test]
fn crd_prints_what_is_in_the_folder() {
    let said = Setup::new().say(&["crd"], "");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crds");
    let files = ["realtimetokens.yaml", "clusterrealtimeproviders.yaml"]
        .map(|file| std::fs::read_to_string(folder.join(file)).unwrap());
    assert!(said.out == files.concat(), "run `make crds`");
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
}

#[test]
fn help_and_what_is_no_command() {
    let setup = Setup::new();
    for args in [
        &["--help"][..],
        &["--version"],
        &["run", "--help"],
        &["crd", "--help"],
        &["mint", "--help"],
        &["local", "--help"],
        &["help", "mint"],
    ] {
        let said = setup.say(args, "");
        assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{args:?}");
        assert!(!said.out.is_empty());
    }
    for (args, expected) in [
        (&[][..], "Usage:"),
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["mint"], "--filename <FILE>"),
        (
            &["local", "-f", "t", "--listen", "0.0.0.0:8099"],
            "only a loopback address will do",
        ),
        (
            &["run", "--health-listen", "here"],
            "invalid value 'here' for '--health-listen",
        ),
        (&["run", "--concurrency", "0"], "invalid value '0' for '--concurrency"),
    ] {
        let said = setup.say(args, "");
        assert_eq!((said.code, said.out.as_str()), (Some(2), ""), "{args:?}");
        assert!(said.err.contains(expected), "{said:?}");
    }
}

#[test]
fn run_without_a_cluster_says_so_in_one_line() {
    let mut setup = Setup::new();
    let none = "there is no cluster: this is no pod";
    let home = setup.folder.path().to_str().unwrap().to_owned();
    setup.env = vec![("HOME", home.clone())];
    setup.say(&["run"], "").fails(1, none);
    let secret = setup.file("broken", "users:\n- user: {token: canary]\n");
    for kubeconfig in [format!("{home}/none"), home.clone(), secret] {
        setup.env = vec![("HOME", home.clone()), ("KUBECONFIG", kubeconfig)];
        setup.say(&["run"], "").fails(1, "the kubeconfig ");
    }
    setup
        .say(&["run", "--allow-endpoint", "gw"], "")
        .fails(1, "--allow-endpoint: the endpoint \"gw\" has no scheme");
    setup
        .say(&["run", "--ca-bundle", "none.pem"], "")
        .fails(1, "--ca-bundle none.pem: No such file");
    setup.say(&["run", "--log", "a=b=c"], "").fails(1, "--log \"a=b=c\": ");
}

#[tokio::test]
async fn a_port_in_use_ends_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let kubeconfig = world().await.cluster.kubeconfig().to_str().unwrap().to_owned();
    let said = tokio::task::spawn_blocking(move || {
        let mut setup = Setup::new();
        setup.env = vec![("KUBECONFIG", kubeconfig)];
        let (health, metrics) = ("--health-listen", "--metrics-listen");
        for (taken, free) in [(health, metrics), (metrics, health)] {
            let said = setup.say(&["run", "--log", "error", taken, &address, free, "127.0.0.1:0"], "");
            said.fails(1, &format!("{taken} {address}: another process listens there"));
        }
    });
    said.await.unwrap();
}
