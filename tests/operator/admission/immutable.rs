//! What may not be changed in a RealtimeToken that is there.

use serde_json::{Value, json};

use super::rules::messages::IMMUTABLE;
use super::{ApiServer, Kind, merge};

#[tokio::test]
async fn the_targets_name_is_immutable() {
    let server = ApiServer::new().await;
    let url = server.url(Kind::Token);
    for (name, target) in [("implicit", json!({})), ("explicit", json!({"name": "other"}))] {
        let spec = merge(&Kind::Token.spec(), &json!({"suspend": true, "target": target}));
        let object = super::object(Kind::Token, name, &spec);
        server.send("POST", &url, &object).await.unwrap();
    }
    let change = async |name: &str, target: Value| {
        server
            .send("PATCH", &format!("{url}/{name}"), &json!({"spec": {"target": target}}))
            .await
    };
    // Whether a name that is left out changes is seen by the rule on the spec as a whole.
    for (name, target, field) in [
        ("implicit", json!({"name": "other"}), "spec"),
        ("explicit", json!({"name": "another"}), "spec.target.name"),
        ("explicit", json!({"name": "explicit"}), "spec.target.name"),
        ("explicit", json!({"name": null}), "spec"),
        ("explicit", Value::Null, "spec"),
    ] {
        let complaints = change(name, target.clone()).await.unwrap_err();
        assert!(
            matches!(&complaints[..], [one] if one.field == field && one.text.ends_with(IMMUTABLE)),
            "{name} {target}: {complaints:?}"
        );
    }
    // Writing down what holds anyway, taking it back, and changing the rest.
    for (name, target) in [
        ("implicit", json!({"name": "implicit", "deletionPolicy": "Retain"})),
        ("implicit", json!({"name": null})),
        ("implicit", Value::Null),
        (
            "explicit",
            json!({"name": "other", "template": {"metadata": {"labels": {"a": "b"}}}}),
        ),
    ] {
        let changed = change(name, target.clone()).await;
        assert!(changed.is_ok(), "{name} {target}: {changed:?}");
    }
}
