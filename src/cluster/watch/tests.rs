//! What is watched in which namespaces, and that watches go on after what breaks them.

use serde_json::json;
use tokio::time::timeout;

use super::*;
use crate::testing::{FakeApi, Fault};

fn scope(namespaces: &[&str]) -> Scope {
    Scope {
        namespaces: namespaces.iter().map(|&name| name.to_owned()).collect(),
        cluster_providers: true,
    }
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
    let mut events = tokens(&api.client(), &scope(&["a", "b"]));
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
    let mut events = tokens(&api.client(), &scope(&[]));
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
    let mut events = target_secrets(&api.client(), &scope(&[]));
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
        received(&mut namespaces(&client, &scope(&["b"]))).await,
        ["init", "?b", "done"]
    );
    assert_eq!(
        received(&mut namespaces(&client, &scope(&[]))).await,
        ["init", "?a", "?b", "done"]
    );
    api.forget_requests();
    let without = Scope {
        cluster_providers: false,
        ..scope(&[])
    };
    assert_eq!(received(&mut namespaces(&client, &without)).await, ["init", "done"]);
    assert_eq!(received(&mut providers(&client, &without)).await, ["init", "done"]);
    assert_eq!(api.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn one_secret_is_followed_by_name() {
    let api = FakeApi::new();
    let create = |name: &str| api.create(json!({"kind": "Secret", "metadata": {"name": name, "namespace": "a"}}));
    create("other");
    let mut states = secret(&api.client(), &Name::new("a", "key")).boxed();
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
