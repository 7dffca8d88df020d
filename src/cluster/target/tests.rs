//! Target Secrets between our own writes, other writers and a watch that comes later.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use parking_lot::Mutex;
use tokio::time::{Duration, sleep};

use super::*;
use crate::cluster::{Scope, watch};
use crate::testing::{FakeApi, Fault};

const MANAGER: &str = "realtime-token-operator";

struct Fixture {
    api: FakeApi,
    targets: Arc<Targets>,
    /// The RealtimeTokens that the watch has woken.
    woken: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    /// With the watch under way.
    async fn new() -> Self {
        let api = FakeApi::new();
        let targets = Arc::new(Targets::new(api.client()));
        let scope = Scope {
            namespaces: Vec::new(),
            cluster_providers: false,
        };
        let woken = Arc::<Mutex<Vec<String>>>::default();
        let mut events = watch::target_secrets(&api.client(), &scope, &Arc::default());
        let (known, list) = (Arc::clone(&targets), Arc::clone(&woken));
        tokio::spawn(async move {
            while let Some((part, event)) = futures::StreamExt::next(&mut events).await {
                let names = event.map(|event| known.apply_event(&part, event)).unwrap_or_default();
                list.lock().extend(names.iter().map(ToString::to_string));
            }
        });
        let fixture = Self { api, targets, woken };
        fixture.settle().await;
        fixture
    }

    /// Until the watch has sent all that it has.
    async fn settle(&self) {
        sleep(Duration::from_secs(10)).await;
    }

    fn woken(&self) -> Vec<String> {
        std::mem::take(&mut self.woken.lock())
    }

    async fn create(&self, token: &str) -> Result<Arc<SecretView>, ClusterError> {
        self.targets.create(&name(), content(token), &labels(), None).await
    }

    /// The resourceVersion, without a request if the Secret is known.
    async fn version(&self) -> Option<String> {
        let seen = self.targets.observe(&name()).await.unwrap();
        seen.map(|view| view.resource_version().to_owned())
    }

    fn data(&self, key: &str) -> Option<String> {
        let secret = self.api.get("secrets", "shop", "voice")?;
        secret["data"][key].as_str().map(str::to_owned)
    }

    /// Edits the Secret as a user, unseen.
    fn edit_unseen(&self) {
        self.api.pause_watches("secrets");
        let patch = json!({"data": {"token": "eA=="}});
        self.api.edit("secrets", "shop", "voice", &patch);
    }
}

fn name() -> Name {
    Name::new("shop", "voice")
}

fn content(token: &str) -> Content {
    let data = [("token", token), ("provider", "openai")];
    Content {
        data: data
            .map(|(key, value)| (key.to_owned(), ByteString(value.into())))
            .into(),
        annotations: BTreeMap::from([(annotations::REVISION.to_owned(), token.to_owned())]),
        hash: "h".to_owned(),
    }
}

fn labels() -> SecretMetadata {
    let labels = [(annotations::MANAGED_BY, MANAGER), (annotations::NAME, "token")];
    SecretMetadata {
        labels: labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        annotations: BTreeMap::new(),
        content: TargetContent::Token,
        connection: BTreeMap::new(),
        hash: "m".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_write_counts_before_the_watch_shows_it_and_is_no_news_then() {
    let fixture = Fixture::new().await;
    fixture.api.pause_watches("secrets");
    let created = fixture.create("1").await.unwrap();
    assert_eq!(fixture.version().await.as_deref(), Some(created.resource_version()));
    let updated = fixture.targets.update(&name(), &created, content("2")).await.unwrap();
    assert_eq!(fixture.version().await.as_deref(), Some(updated.resource_version()));

    // The watch shows the first write, then the second: neither undoes what is known.
    fixture.api.resume_watches("secrets");
    fixture.settle().await;
    assert_eq!(fixture.version().await.as_deref(), Some(updated.resource_version()));
    assert_eq!((fixture.woken(), fixture.api.count("get", "secrets")), (vec![], 0));
}

/// So that no controller takes it for one of its own kind.
#[tokio::test(start_paused = true)]
async fn a_secret_is_of_our_own_type() {
    let fixture = Fixture::new().await;
    fixture.create("1").await.unwrap();
    let secret = fixture.api.get("secrets", "shop", "voice").unwrap();
    assert_eq!(secret["type"], "realtime-token.dev/token");
}

#[tokio::test(start_paused = true)]
async fn what_others_change_wakes_the_token() {
    let fixture = Fixture::new().await;
    fixture.create("1").await.unwrap();
    fixture.settle().await;
    let patch = json!({"data": {"token": "eA=="}});
    let edited = fixture.api.edit("secrets", "shop", "voice", &patch);
    fixture.settle().await;
    assert_eq!(fixture.woken(), ["shop/token"]);
    assert_eq!(
        fixture.version().await.as_deref(),
        edited["metadata"]["resourceVersion"].as_str()
    );

    fixture.api.delete("secrets", "shop", "voice");
    fixture.settle().await;
    assert_eq!(fixture.woken(), ["shop/token"]);
    assert_eq!(fixture.version().await, None);
    assert_eq!(
        fixture.api.count("get", "secrets"),
        1,
        "a Secret that is not known is looked up"
    );
}

#[tokio::test(start_paused = true)]
async fn a_deletion_that_the_watch_shows_late_does_not_hide_the_successor() {
    let fixture = Fixture::new().await;
    let first = fixture.create("1").await.unwrap();
    fixture.settle().await;
    fixture.api.pause_watches("secrets");
    fixture.api.delete("secrets", "shop", "voice");
    let gone = fixture.targets.update(&name(), &first, content("2")).await;
    assert!(matches!(gone, Err(ClusterError::NotFound)));
    assert_eq!(
        fixture.version().await,
        None,
        "after a write that failed the next look is live"
    );
    let second = fixture.create("2").await.unwrap();
    assert_ne!(second.uid(), first.uid());
    fixture.api.resume_watches("secrets");
    fixture.settle().await;
    assert_eq!(fixture.version().await.as_deref(), Some(second.resource_version()));
    assert_eq!(fixture.woken(), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_list_without_the_secret_is_its_deletion() {
    let fixture = Fixture::new().await;
    fixture.create("1").await.unwrap();
    fixture.settle().await;
    fixture.api.pause_watches("secrets");
    fixture.api.delete("secrets", "shop", "voice");
    fixture.api.expire_watches("secrets");
    fixture.settle().await;
    assert_eq!(
        (fixture.woken(), fixture.version().await),
        (vec!["shop/token".to_owned()], None)
    );
}

/// It brings back an older version than the one that is known.
#[tokio::test(start_paused = true)]
async fn a_backup_that_is_restored_replaces_what_is_known() {
    let fixture = Fixture::new().await;
    let first = fixture.create("1").await.unwrap();
    let backup = fixture.api.back_up();
    fixture.targets.update(&name(), &first, content("2")).await.unwrap();
    fixture.settle().await;
    fixture.api.go_away();
    fixture.settle().await;
    fixture.api.restore(&backup);
    fixture.api.recover();
    fixture.settle().await;
    assert_eq!(fixture.version().await.as_deref(), Some(first.resource_version()));
    assert_eq!(fixture.woken(), ["shop/token"]);
    assert_eq!(fixture.api.count("get", "secrets"), 0, "the list has shown it");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_rests_on_a_stale_view_is_refused_and_the_next_look_is_live() {
    let fixture = Fixture::new().await;
    let created = fixture.create("1").await.unwrap();
    fixture.settle().await;
    fixture.edit_unseen();
    let stale = fixture.targets.update(&name(), &created, content("2")).await;
    assert!(matches!(stale, Err(ClusterError::Conflict)));
    assert_eq!(fixture.data("token").as_deref(), Some("eA=="), "the user's value stays");
    let live = fixture.targets.observe(&name()).await.unwrap().unwrap();
    fixture.targets.update(&name(), &live, content("2")).await.unwrap();
    assert_eq!(fixture.data("token").as_deref(), Some("Mg=="));
    let exists = fixture.create("3").await;
    assert!(matches!(exists, Err(ClusterError::Conflict)));
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_found_by_the_next_look() {
    let fixture = Fixture::new().await;
    let created = fixture.create("1").await.unwrap();
    fixture.settle().await;
    fixture.api.pause_watches("secrets");
    for (fault, applied) in [
        (Fault::ResetAfter, true),
        (Fault::ResetBefore, false),
        (Fault::Hang, false),
    ] {
        let seen = fixture.targets.observe(&name()).await.unwrap().unwrap();
        fixture.api.fail_nth(1, fault);
        let lost = fixture.targets.update(&name(), &seen, content("2")).await;
        assert!(
            matches!(lost, Err(ClusterError::Unavailable(_) | ClusterError::Timeout(_))),
            "{fault:?}"
        );
        let stored = fixture.api.get("secrets", "shop", "voice").unwrap();
        assert_eq!(
            fixture.version().await.as_deref(),
            stored["metadata"]["resourceVersion"].as_str()
        );
        assert_eq!(
            applied,
            fixture.version().await.as_deref() != Some(seen.resource_version()),
            "{fault:?}"
        );
    }
    assert_ne!(fixture.version().await.as_deref(), Some(created.resource_version()));
}

#[tokio::test(start_paused = true)]
async fn an_update_takes_away_the_keys_and_annotations_that_are_no_longer_ours() {
    let fixture = Fixture::new().await;
    let mut first = content("1");
    first.data.insert("extra".to_owned(), ByteString(b"x".to_vec()));
    first
        .annotations
        .insert(annotations::RENEW_REQUEST.to_owned(), "now".to_owned());
    let created = fixture.targets.create(&name(), first, &labels(), None).await.unwrap();
    fixture.edit_unseen();
    let patch = json!({"data": {"foreign": "eQ=="}});
    fixture.api.edit("secrets", "shop", "voice", &patch);
    fixture.targets.cache.forget(&name());
    let live = fixture.targets.observe(&name()).await.unwrap().unwrap();
    assert_ne!(live.resource_version(), created.resource_version());
    fixture.targets.update(&name(), &live, content("2")).await.unwrap();
    assert_eq!(
        (fixture.data("extra"), fixture.data("foreign").as_deref()),
        (None, Some("eQ=="))
    );
    let secret = fixture.api.get("secrets", "shop", "voice").unwrap();
    assert!(secret["metadata"]["annotations"][annotations::RENEW_REQUEST].is_null());
}

#[tokio::test(start_paused = true)]
async fn new_labels_replace_our_old_ones_and_no_others() {
    let fixture = Fixture::new().await;
    let mut old = labels();
    old.labels.insert("tier".to_owned(), "gold".to_owned());
    old.annotations.insert("note".to_owned(), "old".to_owned());
    fixture.targets.create(&name(), content("1"), &old, None).await.unwrap();
    let theirs = json!({"metadata": {"labels": {"theirs": "yes"}, "annotations": {"theirs": "yes"}}});
    fixture.api.edit("secrets", "shop", "voice", &theirs);
    fixture.settle().await;
    let seen = fixture.targets.observe(&name()).await.unwrap().unwrap();
    let time = Some("2027-01-01T00:00:00Z".to_owned());
    fixture
        .targets
        .relabel(&name(), &seen, &labels(), time.clone(), None)
        .await
        .unwrap();
    let secret = fixture.api.get("secrets", "shop", "voice").unwrap();
    let (labels, annotations) = (&secret["metadata"]["labels"], &secret["metadata"]["annotations"]);
    assert_eq!(
        (&labels["tier"], &labels["theirs"], &labels[annotations::NAME]),
        (&json!(null), &json!("yes"), &json!("token"))
    );
    assert_eq!(
        (&annotations["note"], &annotations["theirs"]),
        (&json!(null), &json!("yes"))
    );
    assert_eq!(annotations[annotations::REVISION], "1", "the token's own stay");
    assert_eq!(annotations[annotations::RENEWAL_TIME], json!(time));
    assert_eq!(fixture.data("token").as_deref(), Some("MQ=="));
}
