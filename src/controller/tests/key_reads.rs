//! Key Secrets whose reads fail for long: what goes on without them, and how many requests that costs.

use super::*;
use crate::testing::{Fault, Request};

const TOKENS: usize = 20;

fn reads_key(request: &Request) -> bool {
    request.verb == "get" && request.resource == "secrets" && request.name == "openai"
}

fn fleet_of_tokens() -> Fleet {
    let fleet = Fleet::new(3600);
    for n in 0..TOKENS {
        fleet.create(&format!("voice-{n}"));
    }
    fleet
}

/// Its last read is not current any more.
fn edit_key_label(fleet: &Fleet) {
    let patch = json!({"metadata": {"labels": {"edited": "true"}}});
    fleet.api.edit("secrets", NAMESPACE, "openai", &patch);
}

fn labelled() -> Value {
    json!({"spec": {"target": {"template": {"metadata": {"labels": {"team": "voice"}}}}}})
}

/// As of a Secret that the API server can't decrypt. An edit that needs no key is done, and the status says so.
#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_read_for_long_holds_up_no_status() {
    let fleet = fleet_of_tokens();
    fleet.pass(60).await;
    fleet.api.break_down(reads_key, Fault::Status(500));
    // So that the last read is not relied on any more.
    fleet.api.edit(
        "secrets",
        NAMESPACE,
        "openai",
        &json!({"metadata": {"labels": {"edited": "true"}}}),
    );
    let label = json!({"spec": {"target": {"template": {"metadata": {"labels": {"team": "voice"}}}}}});
    fleet.edit("voice-3", label);
    fleet.api.forget_requests();
    fleet.pass(120).await;
    let secret = fleet.secret("voice-3").unwrap();
    assert_eq!(secret["metadata"]["labels"]["team"], "voice");
    let generation = fleet.api.get("realtimetokens", NAMESPACE, "voice-3").unwrap()["metadata"]["generation"].as_i64();
    assert_eq!(fleet.status("voice-3").observed_generation, generation);

    fleet.api.forget_requests();
    fleet.pass(600).await;
    let requests = fleet.api.requests();
    let reads = requests.iter().filter(|it| reads_key(it)).count();
    assert!(reads <= 12, "{reads} reads in ten minutes");
    let others = requests
        .iter()
        .filter(|it| it.verb != "watch" && !reads_key(it))
        .count();
    assert!(others <= 2, "{others} other requests in ten minutes: {requests:?}");
    assert_eq!(fleet.provider.count(), TOKENS, "no mint without a key");

    fleet.api.recover();
    fleet.api.edit(
        "secrets",
        NAMESPACE,
        "openai",
        &json!({"data": {"api-key": "c2stb3RoZXI="}}),
    );
    fleet.pass(90).await;
    assert_eq!(fleet.provider.count(), 2 * TOKENS, "the new key is noticed");
}

/// The requests of ten minutes in which the API server answers none, and all tokens have work to do.
async fn requests_in_an_outage(key_is_known: bool) -> usize {
    let mut fleet = fleet_of_tokens();
    fleet.pass(60).await;
    let single = |request: &Request| !matches!(request.verb, "list" | "watch");
    fleet.api.break_down(single, Fault::Status(500));
    if !key_is_known {
        edit_key_label(&fleet);
    }
    for n in 0..TOKENS {
        fleet.edit(&format!("voice-{n}"), labelled());
    }
    fleet.api.forget_requests();
    fleet.pass(600).await;
    fleet.kill();
    fleet.api.requests().iter().filter(|it| single(it)).count()
}

/// In an outage, looks that go on with what is known of a key do what looks do whose key needs no read, and no more.
#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_read_costs_no_further_requests_in_an_outage() {
    let (known, unknown) = (requests_in_an_outage(true).await, requests_in_an_outage(false).await);
    assert!(
        unknown < known + known / 10,
        "{unknown} requests, {known} where the key is known"
    );
}
