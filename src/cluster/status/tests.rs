//! A status write says what disappears.

use super::*;
use crate::testing::{FakeApi, Fault};

fn name() -> Name {
    Name::new("shop", "voice")
}

fn api() -> FakeApi {
    let api = FakeApi::new();
    api.create(json!({
        "kind": "RealtimeToken", "metadata": {"name": "voice", "namespace": "shop"},
        "spec": {"openai": {"model": "m"}, "credentials": {"secretRef": {"name": "openai"}}},
    }));
    api
}

fn status(api: &FakeApi) -> Value {
    api.get("realtimetokens", "shop", "voice").unwrap()["status"].clone()
}

#[tokio::test(start_paused = true)]
async fn fields_that_are_no_longer_set_are_removed() {
    let api = api();
    let client = api.client();
    let first = json!({"revision": 1, "failedMintAttempts": 3, "nextAttemptTime": "t"});
    of_token(&client, &name(), &json!({}), &first).await.unwrap();
    let second = json!({"revision": 2});
    let version = of_token(&client, &name(), &first, &second).await.unwrap();
    assert_eq!(status(&api), second);
    let sent = api.requests().pop().unwrap();
    assert!(sent.status && sent.metadata_only && sent.manager == MANAGER);
    let nulls = json!({"status": {"revision": 2, "failedMintAttempts": null, "nextAttemptTime": null}});
    assert_eq!(sent.body, nulls);
    let stored = api.get("realtimetokens", "shop", "voice").unwrap();
    assert_eq!(stored["metadata"]["resourceVersion"], version);
    assert_eq!(stored["metadata"]["generation"], 1);
}

#[tokio::test(start_paused = true)]
async fn of_an_object_that_cannot_be_read_only_the_conditions_change() {
    let api = api();
    let client = api.client();
    let condition = |type_: &str| {
        json!({
            "type": type_, "status": "False", "reason": "InvalidSpec", "message": "m",
            "lastTransitionTime": "2027-01-01T00:00:00Z",
        })
    };
    let status_before = json!({"revision": 4, "conditions": [condition("Ready")]});
    api.edit_status("realtimetokens", "shop", "voice", &status_before);
    api.edit(
        "realtimetokens",
        "shop",
        "voice",
        &json!({"spec": {"openai": {"model": 5}}}),
    );
    let new: Vec<Condition> = serde_json::from_value(json!([condition("Ready"), condition("Renewing")])).unwrap();
    of_unreadable(&client, &name(), Some(2), &new).await.unwrap();
    let after = status(&api);
    assert_eq!(
        (&after["revision"], &after["observedGeneration"]),
        (&json!(4), &json!(2))
    );
    assert_eq!(after["conditions"], json!(new));
}

#[tokio::test(start_paused = true)]
async fn failures_are_told_apart() {
    let api = api();
    let client = api.client();
    let nothing = json!({});
    let write = async || of_token(&client, &name(), &nothing, &json!({"revision": 1})).await;
    for (fault, expected) in [
        (Fault::Status(409), "Conflict"),
        (Fault::Status(422), "Refused"),
        (Fault::Status(429), "Unavailable"),
        (Fault::Status(500), "Unavailable"),
        (Fault::ResetBefore, "Unavailable"),
        (Fault::Hang, "Unavailable"),
    ] {
        api.fail_nth(1, fault);
        let error = format!("{:?}", write().await.unwrap_err());
        assert!(error.starts_with(expected), "{fault:?}: {error}");
    }
    api.refuse(|request| request.status, "policy says no");
    let error = write().await.unwrap_err().to_string();
    assert_eq!(error, "the API server refused with 403 Forbidden: policy says no");
    api.recover();
    api.delete("realtimetokens", "shop", "voice");
    assert!(matches!(write().await, Err(ClusterError::NotFound)));
}
