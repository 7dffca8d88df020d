//! Key Secrets that can't be read, and a watch on them that doesn't work.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_is_not_a_missing_key() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    fixture.api.fail_nth(1, Fault::Status(500));
    let failed = fixture.credentials.revision(&key(), ONE).await;
    assert!(matches!(failed, Err(ClusterError::Unavailable(_))));
    fixture.revision().await.unwrap();

    let forbidden = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    forbidden.api.fail_nth(1, Fault::Status(403));
    let message = forbidden.problem(ONE).await;
    assert!(message.starts_with("Secret shop/openai can't be read: "), "{message}");
    assert!(message.contains("403"), "{message}");
    forbidden.revision().await.unwrap();

    // For some seconds after its start an API server forbids what it allows.
    forbidden.value().await;
    sleep(KEEP).await;
    forbidden.api.fail_nth(1, Fault::Status(403));
    let refused = forbidden.credentials.credential(&key(), ONE).await;
    assert!(matches!(refused, Err(ClusterError::Refused { .. })));
    let before = forbidden.reads();
    assert_eq!(
        (forbidden.value().await.as_str(), forbidden.reads()),
        ("sk-1", before + 1)
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_watch_a_read_is_good_for_a_minute() {
    let fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    for nth in 1..100 {
        let is_list = |request: &crate::testing::Request| request.verb == "list";
        fixture.api.fail_nth_of(is_list, nth, Fault::Status(403));
    }
    let first = fixture.revision().await.unwrap();
    let second = json!({"data": {"api-key": "c2stMg=="}});
    fixture.api.edit("secrets", "shop", "openai", &second);
    assert_eq!((fixture.revision().await.unwrap(), fixture.reads()), (first.clone(), 1));
    sleep(KEEP).await;
    assert_ne!(fixture.revision().await.unwrap(), first);
    let reason = fixture.credentials.keys.health.unready().unwrap();
    assert!(
        reason.starts_with("key Secrets: ") && reason.contains("403"),
        "{reason}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_read_that_is_refused_leaves_the_revision_as_it_was() {
    let fixture = Fixture::new();
    fixture.create(&json!({"api-key": "c2stMQ=="}));
    let first = fixture.revision().await.unwrap();
    fixture
        .api
        .break_down(|request| request.verb == "get", Fault::Status(403));
    fixture
        .api
        .edit("secrets", "shop", "openai", &json!({"data": {"api-key": "c2stMg=="}}));
    sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.revision().await.unwrap(), first);
    fixture.api.recover();
    assert_ne!(fixture.revision().await.unwrap(), first);
}

/// As of a Secret whose decryption fails: looks go on with what is known, and ask once a minute.
#[tokio::test(start_paused = true)]
async fn reads_that_fail_for_long_leave_the_revision_as_it_was() {
    let mut fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    let first = fixture.revision().await.unwrap();
    fixture
        .api
        .break_down(|request| request.verb == "get", Fault::Status(500));
    let second = json!({"data": {"api-key": "c2stMg=="}});
    fixture.api.edit("secrets", "shop", "openai", &second);
    fixture.change().await;
    let looks = async |fixture: &Fixture| fixture.credentials.revision(&key(), ONE).await;
    let before = fixture.reads();
    for _ in 0..6 {
        assert!(looks(&fixture).await.is_err(), "an outage that is over soon");
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(looks(&fixture).await.unwrap().unwrap(), first);
    assert_eq!(fixture.reads() - before, 7);
    for _ in 0..50 {
        assert_eq!(looks(&fixture).await.unwrap().unwrap(), first);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(fixture.reads() - before, 7, "no further read within the minute");
    assert!(
        fixture.credentials.credential(&key(), ONE).await.is_err(),
        "no mint with it"
    );

    fixture.api.recover();
    while fixture.changed.try_recv().is_ok() {}
    fixture.credentials.tidy();
    assert!(fixture.changed.try_recv().is_err(), "not within the minute");
    sleep(KEEP).await;
    fixture.credentials.tidy();
    fixture.change().await;
    assert_ne!(fixture.revision().await.unwrap(), first);
    sleep(KEEP).await;
    fixture.credentials.tidy();
    assert!(fixture.changed.try_recv().is_err(), "it has been read");
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_panics_begins_anew() {
    let mut fixture = Fixture::with(&json!({"api-key": "c2stMQ=="}));
    let panics = |request: &crate::testing::Request| {
        assert_ne!(request.verb, "list", "as a bug would");
        false
    };
    fixture.api.break_down(panics, Fault::Hang);
    let first = fixture.revision().await.unwrap();
    let edit = |key: &str| {
        let data = json!({"data": {"api-key": key}});
        fixture.api.edit("secrets", "shop", "openai", &data);
    };
    edit("c2stMg==");
    sleep(KEEP).await;
    let second = fixture.revision().await.unwrap();
    assert_ne!(second, first, "without the watch a read is good for a minute");
    fixture.api.recover();
    sleep(2 * WATCH_AGAIN_AFTER).await;
    fixture.revision().await.unwrap();
    edit("c2stMw==");
    fixture.change().await;
    assert_ne!(fixture.revision().await.unwrap(), second);
}
