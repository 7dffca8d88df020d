//! Key Secrets: read once, kept for a minute, and what is said when something is missing.

use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use super::*;
use crate::api::Reason;
use crate::testing::{FakeApi, Fault};

const FIELDS: &[SecretField] = &[
    SecretField {
        key: "api-key",
        env: "KEY",
    },
    SecretField {
        key: "api-secret",
        env: "SECRET",
    },
];
const ONE: &[SecretField] = FIELDS.split_at(1).0;

struct Fixture {
    api: FakeApi,
    credentials: Arc<Credentials>,
    changed: mpsc::UnboundedReceiver<Name>,
}

impl Fixture {
    fn new() -> Self {
        let api = FakeApi::new();
        let credentials = Arc::new(Credentials::new(api.client()));
        let changed = credentials.subscribe();
        Self {
            api,
            credentials,
            changed,
        }
    }

    /// With a key Secret `openai`.
    fn with(data: &Value) -> Self {
        let fixture = Self::new();
        fixture.create(data);
        fixture
    }

    fn create(&self, data: &Value) {
        self.api
            .create(json!({"kind": "Secret", "metadata": {"name": "openai", "namespace": "shop"}, "data": data}));
    }

    async fn revision(&self) -> Result<String, Blocked> {
        self.credentials.revision(&key(), ONE).await.unwrap()
    }

    async fn value(&self) -> String {
        let (credential, _) = self.credentials.credential(&key(), ONE).await.unwrap().unwrap();
        secrecy::ExposeSecret::expose_secret(credential.get(&ONE[0]).unwrap()).to_owned()
    }

    async fn problem(&self, fields: &[SecretField]) -> String {
        let blocked = self.credentials.revision(&key(), fields).await.unwrap().unwrap_err();
        assert_eq!(blocked.reason, Reason::CredentialNotFound);
        blocked.message
    }

    /// How often the whole Secret was read.
    fn reads(&self) -> usize {
        self.api.count("get", "secrets")
    }
}

fn key() -> KeyRef {
    KeyRef {
        namespace: "shop".to_owned(),
        name: "openai".to_owned(),
        key: "api-key".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn many_tokens_share_one_read_and_one_watch() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQo="}));
    let revisions = futures::future::join_all((0..50).map(|_| fixture.revision())).await;
    assert!(revisions.iter().all(|revision| *revision == revisions[0]));
    assert_eq!(fixture.value().await, "sk-1", "without the newline at the end");
    let (watches, lists) = (
        fixture.api.count("watch", "secrets"),
        fixture.api.count("list", "secrets"),
    );
    assert_eq!((fixture.reads(), lists), (1, 1));
    assert!(watches <= 1);
    let requests = fixture.api.requests();
    let whole = requests.iter().filter(|request| !request.metadata_only);
    assert_eq!(whole.count(), 1, "all but the one read ask for metadata");
}

#[tokio::test(start_paused = true)]
async fn the_value_is_dropped_after_a_minute_and_its_hash_stays() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    fixture.value().await;
    advance(KEEP_VALUES - Duration::from_secs(1)).await;
    fixture.value().await;
    assert_eq!(fixture.reads(), 1);
    advance(Duration::from_secs(1)).await;
    fixture.credentials.tidy().await;
    let secrets: Vec<_> = fixture.credentials.secrets.lock().values().cloned().collect();
    assert!(secrets[0].read.lock().await.as_ref().unwrap().values.is_none());
    fixture.revision().await.unwrap();
    assert_eq!(fixture.reads(), 1);
    assert_eq!((fixture.value().await.as_str(), fixture.reads()), ("sk-1", 2));
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_is_noticed_and_a_changed_label_is_not_a_new_key() {
    let mut fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    let first = fixture.revision().await.unwrap();
    assert_eq!(
        fixture.changed.recv().await,
        Some(Name::new("shop", "openai")),
        "it is there"
    );
    let labels = json!({"metadata": {"labels": {"team": "a"}}});
    fixture.api.edit("secrets", "shop", "openai", &labels);
    fixture.changed.recv().await.unwrap();
    assert_eq!(fixture.revision().await.unwrap(), first);
    fixture
        .api
        .edit("secrets", "shop", "openai", &json!({"data": {"api-key": "c2stMg=="}}));
    fixture.changed.recv().await.unwrap();
    assert_ne!(fixture.revision().await.unwrap(), first);
    assert_eq!(fixture.value().await, "sk-2");
    fixture.api.delete("secrets", "shop", "openai");
    fixture.changed.recv().await.unwrap();
    assert!(fixture.revision().await.is_err());
    fixture.create(&json!({"api-key": "c2stMQ=="}));
    fixture.changed.recv().await.unwrap();
    assert_eq!(fixture.revision().await.unwrap(), first);
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named() {
    let absent = Fixture::new();
    let message = absent.problem(ONE).await;
    assert!(
        message.contains("Secret shop/openai does not exist") && message.contains("--from-literal=api-key=..."),
        "{message}"
    );
    let empty = Fixture::with(&json!({}));
    assert_eq!(
        empty.problem(ONE).await,
        "Secret shop/openai is empty; it must have the key api-key"
    );
    let blank = Fixture::with(&json!({"api-key": "IAo=", "other": "eA=="}));
    let message = blank.problem(ONE).await;
    assert!(
        message.starts_with("Secret shop/openai has no key api-key, or nothing in it; it has other."),
        "{message}"
    );
    let half = Fixture::with(&json!({"api-key": "eA=="}));
    let message = half.problem(FIELDS).await;
    assert!(
        message.contains("no key api-secret") && message.contains("it has api-key."),
        "{message}"
    );
}

/// Whoever may create a RealtimeToken would have it sent, or tokens signed with it.
#[tokio::test(start_paused = true)]
async fn only_secrets_for_keys_are_read_as_such() {
    let of = async |type_: Option<&str>, label: Option<&str>| {
        let fixture = Fixture::new();
        let labels = label.map(|value| json!({"realtime-token.dev/credentials": value}));
        fixture.api.create(json!({
            "kind": "Secret", "metadata": {"name": "openai", "namespace": "shop", "labels": labels}, "type": type_,
            "data": {"api-key": "c2stMQ==", "other": "eA=="},
        }));
        let revision = fixture.credentials.revision(&key(), ONE).await.unwrap();
        let whole = fixture.credentials.credential(&key(), ONE).await.unwrap();
        assert_eq!(whole.map(|(_, revision)| revision), revision);
        let held: Vec<_> = fixture.credentials.secrets.lock().values().cloned().collect();
        let read = held[0].read.lock().await;
        let kept = read
            .as_ref()
            .and_then(|read| read.values.as_ref())
            .is_some_and(|values| !values.is_empty());
        assert_eq!(kept, revision.is_ok(), "nothing of another Secret is kept");
        revision
    };
    for type_ in [None, Some("Opaque"), Some("realtime-token.dev/credentials")] {
        assert!(of(type_, None).await.is_ok(), "{type_:?}");
    }
    for type_ in [
        "kubernetes.io/service-account-token",
        "kubernetes.io/tls",
        "kubernetes.io/dockerconfigjson",
        "kubernetes.io/basic-auth",
        "bootstrap.kubernetes.io/token",
        "helm.sh/release.v1",
        crate::api::TARGET_TYPE,
    ] {
        let refused = of(Some(type_), None).await.unwrap_err();
        assert_eq!(refused.reason, Reason::CredentialNotAllowed);
        let label = "kubectl label secret openai -n shop realtime-token.dev/credentials=true";
        assert!(
            refused.message.contains(type_) && refused.message.contains(label),
            "{}",
            refused.message
        );
        assert!(!refused.message.contains("api-key"), "{}", refused.message);
        assert!(of(Some(type_), Some("false")).await.is_err());
        assert!(of(Some(type_), Some("true")).await.is_ok(), "{type_}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_vanishes_between_watch_and_read_is_missing() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    fixture.value().await;
    advance(KEEP_VALUES).await;
    fixture.api.pause_watches("secrets");
    fixture.api.delete("secrets", "shop", "openai");
    let gone = fixture.credentials.credential(&key(), ONE).await.unwrap();
    assert!(gone.is_err());
    assert!(
        fixture.problem(ONE).await.contains("does not exist"),
        "nor is its revision there"
    );
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_is_not_a_missing_key() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    fixture.api.fail_nth(1, Fault::Status(500));
    let failed = fixture.credentials.revision(&key(), ONE).await;
    assert!(matches!(failed, Err(ClusterError::Unavailable(_))));
    fixture.revision().await.unwrap();

    let unlisted = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    unlisted
        .api
        .fail_nth_of(|request| request.verb == "list", 1, Fault::Status(403));
    let message = unlisted.problem(ONE).await;
    assert!(message.starts_with("Secret shop/openai can't be read: "), "{message}");
    sleep(Duration::from_secs(1)).await; // the watch tries again
    unlisted.revision().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_when_no_token_has_looked_for_long() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    fixture.revision().await.unwrap();
    advance(IDLE - Duration::from_secs(1)).await;
    fixture.credentials.tidy().await;
    assert_eq!(fixture.credentials.secrets.lock().len(), 1);
    advance(Duration::from_secs(1)).await;
    fixture.credentials.tidy().await;
    assert!(fixture.credentials.secrets.lock().is_empty());
    fixture.revision().await.unwrap();
    assert_eq!(fixture.reads(), 2);
}
