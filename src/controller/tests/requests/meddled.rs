//! Secrets with a connection that others write to, own or delete.

use super::*;

/// No part of a token stays behind that another writer has touched.
#[tokio::test(start_paused = true)]
async fn an_edited_token_goes_too() {
    let (mut fleet, _ca) = fleet();
    fleet.create("voice");
    fleet.pass(30).await;
    fleet.kill();
    fleet.api.edit(
        "secrets",
        NAMESPACE,
        "voice",
        &json!({"data": {"token": base64("mine"), "note": base64("n")}}),
    );
    fleet.edit("voice", requested("Connection"));
    fleet.start();
    fleet.pass(10).await;
    assert_eq!(fleet.keys("voice"), ["note", "request-ca.crt", "request-url"]);
}

#[tokio::test(start_paused = true)]
async fn what_others_do_to_the_connection_is_put_right_without_a_mint() {
    for (content, mints) in [("Connection", 0), ("Token", 1)] {
        let (fleet, _ca) = fleet();
        fleet.create_requested("voice", content);
        fleet.pass(30).await;
        for edit in [json!("eA=="), json!(null)] {
            for key in ["request-url", "request-ca.crt"] {
                fleet
                    .api
                    .edit("secrets", NAMESPACE, "voice", &json!({"data": {key: edit}}));
                fleet.pass(60).await;
                assert_eq!(
                    fleet.secret("voice").unwrap()["data"]["request-url"],
                    base64(URL),
                    "{key} {edit}"
                );
                fleet.assert_connected("voice", "ca-1");
            }
        }
        // Changed and changed back, as a restored backup looks: the key is another's with the value that it should have.
        let (before, edits) = (
            fleet.secret("voice").unwrap()["data"]["request-url"].clone(),
            ["eA==", ""],
        );
        for value in edits {
            let value = if value.is_empty() { before.clone() } else { json!(value) };
            fleet
                .api
                .edit("secrets", NAMESPACE, "voice", &json!({"data": {"request-url": value}}));
        }
        fleet.pass(310).await;
        fleet.api.forget_requests();
        fleet.pass(400).await;
        assert_eq!(
            (fleet.writes(), fleet.provider.count()),
            ((0, 0, 0), mints),
            "{content}"
        );
        let renewing = fleet.condition("voice", ConditionType::Renewing);
        assert_eq!(renewing.0, "False", "{content}: {renewing:?}");
    }
}

/// A patch that leaves a value as it is gives it no owner: without one it would count as edited for ever.
#[tokio::test(start_paused = true)]
async fn keys_of_the_connection_that_are_nobodys_are_taken_over() {
    let (fleet, _ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.pass(30).await;
    fleet.api.disown("secrets", NAMESPACE, "voice");
    let note = json!({"data": {"note": "eA=="}});
    fleet.api.edit("secrets", NAMESPACE, "voice", &note);
    fleet.pass(310).await;
    fleet.api.forget_requests();
    fleet.pass(400).await;
    assert_eq!(fleet.writes(), (0, 0, 0));
    fleet.assert_connected("voice", "ca-1");
}

#[tokio::test(start_paused = true)]
async fn a_deleted_connection_is_written_again() {
    let (fleet, _ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.pass(30).await;
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.pass(2).await;
    fleet.assert_only_connected("ca-1");
    assert_eq!(fleet.writes(), (2, 0, 1));
    assert_eq!(fleet.provider.count(), 0);
}

/// Labels and retention are as with a token.
#[tokio::test(start_paused = true)]
async fn labels_and_owner_of_a_connection() {
    let (fleet, _ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.pass(30).await;
    fleet.api.forget_requests();
    let template = json!({"metadata": {"labels": {"team": "voice"}}});
    fleet.edit(
        "voice",
        json!({"spec": {"target": {"deletionPolicy": "Retain", "template": template}}}),
    );
    fleet.pass(5).await;
    let secret = fleet.secret("voice").unwrap();
    assert_eq!(secret["metadata"]["labels"]["team"], "voice");
    assert_eq!(secret["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(fleet.writes().1, 1);
    fleet.assert_only_connected("ca-1");
}

#[tokio::test(start_paused = true)]
async fn a_secret_of_another_owner_gets_no_connection() {
    let (fleet, _ca) = fleet();
    fleet.api.create(key_secret(NAMESPACE, "voice"));
    fleet.create_requested("voice", "Connection");
    fleet.pass(60).await;
    let is = |status: &str, reason: &str| (status.to_owned(), reason.to_owned());
    assert_eq!(
        fleet.condition("voice", ConditionType::Ready),
        is("False", "SecretConflict")
    );
    assert_eq!(fleet.keys("voice"), ["api-key"]);
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet.pass(35).await;
    fleet.assert_only_connected("ca-1");
}
