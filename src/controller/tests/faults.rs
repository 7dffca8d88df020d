//! For every n, the n-th request fails in every way. Afterwards everything is as if it had not.

use super::*;
use crate::testing::{Fault, MintFault};

/// Requests of [`life`] that can fail.
const REQUESTS: usize = 14;
/// The longest that a fault may delay: one answer that never comes, and the backoff after it.
const GRACE: u64 = 60;

pub(super) const FAULTS: [Fault; 7] = [
    Fault::Status(500),
    Fault::Status(409),
    Fault::Status(429),
    Fault::ResetBefore,
    Fault::ResetAfter,
    Fault::Hang,
    Fault::HangAfter,
];

/// A first token, a changed label, a renewal.
pub(super) async fn life(fleet: &Fleet) {
    fleet.create("voice");
    fleet.pass(60).await;
    let labels = json!({"team": "voice"});
    fleet.edit(
        "voice",
        json!({"spec": {"target": {"template": {"metadata": {"labels": labels}}}}}),
    );
    fleet.pass(280 + GRACE).await;
}

/// The life went as it should.
#[track_caller]
pub(super) fn assert_lived(fleet: &Fleet, context: &str) {
    fleet.assert_settled("voice", context);
    let secret = fleet.secret("voice").unwrap();
    assert_eq!(revision(&secret), Some(2), "{context}");
    assert_eq!(secret["metadata"]["labels"]["team"], "voice", "{context}");
}

#[tokio::test(start_paused = true)]
async fn without_a_fault() {
    let fleet = Fleet::new(600);
    life(&fleet).await;
    assert_lived(&fleet, "no fault");
    assert_eq!(fleet.provider.count(), 2);
    let requests = fleet.api.requests();
    let single = requests
        .iter()
        .filter(|request| !matches!(request.verb, "list" | "watch"));
    let count = single.count();
    assert!(
        count <= REQUESTS,
        "{count} requests, of which {REQUESTS} are made to fail"
    );
}

#[tokio::test(start_paused = true)]
async fn the_nth_request_to_the_kubernetes_api_fails() {
    for fault in FAULTS {
        for nth in 1..=REQUESTS {
            let context = format!("{fault:?} at request {nth}");
            let mut fleet = Fleet::new(600);
            fleet.api.fail_nth(nth, fault);
            life(&fleet).await;
            assert_lived(&fleet, &context);
            assert_eq!(fleet.provider.count(), 2, "{context}");
            fleet.kill();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_nth_watch_or_list_fails() {
    for fault in FAULTS {
        for nth in 1..=12 {
            let context = format!("{fault:?} at list or watch {nth}");
            let mut fleet = Fleet::new(600);
            fleet
                .api
                .fail_nth_of(|request| matches!(request.verb, "list" | "watch"), nth, fault);
            life(&fleet).await;
            assert_lived(&fleet, &context);
            assert_eq!(fleet.provider.count(), 2, "{context}");
            fleet.kill();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_nth_mint_fails() {
    let limit = Some(SignedDuration::from_secs(15));
    for fault in [
        MintFault::Unavailable,
        MintFault::Throttled(limit),
        MintFault::Throttled(None),
        MintFault::Hang,
        MintFault::Panic,
    ] {
        for nth in 1..=2 {
            let context = format!("{fault:?} at mint {nth}");
            let mut fleet = Fleet::new(600);
            fleet.provider.fail_nth(nth, fault);
            life(&fleet).await;
            fleet.pass(60).await;
            fleet.assert_settled("voice", &context);
            assert_eq!((fleet.provider.count(), fleet.provider.tokens()), (3, 2), "{context}");
            fleet.kill();
        }
    }
}

/// Asking again changes nothing, so it is asked again after minutes; a changed key is tried at once.
#[tokio::test(start_paused = true)]
async fn a_rejected_key_is_tried_again_when_it_changes() {
    let fleet = Fleet::new(600);
    fleet.provider.fail(MintFault::KeyRejected);
    fleet.create("voice");
    fleet.pass(25).await;
    assert_eq!(fleet.provider.count(), 1);
    assert_eq!(
        fleet.condition("voice", ConditionType::Ready),
        ("False".into(), "CredentialRejected".into())
    );
    assert_eq!(fleet.events("voice"), ["CredentialRejected"]);
    fleet.provider.recover();
    let key = json!({"data": {"api-key": base64("sk-2")}});
    fleet.api.edit("secrets", NAMESPACE, "openai", &key);
    fleet.pass(3).await;
    fleet.assert_settled("voice", "new key");
    assert_eq!(fleet.provider.calls().last().unwrap().key, "sk-2");
}

/// The token is kept and written once the API server lets it pass; the status says what is going on.
#[tokio::test(start_paused = true)]
async fn a_secret_that_may_not_be_written() {
    let fleet = Fleet::new(1800);
    let creates = |request: &crate::testing::Request| request.resource == "secrets" && request.verb == "create";
    fleet.api.refuse(creates, "no tokens today");
    fleet.create("voice");
    fleet.pass(120).await;
    let status = fleet.status("voice");
    assert_eq!(status.failed_mint_attempts, None);
    assert!(
        status.failed_write_attempts.is_some_and(|failed| failed > 2),
        "{status:?}"
    );
    assert_eq!(
        fleet.condition("voice", ConditionType::Ready),
        ("False".into(), "SecretWriteFailed".into())
    );
    assert_eq!(fleet.events("voice"), ["SecretWriteFailed"]);
    let tries = fleet.api.count("create", "secrets");
    assert!(tries <= 15, "{tries} tries in two minutes");
    fleet.api.recover();
    fleet.pass(61).await;
    fleet.assert_settled("voice", "allowed again");
    assert_eq!(fleet.provider.count(), 1, "the token was kept");
}

/// A policy's webhook that is down fails every write: the status follows the clock all the same, and names it.
#[tokio::test(start_paused = true)]
async fn a_write_that_fails_does_not_freeze_the_status() {
    let fleet = Fleet::new(600);
    fleet.create("voice");
    fleet.pass(60).await;
    let patches = |request: &crate::testing::Request| request.resource == "secrets" && request.verb == "patch";
    let message = "failed calling webhook \"policy.example\": no endpoints available";
    fleet.api.refuse_as(500, patches, message);
    fleet.pass(500).await;
    let failed = ("True".to_owned(), "SecretWriteFailed".to_owned());
    assert_eq!(fleet.condition("voice", ConditionType::Renewing), failed);
    fleet.pass(90).await;
    let ended = ("False".to_owned(), "SecretWriteFailed".to_owned());
    assert_eq!(fleet.condition("voice", ConditionType::Ready), ended);
    let status = fleet.status("voice");
    assert!(status.conditions[0].message.contains("policy.example"), "{status:?}");
    assert!(fleet.events("voice").contains(&"SecretWriteFailed".to_owned()));
    assert_eq!(fleet.provider.count(), 2, "the token is kept");
    fleet.api.recover();
    fleet.pass(61).await;
    assert_eq!(fleet.condition("voice", ConditionType::Ready).0, "True");
}

/// Nothing is asked of a provider whose answer could not be stored for as long as the API server is away.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_away_for_long() {
    let fleet = Fleet::new(600);
    fleet.create("voice");
    fleet.pass(60).await;
    fleet.api.forget_requests();
    fleet.api.go_away();
    for _ in 0..900 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let mints = fleet.provider.count();
    let requests = fleet.api.requests().into_iter();
    let single = requests.filter(|request| !matches!(request.verb, "list" | "watch"));
    let single = single.count();
    // One each five seconds for all tokens together, and those of its own backoff.
    assert!(single < 400, "{single} requests in 900 s beside those of the watches");
    fleet.api.recover();
    tokio::time::sleep(Duration::from_secs(60)).await; // the longest backoff
    fleet.assert_settled("voice", "back again");
    assert!(
        mints <= 3 && fleet.provider.count() <= 4,
        "{mints}, {}",
        fleet.provider.count()
    );
}
