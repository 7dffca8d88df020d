//! What is watched in which namespaces, and that watches go on after what breaks them.

use std::time::Duration;

use serde_json::json;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::testing::{FakeApi, Fault};

fn scope(namespaces: &[&str]) -> Scope {
    Scope {
        namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
        cluster_providers: true,
    }
}

/// Of a process that has started.
fn health() -> Arc<Health> {
    let health = Arc::new(Health::default());
    health.wait_for(None);
    health
}

fn create_token(api: &FakeApi, namespace: &str, name: &str) {
    api.create(json!({
        "kind": "RealtimeToken", "metadata": {"name": name, "namespace": namespace},
        "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
    }));
}

/// The events until nothing has come for a while.
async fn received<K: ResourceExt>(events: &mut Events<K>) -> Vec<String> {
    let mut all = Vec::new();
    while let Ok(Some(event)) = timeout(Duration::from_secs(20), events.next()).await {
        all.push(match event {
            Ok(Event::Init) => "init".to_owned(),
            Ok(Event::InitApply(object)) => format!("?{}", object.name_any()),
            Ok(Event::InitDone) => "done".to_owned(),
            Ok(Event::Apply(object)) => format!("+{}", object.name_any()),
            Ok(Event::Delete(object)) => format!("-{}", object.name_any()),
            Err(_) => "error".to_owned(),
        });
    }
    all
}

#[tokio::test(start_paused = true)]
async fn several_namespaces_are_one_watch() {
    let api = FakeApi::new();
    for (namespace, name) in [("a", "one"), ("b", "two"), ("c", "other")] {
        create_token(&api, namespace, name);
    }
    let mut events = tokens(&api.client(), &scope(&["a", "b"]), &health());
    let mut list = received(&mut events).await;
    list[1..3].sort();
    assert_eq!(list, ["init", "?one", "?two", "done"]);

    create_token(&api, "b", "three");
    create_token(&api, "c", "unseen");
    api.delete("realtimetokens", "a", "one");
    let mut changes = received(&mut events).await;
    changes.sort();
    assert_eq!(changes, ["+three", "-one"]);

    // What changed while both watches had to list anew arrives as changes, without a new start.
    api.pause_watches("realtimetokens");
    api.delete("realtimetokens", "b", "two");
    create_token(&api, "a", "four");
    api.expire_watches("realtimetokens");
    let mut changes = received(&mut events).await;
    changes.sort();
    assert_eq!(changes, ["+four", "+three", "-two", "error", "error"]);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_is_tried_again_soon() {
    let api = FakeApi::new();
    create_token(&api, "a", "one");
    for nth in 1..=3 {
        api.fail_nth_of(|request| request.verb == "list", nth, Fault::ResetBefore);
    }
    let began = tokio::time::Instant::now();
    let mut events = tokens(&api.client(), &scope(&[]), &health());
    loop {
        if let Ok(Event::InitDone) = events.next().await.unwrap() {
            break;
        }
    }
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn only_our_secrets_are_watched() {
    let api = FakeApi::new();
    let secret = |name: &str, labels: serde_json::Value| {
        api.create(json!({"kind": "Secret", "metadata": {"name": name, "namespace": "a", "labels": labels}}));
    };
    secret("ours", json!({MANAGED_BY: MANAGER}));
    secret("theirs", json!({"app": "x"}));
    let events = target_secrets(&api.client(), &scope(&[]), &health());
    let mut events = events.map(|(_, event)| event).boxed();
    assert_eq!(received(&mut events).await, ["init", "?ours", "done"]);
    api.edit("secrets", "a", "ours", &json!({"metadata": {"labels": null}}));
    api.edit(
        "secrets",
        "a",
        "theirs",
        &json!({"metadata": {"labels": {MANAGED_BY: MANAGER}}}),
    );
    assert_eq!(received(&mut events).await, ["-ours", "+theirs"]);
    assert!(
        api.requests().iter().all(|request| request.metadata_only),
        "no data is asked for"
    );
}

#[tokio::test(start_paused = true)]
async fn namespaces_and_providers_are_watched_only_where_they_are_served() {
    let api = FakeApi::new();
    for name in ["a", "b"] {
        api.create(json!({"kind": "Namespace", "metadata": {"name": name}}));
    }
    let client = api.client();
    assert_eq!(
        received(&mut namespaces(&client, &scope(&["b"]), &health())).await,
        ["init", "?b", "done"]
    );
    assert_eq!(
        received(&mut namespaces(&client, &scope(&[]), &health())).await,
        ["init", "?a", "?b", "done"]
    );
    api.forget_requests();
    let without = Scope {
        cluster_providers: false,
        ..scope(&[])
    };
    assert_eq!(
        received(&mut namespaces(&client, &without, &health())).await,
        ["init", "done"]
    );
    assert_eq!(
        received(&mut providers(&client, &without, &health())).await,
        ["init", "done"]
    );
    assert_eq!(api.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_secret_is_followed_by_name() {
    let api = FakeApi::new();
    let create = |name: &str| api.create(json!({"kind": "Secret", "metadata": {"name": name, "namespace": "a"}}));
    create("other");
    let mut states = secret(&api.client(), &Name::new("a", "key"), &health());
    let mut next = async || states.next().await.unwrap().map(|secret| secret.is_some());
    assert!(!next().await.unwrap());
    create("key");
    assert!(next().await.unwrap());
    api.delete("secrets", "a", "key");
    assert!(!next().await.unwrap());
    api.pause_watches("secrets");
    create("key");
    api.expire_watches("secrets");
    assert!(next().await.is_err());
    assert!(next().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn what_happens_behind_a_connection_that_died_silently_is_seen_within_a_minute() {
    let api = FakeApi::new();
    create_token(&api, "a", "one");
    let mut events = tokens(&api.client(), &scope(&[]), &health());
    assert_eq!(received(&mut events).await, ["init", "?one", "done"]);
    api.silence_watches("realtimetokens");
    create_token(&api, "a", "two");
    let created = Instant::now();
    let event = events.next().await.unwrap();
    assert!(matches!(event, Ok(Event::Apply(token)) if token.name_any() == "two"));
    assert!(created.elapsed() < Duration::from_secs(60), "{:?}", created.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_watch_without_events_is_known_to_work_and_one_without_answers_is_not() {
    let (api, health) = (FakeApi::new(), health());
    create_token(&api, "a", "one");
    let mut events = tokens(&api.client(), &scope(&[]), &health);
    tokio::spawn(async move { while events.next().await.is_some() {} });
    for _ in 0..100 {
        sleep(Duration::from_secs(7)).await;
        assert_eq!(health.unready(), None);
    }
    api.go_away();
    sleep(Duration::from_secs(61)).await;
    let reason = health.unready().unwrap();
    assert!(reason.starts_with("RealtimeTokens, not seen for "), "{reason}");
    api.recover();
    sleep(Duration::from_secs(6)).await;
    assert_eq!(health.unready(), None);
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_everything_is_listed_anew_for_a_backup_may_have_been_restored() {
    let api = FakeApi::new();
    create_token(&api, "a", "kept");
    let backup = api.back_up();
    create_token(&api, "a", "lost");
    let mut events = tokens(&api.client(), &scope(&[]), &health());
    assert_eq!(received(&mut events).await, ["init", "?kept", "?lost", "done"]);
    api.go_away();
    sleep(Duration::from_secs(10)).await;
    api.restore(&backup);
    let away = tokio::spawn(async move {
        let mut events = events;
        let seen = received(&mut events).await;
        (seen, events)
    });
    sleep(Duration::from_secs(10)).await;
    api.recover();
    let (seen, mut events) = away.await.unwrap();
    let last_list = seen.iter().rposition(|event| event == "init").unwrap();
    assert_eq!(seen[last_list..], ["init", "?kept", "done"], "{seen:?}");
    create_token(&api, "a", "new");
    assert_eq!(received(&mut events).await, ["+new"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_breaks_off_goes_on_without_a_list() {
    let api = FakeApi::new();
    create_token(&api, "a", "one");
    let mut events = tokens(&api.client(), &scope(&[]), &health());
    received(&mut events).await;
    api.break_watches("realtimetokens");
    create_token(&api, "a", "two");
    assert_eq!(received(&mut events).await, ["+two"]);
    assert_eq!(api.count("list", "realtimetokens"), 1);
}

/// Each list is answered, and each watch told that its version is too old.
#[tokio::test(start_paused = true)]
async fn a_server_that_ends_each_watch_is_asked_seldom() {
    let api = FakeApi::new();
    create_token(&api, "a", "one");
    let mut events = tokens(&api.client(), &scope(&[]), &health());
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    let mut edit = 0;
    while tokio::time::Instant::now() < until {
        edit += 1;
        api.edit(
            "realtimetokens",
            "a",
            "one",
            &json!({"metadata": {"labels": {"edit": edit.to_string()}}}),
        );
        api.expire_watches("realtimetokens");
        let _ = timeout(Duration::from_millis(100), events.next()).await;
    }
    let lists = api.count("list", "realtimetokens");
    assert!((5..=25).contains(&lists), "{lists} lists in a minute");
    assert!(received(&mut events).await.contains(&"?one".to_owned()), "it goes on");
}

/// A page is in memory as a whole, and a tenant may make each of its objects large.
#[tokio::test(start_paused = true)]
async fn each_list_comes_in_pages_of_twenty() {
    let api = FakeApi::new();
    create_token(&api, "a", "one");
    let (client, health) = (api.client(), health());
    for scope in [scope(&[]), scope(&["a", "b"])] {
        let _ = received(&mut tokens(&client, &scope, &health)).await;
        let _ = received(&mut requested_tokens(&client, &scope, &health)).await;
        let _ = received(&mut namespaces(&client, &scope, &health)).await;
        let _ = received(&mut providers(&client, &scope, &health)).await;
        let targets = target_secrets(&client, &scope, &health);
        let _ = received(&mut targets.map(|(_, event)| event).boxed()).await;
        let keys = key_secrets(&client, scope.parts_with_keys("operator"), &health);
        let _ = received(&mut keys.map(|(_, event)| event).boxed()).await;
    }
    let _ = secret(&client, &Name::new("a", "key"), &health).next().await;
    let lists: Vec<_> = api.requests().into_iter().filter(|it| it.verb == "list").collect();
    assert!(lists.len() >= 12, "{lists:?}");
    for list in lists {
        assert_eq!(list.limit, 20, "{list:?}");
    }
}

/// Only names and versions of others' Secrets are taken in, of Helm's releases and our own not even these.
#[tokio::test(start_paused = true)]
async fn secrets_that_may_hold_keys_are_watched_where_tokens_and_providers_are() {
    let api = FakeApi::new();
    let secret = |namespace: &str, name: &str, type_: &str, labels: serde_json::Value| {
        let metadata = json!({"name": name, "namespace": namespace, "labels": labels, "annotations": {"a": "b"}});
        api.create(json!({"kind": "Secret", "metadata": metadata, "type": type_}));
    };
    secret("a", "key", "Opaque", json!({}));
    secret("a", "target", "Opaque", json!({MANAGED_BY: MANAGER}));
    secret("a", "sh.helm.release.v1.x.v1", "helm.sh/release.v1", json!({}));
    secret("operator", "platform", "Opaque", json!({}));
    secret("b", "elsewhere", "Opaque", json!({}));
    for (namespaces, platform, expected) in [
        (&["a"][..], true, &["key", "platform"][..]),
        (&["a"], false, &["key"]),
        (&["a", "a", "operator"], true, &["key", "platform"]),
        (&[], true, &["elsewhere", "key", "platform"]),
    ] {
        let mut scope = scope(namespaces);
        scope.cluster_providers = platform;
        let parts = scope.parts_with_keys("operator");
        api.forget_requests();
        let mut events = key_secrets(&api.client(), parts, &health());
        let mut seen = Vec::new();
        while let Ok(Some((_, event))) = timeout(Duration::from_secs(5), events.next()).await {
            if let Event::InitApply(secret) = event.unwrap() {
                assert!(secret.meta().annotations.is_none() && secret.meta().resource_version.is_some());
                seen.push(secret.name_any());
            }
        }
        seen.sort();
        assert_eq!(seen, expected, "{namespaces:?}");
        assert!(api.requests().iter().all(|request| request.metadata_only));
    }
}
