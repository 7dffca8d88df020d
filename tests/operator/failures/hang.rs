//! A provider that takes calls and never answers.

use futures::future::join_all;
use jiff::Timestamp;
use testkit::standin::Fault;

use crate::expect::{AT_ONCE, last_failure, message, seconds};
use crate::world::{holds, world};

/// More than the operator reconciles at a time, and far more than one credential may have in flight.
const HANGING: usize = 100;
const IN_FLIGHT: usize = 16;

#[tokio::test]
async fn a_provider_that_hangs_holds_up_its_own_credential_only() {
    let case = world().await.case("hang").await;
    case.fail(Fault::Hang);
    let names: Vec<String> = (0..HANGING).map(|n| format!("hangs-{n}")).collect();
    join_all(names.iter().map(|name| case.create(name, case.spec(name)))).await;
    let first = case.calls_reach(IN_FLIGHT).await[0].clone();
    let stuck = names
        .iter()
        .find(|name| first.identity == Some(case.identity(name)))
        .unwrap();

    let bystander = world().await.case("bystander").await;
    let created = Timestamp::now();
    bystander.create("free", bystander.spec("free")).await;
    bystander.recovered("free", 1).await;
    let free = bystander.calls_of("free")[0].time.duration_since(created);
    assert!(free < AT_ONCE, "another credential's mint came after {free:?}");
    // Those of which none can have been given up yet.
    let given_up = first.time + seconds(19.0);
    let in_flight = case.calls().iter().filter(|call| call.time < given_up).count();
    assert_eq!(in_flight, IN_FLIGHT, "no credential has more calls in flight");

    case.heal();
    let status = case
        .patiently(stuck, |status| holds(status, "Renewing", "True", "MintFailed"))
        .await;
    let ended = last_failure(&status).duration_since(first.time).as_secs_f64();
    assert!((19.0..26.0).contains(&ended), "given up after {ended} s");
    let text = message(&status, "Ready");
    assert!(text.contains("no complete answer from 127.0.0.1 within 20 s"), "{text}");
    case.event(stuck, "MintFailed").await;

    join_all(names.iter().map(|name| case.recovered(name, 1))).await;
    assert_eq!(
        case.calls().len(),
        HANGING + IN_FLIGHT,
        "one token each, and those that were never answered"
    );
    case.assert_strict();
    bystander.assert_strict();
}
