//! What an application is answered that asks in the wrong way.

use serde_json::json;

use super::{Site, said};
use crate::mistakes::{hold, made};

#[tokio::test]
async fn what_an_application_is_answered() {
    let site = Site::new().await;
    let replica = site.replica(&[]).await;
    site.token("voice", json!({"subject": "Required"}));
    site.account("stranger", &["realtimetokens"]);
    let app = site.caller(&replica, "app", "voice").await;
    let stranger = site.caller(&replica, "stranger", "voice").await;
    let nobody = site.caller_with(&replica, "voice", "hello".to_owned()).await;
    let mut all = Vec::new();
    for (typed, remedy, caller, body, expected) in [
        (
            "without the right",
            "bind it there to a Role",
            &stranger,
            "",
            "Forbidden",
        ),
        ("with another token", "audience", &nobody, "", "Unauthenticated"),
        (
            "without a subject",
            "say who the token is for",
            &app,
            "",
            "SubjectRequired",
        ),
        (
            "with what may not be overridden",
            "leave it out",
            &app,
            r#"{"subject": "u1", "overrides": {"openai": {"session": {"instructions": "x"}}}}"#,
            "NotOverridable",
        ),
    ] {
        let answer = caller.ask(body).await.unwrap();
        assert_eq!(said(&answer).1, expected, "{}", answer.body);
        all.push(made(typed, remedy, answer.body["detail"].as_str().unwrap()));
    }
    hold(super::MISTAKES, &all);
}
