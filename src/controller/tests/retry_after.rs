//! A Kubernetes API that says when to come back: for every request, or for one.

use super::*;
use crate::testing::{Fault, Request};

fn writes(request: &Request) -> bool {
    let single = !matches!(request.verb, "list" | "watch" | "get");
    single && matches!(request.resource, "realtimetokens" | "secrets")
}

/// The API server's own limit says for how long: no reconcile begins before.
#[tokio::test(start_paused = true)]
async fn retry_after_of_the_api_server_is_obeyed_by_all() {
    let fleet = Fleet::new(3600);
    fleet.api.break_down(writes, Fault::Throttled(20));
    for name in ["voice", "video"] {
        fleet.create(name);
    }
    fleet.pass(5).await;
    let before = fleet.api.requests().iter().filter(|it| writes(it)).count();
    fleet.create("late");
    fleet.pass(12).await;
    let after = fleet.api.requests().iter().filter(|it| writes(it)).count();
    assert_eq!(after, before, "within the twenty seconds");
    fleet.api.recover();
    fleet.pass(10).await;
    for name in ["voice", "video", "late"] {
        fleet.assert_settled(name, "after the twenty seconds");
    }
}

/// A webhook that is asked of each Secret of a tenant, and says when to come back, delays these Secrets alone: by their own
/// backoff, and with its words in their status.
#[tokio::test(start_paused = true)]
async fn retry_after_of_an_admission_webhook_delays_what_it_refused_alone() {
    let fleet = Fleet::new(3600);
    let names: Vec<_> = (0..4).map(|n| format!("voice-{n}")).collect();
    let refused = |request: &Request| {
        let is_others = request.name == "other" || request.body["metadata"]["name"] == "other";
        writes(request) && request.resource == "secrets" && !is_others
    };
    fleet.api.break_down(refused, Fault::WebhookThrottled(20));
    for name in &names {
        fleet.create(name);
    }
    fleet.pass(5).await;
    fleet.create("other");
    fleet.pass(2).await;
    fleet.assert_settled("other", "within the twenty seconds");
    fleet.pass(60).await;
    let conditions = json!(fleet.status(&names[0]).conditions).to_string();
    assert!(conditions.contains("scan.example.com"), "{conditions}");
    fleet.api.recover();
    fleet.pass(60).await;
    for name in &names {
        fleet.assert_settled(name, "after the webhook has recovered");
    }
    assert_eq!(fleet.provider.count(), names.len() + 1, "each token is kept and stored");
}
