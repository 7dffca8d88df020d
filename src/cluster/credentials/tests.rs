//! Key Secrets: read once, kept for a minute, and what is said when something is missing.

mod failing;

use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use super::known::PER_NAMESPACE;
use super::*;
use crate::api::Reason;
use crate::cluster::Scope;
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
    credentials: Credentials,
    changed: mpsc::UnboundedReceiver<Name>,
}

impl Fixture {
    fn new() -> Self {
        let api = FakeApi::new();
        let scope = Scope {
            namespaces: Vec::new(),
            cluster_providers: true,
        };
        let credentials = Credentials::new(api.client(), &scope, "operator", Arc::default());
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

    /// The next Secret that is reported to have changed.
    async fn change(&mut self) -> Name {
        let changed = tokio::time::timeout(Duration::from_secs(60), self.changed.recv());
        changed.await.expect("a change is noticed").unwrap()
    }

    /// What is known of how many Secrets.
    fn known(&self) -> usize {
        self.credentials.keys.known.lock().len()
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
    sleep(Duration::from_secs(1)).await; // the watch has begun
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
    advance(KEEP - Duration::from_secs(1)).await;
    fixture.value().await;
    assert_eq!(fixture.reads(), 1);
    advance(Duration::from_secs(1)).await;
    fixture.credentials.tidy();
    let secrets = fixture.credentials.keys.known.lock().tidy();
    assert!(!secrets[0].read.lock().await.as_ref().unwrap().has_values());
    fixture.revision().await.unwrap();
    assert_eq!(fixture.reads(), 1);
    assert_eq!((fixture.value().await.as_str(), fixture.reads()), ("sk-1", 2));
}

#[tokio::test(start_paused = true)]
async fn a_changed_key_is_noticed_and_a_changed_label_is_not_a_new_key() {
    let mut fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    let first = fixture.revision().await.unwrap();
    sleep(Duration::from_secs(1)).await; // the watch has listed
    while fixture.changed.try_recv().is_ok() {}
    let labels = json!({"metadata": {"labels": {"team": "a"}}});
    fixture.api.edit("secrets", "shop", "openai", &labels);
    fixture.change().await;
    assert_eq!(fixture.revision().await.unwrap(), first);
    fixture
        .api
        .edit("secrets", "shop", "openai", &json!({"data": {"api-key": "c2stMg=="}}));
    fixture.change().await;
    assert_ne!(fixture.revision().await.unwrap(), first);
    assert_eq!(fixture.value().await, "sk-2");
    fixture.api.delete("secrets", "shop", "openai");
    fixture.change().await;
    assert!(fixture.revision().await.is_err());
    fixture.create(&json!({"api-key": "c2stMQ=="}));
    fixture.change().await;
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
        let held = fixture.credentials.keys.known.lock().tidy();
        let kept = held[0].read.lock().await.as_ref().unwrap().keeps_values();
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
async fn a_secret_that_vanishes_unseen_is_missing_at_the_next_read() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    fixture.value().await;
    sleep(KEEP).await;
    fixture.api.pause_watches("secrets");
    fixture.api.delete("secrets", "shop", "openai");
    let gone = fixture.credentials.credential(&key(), ONE).await.unwrap();
    assert!(gone.is_err());
    assert!(
        fixture.problem(ONE).await.contains("does not exist"),
        "nor is its revision there"
    );
}

/// The watch breaks, the Secret is deleted, and the watch lists anew.
#[tokio::test(start_paused = true)]
async fn a_deletion_that_the_watch_has_missed_is_noticed() {
    let mut fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    fixture.revision().await.unwrap();
    sleep(Duration::from_secs(1)).await;
    while fixture.changed.try_recv().is_ok() {}
    fixture.api.pause_watches("secrets");
    fixture.api.delete("secrets", "shop", "openai");
    fixture.api.expire_watches("secrets");
    assert_eq!(fixture.change().await, Name::new("shop", "openai"));
    assert!(fixture.revision().await.is_err());
}

/// With older versions than were read.
#[tokio::test(start_paused = true)]
async fn a_key_that_a_restored_backup_brings_back_is_noticed() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    let first = fixture.revision().await.unwrap();
    let backup = fixture.api.back_up();
    let second = json!({"data": {"api-key": "c2stMg=="}});
    fixture.api.edit("secrets", "shop", "openai", &second);
    sleep(Duration::from_secs(1)).await;
    assert_ne!(fixture.revision().await.unwrap(), first);
    fixture.api.go_away();
    sleep(Duration::from_secs(10)).await;
    fixture.api.restore(&backup);
    fixture.api.recover();
    sleep(Duration::from_secs(10)).await;
    assert_eq!(fixture.revision().await.unwrap(), first);
}

/// A Role with `get` alone: the key is used, and a changed one is noticed at a look after a minute.
/// The watch leaves out the operator's own Secrets and Helm's releases.
#[tokio::test(start_paused = true)]
async fn a_key_that_the_watch_does_not_show_is_found_within_a_minute() {
    let fixture = Fixture::new();
    assert!(fixture.revision().await.is_err());
    fixture.api.create(json!({
        "kind": "Secret", "data": {"api-key": "c2stMQ=="},
        "metadata": {"name": "openai", "namespace": "shop", "labels": {"app.kubernetes.io/managed-by": "realtime-token-operator"}},
    }));
    assert!(fixture.revision().await.is_err());
    sleep(KEEP).await;
    let first = fixture.revision().await.unwrap();
    fixture
        .api
        .edit("secrets", "shop", "openai", &json!({"data": {"api-key": "c2stMg=="}}));
    sleep(KEEP).await;
    assert_ne!(fixture.revision().await.unwrap(), first, "nor are its changes shown");
}

/// The token that is there needs no key: what is known of it stays true until another read says otherwise.
#[tokio::test(start_paused = true)]
async fn references_that_change_without_end_leave_nothing_behind() {
    let fixture = Fixture::new();
    let reference = |n: usize| KeyRef {
        name: format!("key-{n}"),
        ..key()
    };
    for n in 0..2 * PER_NAMESPACE {
        let missing = fixture.credentials.revision(&reference(n), ONE).await.unwrap();
        assert!(missing.is_err());
        assert!(fixture.known() <= PER_NAMESPACE);
    }
    assert_eq!(
        (
            fixture.api.count("list", "secrets"),
            fixture.api.count("watch", "secrets")
        ),
        (1, 1)
    );
    // One that is in use stays known among those that no longer are.
    fixture.create(&json!({"api-key": "c2stMQ=="}));
    fixture.revision().await.unwrap();
    let reads = fixture.reads();
    for n in 0..2 * PER_NAMESPACE {
        fixture
            .credentials
            .revision(&reference(n), ONE)
            .await
            .unwrap()
            .unwrap_err();
        if n % 100 == 0 {
            fixture.revision().await.unwrap();
        }
    }
    assert_eq!(
        fixture.reads() - reads,
        2 * PER_NAMESPACE,
        "each once, the one in use never again"
    );
    sleep(Duration::from_secs(300)).await;
    fixture.revision().await.unwrap();
    sleep(Duration::from_secs(100)).await;
    fixture.credentials.tidy();
    assert_eq!(fixture.known(), 1);
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_namespaces_share_one_watch() {
    let mut fixture = Fixture::new();
    let of_namespace = |n: usize| KeyRef {
        namespace: format!("ns-{n}"),
        ..key()
    };
    let secret = |n: usize| {
        let metadata = json!({"name": "openai", "namespace": format!("ns-{n}")});
        json!({"kind": "Secret", "metadata": metadata, "data": {"api-key": "c2stMQ=="}})
    };
    for n in 0..10_000 {
        fixture.api.create(secret(n));
        fixture
            .credentials
            .revision(&of_namespace(n), ONE)
            .await
            .unwrap()
            .unwrap();
    }
    let watches = fixture
        .api
        .requests()
        .into_iter()
        .filter(|request| request.verb == "watch")
        .count();
    let lists = fixture.api.count("list", "secrets");
    assert!(watches <= 2 && lists == 1, "{watches} watches, {lists} lists");
    while fixture.changed.try_recv().is_ok() {}
    let changed = json!({"data": {"api-key": "c2stMg=="}});
    fixture.api.edit("secrets", "ns-7777", "openai", &changed);
    assert_eq!(fixture.change().await, Name::new("ns-7777", "openai"));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_is_too_big_is_refused_and_values_that_are_many_are_not_kept() {
    let too_big = Fixture::with(&json!({"api-key": "c2stMQ==", "big": "eHh4".repeat(70_000)}));
    let message = too_big.problem(ONE).await;
    assert!(
        message.contains("Secret shop/openai is too big to be a key Secret"),
        "{message}"
    );
    let mut many = json!({"api-key": "c2stMQ=="});
    for n in 0..64 {
        many[format!("key-{n}")] = json!("eA==");
    }
    let message = Fixture::with(&many).problem(ONE).await;
    assert!(message.contains("it may have 64 keys"), "{message}");

    let large = Fixture::with(&json!({"api-key": "c2stMQ==", "large": "eHh4".repeat(3_000)}));
    for reads in 1..3 {
        assert_eq!((large.value().await.as_str(), large.reads()), ("sk-1", reads));
    }
    large.revision().await.unwrap();
    assert_eq!(large.reads(), 2);
}
