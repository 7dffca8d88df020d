//! What each step costs at the Kubernetes API and at the provider.

use tokio::sync::mpsc;

use super::*;

/// Requests by verb and resource, those that list and watch left out.
fn requests(fleet: &Fleet) -> Vec<String> {
    let requests = fleet.api.requests().into_iter();
    let single = requests.filter(|request| !matches!(request.verb, "list" | "watch"));
    single
        .map(|request| format!("{} {}", request.verb, request.resource))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_first_token() {
    let fleet = Fleet::new(600);
    fleet.create("voice");
    fleet.pass(5).await;
    fleet.assert_settled("voice", "first token");
    // The target is in no cache: it is looked up once, before the mint. The key is read once.
    let mut found = requests(&fleet);
    found.sort();
    let expected = [
        "create events",
        "create secrets",
        "get secrets",
        "get secrets",
        "patch realtimetokens",
    ];
    assert_eq!(found, expected);
    assert_eq!(fleet.provider.count(), 1);
}

/// A rotation: one call, two writes, no read of the target. The key is read again, since its value was dropped.
#[tokio::test(start_paused = true)]
async fn a_rotation() {
    let fleet = Fleet::new(600);
    fleet.create("voice");
    fleet.pass(250).await;
    fleet.api.forget_requests();
    fleet.pass(90).await;
    fleet.assert_settled("voice", "rotation");
    assert_eq!(
        requests(&fleet),
        ["get secrets", "patch secrets", "patch realtimetokens"]
    );
    assert_eq!(fleet.provider.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn waiting_costs_nothing() {
    let fleet = Fleet::new(7200);
    fleet.create("voice");
    fleet.pass(5).await;
    fleet.api.forget_requests();
    fleet.pass(3600).await;
    assert_eq!(requests(&fleet), [""; 0]);
    assert_eq!(fleet.provider.count(), 1);
}

/// Also when nothing is remembered: the annotations of the Secret say all.
#[tokio::test(start_paused = true)]
async fn a_restart_and_a_lost_status_mint_nothing() {
    let mut fleet = Fleet::new(7200);
    fleet.create("voice");
    fleet.pass(5).await;
    let status = fleet.status("voice");
    fleet.kill();
    fleet.api.forget_requests();
    fleet.start();
    fleet.pass(60).await;
    assert_eq!(requests(&fleet), ["get secrets"], "the key's revision");
    let nothing = json!({
        "conditions": null, "revision": null, "issuedAt": null, "usableUntil": null, "expiresAt": null,
        "renewalTime": null, "secretRef": null, "provider": null, "observedGeneration": null,
    });
    fleet.api.edit_status("realtimetokens", NAMESPACE, "voice", &nothing);
    fleet.pass(60).await;
    assert_eq!(fleet.status("voice").revision, status.revision);
    assert_eq!(fleet.status("voice").usable_until, status.usable_until);
    assert_eq!((fleet.provider.count(), fleet.api.count("patch", "secrets")), (1, 0));
}

/// The values of a key leave the memory a minute after their last use.
#[tokio::test(start_paused = true)]
async fn the_values_of_a_key_are_not_kept() {
    let fleet = Fleet::new(1800);
    fleet.create("voice");
    for (pause, kept) in [(20, 1), (60, 0)] {
        fleet.pass(pause).await;
        assert_eq!(fleet.issuer.kept_values().await, kept, "after {pause} s more");
    }
}

/// A scheduler that hands nothing out is no sign of life, whatever else goes on.
#[tokio::test(start_paused = true)]
async fn only_a_scheduler_that_makes_progress_is_alive() {
    let stalled_for = |health: &Health| health.stalled_for().as_secs();
    let health = Health::default();
    health.wait_for(None);
    let (nudges, _unread) = mpsc::unbounded_channel();
    let stands_still = super::super::heartbeat(&nudges, &health);
    let _ = tokio::time::timeout(Duration::from_secs(100), stands_still).await;
    assert!(stalled_for(&health) >= 100, "{} s", stalled_for(&health));

    let mut fleet = Fleet::new(1800);
    fleet.kill();
    let health = Arc::new(Health::default());
    let options = Options {
        health: Arc::clone(&health),
        ..fleet.options()
    };
    let runs = tokio::spawn(run(options, Leadership::always(), CancellationToken::new()));
    fleet.pass(100).await;
    assert!(stalled_for(&health) < 10, "{} s", stalled_for(&health));
    runs.abort();
}

/// A stop lets mints under way end and stores their tokens.
#[tokio::test(start_paused = true)]
async fn a_stop_loses_no_token() {
    let mut fleet = Fleet::new(600);
    fleet.create("voice");
    while fleet.provider.count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    fleet.stop().await;
    assert_eq!(fleet.secret("voice").as_ref().and_then(revision), Some(1));
    fleet.start();
    fleet.pass(30).await;
    assert_eq!(fleet.provider.count(), 1);
}
