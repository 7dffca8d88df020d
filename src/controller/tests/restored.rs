//! The API server's data is replaced by a backup of it, so that everything goes back to old versions; and what a watch
//! has missed.

use super::*;

const NAMES: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

impl Fleet {
    /// The API server is away for this long, and comes back with the backup.
    async fn restore(&self, backup: &crate::testing::Backup, away: Duration) {
        self.api.go_away();
        tokio::time::sleep(away).await;
        self.api.restore(backup);
        self.api.recover();
    }
}

/// Tokens of 600 s are renewed after about 330 s: in the backup they may be fresh, due or long ended.
#[tokio::test(start_paused = true)]
async fn whenever_a_backup_is_restored_every_token_is_fresh_soon_after() {
    for (age, phase) in [(5, 0), (100, 170), (250, 60), (400, 0), (700, 60), (2000, 170)] {
        let context = format!("a backup {age} s old, {phase} s after the start");
        let fleet = Fleet::new(600);
        for name in NAMES {
            fleet.create(name);
            fleet.pass(20).await;
        }
        fleet.pass(phase).await;
        let backup = fleet.api.back_up();
        fleet.pass(age).await;
        let before = fleet.provider.count();
        fleet.restore(&backup, Duration::from_secs(8)).await;
        // Until everything is listed, Secrets and statuses are as they were.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let minted = fleet.provider.count() - before;
        for name in NAMES {
            fleet.assert_settled(name, &context);
        }
        assert!(minted <= NAMES.len(), "{context}: {minted} mints");
        fleet.pass(350).await;
        for name in NAMES {
            fleet.assert_settled(name, &format!("later, {context}"));
        }
        assert_eq!(fleet.health.unready(), None, "{context}");
    }
}

/// What came after the backup is gone, and what was deleted since is back.
#[tokio::test(start_paused = true)]
async fn tokens_come_and_go_with_the_backup() {
    let fleet = Fleet::new(600);
    fleet.create("old");
    fleet.pass(20).await;
    let backup = fleet.api.back_up();
    fleet.create("new");
    fleet.pass(20).await;
    fleet.api.delete("realtimetokens", NAMESPACE, "old");
    fleet.api.delete("secrets", NAMESPACE, "old");
    fleet.pass(20).await;
    fleet.restore(&backup, Duration::from_secs(8)).await;
    fleet.pass(400).await;
    fleet.assert_settled("old", "it is back");
    // If the Secrets were listed before the RealtimeTokens, "new" may be minted once more, for an owner that is gone: a Secret
    // of such a one is taken away by Kubernetes' garbage collector.
    let mints = fleet.provider.count();
    assert!(
        (3..=4).contains(&mints),
        "{mints}: two first tokens, a renewal, and that one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_secret_whose_deletion_the_watch_has_missed_is_written_again_at_once() {
    let fleet = Fleet::new(3600);
    fleet.create("voice");
    fleet.pass(20).await;
    fleet.api.pause_watches("secrets");
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.api.expire_watches("secrets");
    fleet.api.resume_watches("secrets");
    tokio::time::sleep(Duration::from_secs(5)).await;
    fleet.assert_settled("voice", "the deletion was missed");
}

#[tokio::test(start_paused = true)]
async fn objects_and_edits_behind_connections_that_died_silently_are_seen_within_a_minute() {
    let fleet = Fleet::new(3600);
    fleet.create("old");
    fleet.pass(30).await;
    for resource in ["realtimetokens", "secrets", "clusterrealtimeproviders", "namespaces"] {
        fleet.api.silence_watches(resource);
    }
    fleet.create("new");
    fleet.api.delete("secrets", NAMESPACE, "old");
    let changed = json!({"data": {"api-key": base64("sk-2")}});
    // Without the operator's noticing the deletion, it would be healed when the token is due.
    tokio::time::sleep(Duration::from_secs(60)).await;
    for name in ["old", "new"] {
        fleet.assert_settled(name, "seen");
    }
    for resource in ["realtimetokens", "secrets"] {
        fleet.api.silence_watches(resource);
    }
    fleet.api.edit("secrets", NAMESPACE, "openai", &changed);
    tokio::time::sleep(Duration::from_secs(60)).await;
    for name in ["old", "new"] {
        fleet.assert_settled(name, "the key has changed");
        assert!(fleet.events(name).contains(&"CredentialRotated".to_owned()));
    }
}

/// What a backup or a move to another cluster brings back: our labels and our data, no owner, another field manager.
#[tokio::test(start_paused = true)]
async fn a_restored_secret_is_adopted_with_one_mint() {
    let fleet = Fleet::new(1800);
    fleet.api.create(json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "voice", "namespace": NAMESPACE, "labels": {
            "app.kubernetes.io/managed-by": "realtime-token-operator", "realtime-token.dev/name": "voice",
        }},
        "data": {"provider": base64("openai")},
    }));
    fleet.create("voice");
    fleet.pass(300).await;
    fleet.assert_settled("voice", "restored");
    assert_eq!(fleet.provider.count(), 1);
    let owner = &fleet.secret("voice").unwrap()["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"]),
        (&json!("RealtimeToken"), &json!("voice"))
    );
}

/// A deletion that the watch didn't show is noticed by the next list.
#[tokio::test(start_paused = true)]
async fn a_secret_deleted_behind_a_broken_watch_is_healed() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.api.pause_watches("secrets");
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.api.expire_watches("secrets");
    fleet.api.resume_watches("secrets");
    fleet.pass(10).await;
    fleet.assert_settled("voice", "deleted");
    assert_eq!(fleet.provider.count(), 2);
}
