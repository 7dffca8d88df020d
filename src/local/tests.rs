//! `local` in one process, with a provider that answers at once, and under paused time.

mod faults;
mod people;

use std::io::Write;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{LocalArgs, LocalError, Options, keep};
use crate::cli::endpoints::EndpointArgs;
use crate::local::screen::Screen;
use crate::mint::EndpointPolicy;
use crate::testing::FakeProvider;

type Process = (JoinHandle<Result<(), LocalError>>, CancellationToken);

/// A machine with a manifest, a key in a file of variables, a provider, and one `local`.
struct Machine {
    home: TempDir,
    provider: FakeProvider,
    said: Said,
    process: Option<Process>,
    listen: bool,
}

/// What is on the screen.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Machine {
    /// With tokens of this life, and nothing running yet.
    fn new(life: i64) -> Self {
        let machine = Self {
            home: tempfile::tempdir().unwrap(),
            provider: FakeProvider::new(SignedDuration::from_secs(life)),
            said: Said::default(),
            process: None,
            listen: false,
        };
        machine.write_manifest(json!({}));
        machine.write(".env", "OPENAI_API_KEY=sk-1\n");
        machine
    }

    /// The same, with `local` running and its first token written.
    async fn started(life: i64) -> Self {
        let mut machine = Self::new(life);
        machine.start();
        machine.pass(1).await;
        assert_eq!(machine.token(), "token-1", "{}", machine.screen());
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The manifest of the usual RealtimeToken with these fields of the spec.
    fn write_manifest(&self, spec: Value) {
        let mut token = json!({
            "apiVersion": "realtime-token.dev/v1alpha1", "kind": "RealtimeToken", "metadata": {"name": "voice"},
            "spec": {
                "openai": {"model": "m", "reuse": "Multiple"}, "credentials": {"secretRef": {"name": "openai"}},
            },
        });
        for (field, value) in spec.as_object().unwrap() {
            token["spec"][field] = value.clone();
        }
        self.write("token.json", &token.to_string());
    }

    fn args(&self) -> LocalArgs {
        LocalArgs {
            filename: self.path("token.json"),
            name: None,
            directory: self.path("kept"),
            listen: self.listen.then(|| "127.0.0.1:0".parse().unwrap()),
            credentials_dir: None,
            env_file: Some(self.path(".env")),
            endpoints: EndpointArgs::default(),
            log: "off".to_owned(),
        }
    }

    fn run(&self, shutdown: CancellationToken) -> impl Future<Output = Result<(), LocalError>> + Send + 'static {
        let options = Options {
            args: self.args(),
            endpoints: EndpointPolicy::default(),
            providers: Arc::new(self.provider.clone()),
            environment: |_| None,
            screen: Screen::new(Box::new(self.said.clone()), false),
        };
        keep(options, shutdown)
    }

    fn start(&mut self) {
        let shutdown = CancellationToken::new();
        self.process = Some((tokio::spawn(self.run(shutdown.clone())), shutdown));
    }

    /// The process ends at once.
    async fn kill(&mut self) {
        let (process, _) = self.process.take().unwrap();
        process.abort();
        assert!(process.await.is_err());
    }

    /// The process is asked to end, and does.
    async fn stop(&mut self) {
        let (process, shutdown) = self.process.take().unwrap();
        shutdown.cancel();
        process.await.unwrap().unwrap();
    }

    async fn restart(&mut self) {
        self.stop().await;
        self.said.0.lock().clear();
        self.start();
        self.pass(2).await;
    }

    async fn pass(&self, seconds: u64) {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
    }

    fn read(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path("kept").join(name)).ok()
    }

    fn token(&self) -> String {
        self.read("token").unwrap_or_default()
    }

    fn screen(&self) -> String {
        String::from_utf8(self.said.0.lock().clone()).unwrap()
    }

    /// One line says all of this, and no line tells a secret.
    #[track_caller]
    fn assert_says(&self, words: &[&str]) {
        let screen = self.screen();
        let said = screen.lines().any(|line| words.iter().all(|word| line.contains(word)));
        assert!(said, "no line has {words:?}:\n{screen}");
        assert!(!screen.contains("token-") && !screen.contains("sk-"), "{screen}");
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test(start_paused = true)]
async fn the_first_token_is_there_at_once_and_renewed_in_time() {
    let machine = Machine::started(600).await;
    let json: Value = serde_json::from_str(&machine.read("token.json").unwrap()).unwrap();
    assert_eq!(
        (&json["token"], &json["provider"]),
        (&json!("token-1"), &json!("openai"))
    );
    machine.assert_says(&["token 1 is written", "the next is due at"]);
    machine.pass(300).await;
    assert_eq!(machine.token(), "token-1");
    machine.pass(150).await;
    assert_eq!(machine.token(), "token-2");
    machine.assert_says(&["token 2 is written"]);
    assert_eq!(machine.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_the_owner_can_read_what_is_kept() {
    let machine = Machine::started(600).await;
    let kept = machine.path("kept");
    assert_eq!(mode(&kept), 0o700);
    let mut files = 0;
    for folder in [kept.clone(), kept.join("..data")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let expected = if path.is_dir() { 0o700 } else { 0o600 };
            assert_eq!(mode(&path), expected, "{}", path.display());
            files += 1;
        }
    }
    assert!(
        files >= 12,
        "{files}: four keys twice, token folder twice, description, status, lock"
    );
}

#[tokio::test(start_paused = true)]
async fn a_directory_that_others_could_read_is_closed() {
    let mut machine = Machine::new(600);
    std::fs::create_dir(machine.path("kept")).unwrap();
    std::fs::set_permissions(machine.path("kept"), std::fs::Permissions::from_mode(0o755)).unwrap();
    machine.start();
    machine.pass(1).await;
    assert_eq!(mode(&machine.path("kept")), 0o700);
}

#[tokio::test(start_paused = true)]
async fn a_restart_mints_nothing_while_the_token_is_good() {
    let mut machine = Machine::started(600).await;
    for _ in 0..3 {
        machine.restart().await;
        assert_eq!((machine.token(), machine.provider.count()), ("token-1".to_owned(), 1));
        machine.assert_says(&["token 1 is still good: nothing is minted"]);
    }
    machine.kill().await;
    machine.start();
    machine.pass(450).await;
    assert_eq!((machine.token(), machine.provider.count()), ("token-2".to_owned(), 2));
}

#[tokio::test(start_paused = true)]
async fn the_end_leaves_the_files_and_says_until_when_they_are_good() {
    let mut machine = Machine::started(600).await;
    machine.stop().await;
    assert_eq!(machine.token(), "token-1");
    machine.assert_says(&["ended;", "keeps its token, usable until"]);
}

#[tokio::test(start_paused = true)]
async fn a_mint_under_way_at_the_end_is_stored() {
    let mut machine = Machine::new(600);
    machine.provider.slow(Duration::from_secs(3));
    machine.start();
    machine.pass(1).await;
    machine.stop().await;
    assert_eq!(machine.token(), "token-1");
    machine.provider.slow(Duration::from_secs(60));
    machine.write_manifest(json!({"openai": {"model": "other"}}));
    machine.start();
    machine.pass(2).await;
    let before = tokio::time::Instant::now();
    machine.stop().await;
    assert!(
        before.elapsed() <= Duration::from_secs(6),
        "one that takes long is not waited for"
    );
    assert_eq!(machine.token(), "token-1");
}

#[tokio::test(start_paused = true)]
async fn two_do_not_keep_one_directory() {
    let mut machine = Machine::started(600).await;
    let error = machine.run(CancellationToken::new()).await.unwrap_err();
    let id = std::process::id();
    let expected = format!(
        "another `local` (process {id}) keeps {}: end that one",
        machine.path("kept").display()
    );
    assert!(error.to_string().contains(&expected), "{error}");
    assert_eq!((error.exit_code(), machine.provider.count()), (1, 1));
    machine.kill().await;
    machine.start();
    machine.pass(1).await;
    machine.assert_says(&["token 1 is still good"]);
}

#[tokio::test(start_paused = true)]
async fn where_to_ask_is_kept_beside_the_token_or_in_its_place() {
    let mut machine = Machine::new(600);
    machine.listen = true;
    machine.write_manifest(json!({"requests": {}}));
    machine.start();
    machine.pass(1).await;
    let url = machine.read("request-url").unwrap();
    assert!(url.starts_with("http://127.0.0.1:") && !url.contains(":0/"), "{url}");
    assert!(
        url.ends_with("/v1alpha1/namespaces/default/realtimetokens/voice/token"),
        "{url}"
    );
    assert_eq!(machine.token(), "token-1");
    machine.write_manifest(json!({"requests": {}, "target": {"content": "Connection"}}));
    machine.pass(3).await;
    assert_eq!((machine.read("token"), machine.read("request-url")), (None, Some(url)));
    assert_eq!(machine.provider.count(), 1);
}
