//! Two replicas and a Lease: one works, the other takes over, and never do both write.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use serde_json::json;
use testkit::operator::Operator;
use testkit::standin::Fault;
use testkit::wait;

use crate::world::{Case, DEADLINE, World, token_json};

/// Two replicas on a Lease that runs out after nine seconds: a leader pauses after eight without an answer, which a busy
/// machine must not bring about.
const ARGS: [&str; 3] = ["--leader-elect", "--lease-duration-seconds", "9"];
const LEASE: Duration = Duration::from_secs(9);

async fn leads(operator: &Operator) -> bool {
    let metrics = operator.metrics().await.unwrap_or_default();
    metrics.contains("realtime_token_leader 1\n")
}

async fn until_leading(operator: &Operator) {
    wait::until("the standby to lead", DEADLINE, async || {
        Ok(leads(operator).await.then_some(()))
    })
    .await
    .unwrap();
}

/// One that has led before.
async fn until_standing_by(operator: &Operator) {
    wait::until("the old leader to stand by", DEADLINE, async || {
        let stands_by = !leads(operator).await && operator.logs().contains("standing by");
        Ok(stands_by.then_some(()))
    })
    .await
    .unwrap();
}

async fn holder(world: &World) -> Option<String> {
    let leases: Api<Lease> = world.platform.api();
    let lease = leases.get("realtime-token-operator").await.unwrap();
    lease.spec.unwrap().holder_identity
}

/// One token, and a second replica that stands by.
async fn two(world: &World, case: &Case<'_>) -> Operator {
    case.create("voice", case.openai()).await;
    case.condition("voice", "Ready", "True", "Issued").await;
    let standby = world.replica().await;
    assert!(leads(&*world.operator.lock().await).await);
    assert!(!leads(&standby).await, "ready, and yet it only stands by");
    standby
}

#[tokio::test]
async fn a_leader_that_ends_gives_the_lease_up_and_nothing_is_minted_again() {
    let world = World::with_own_operator("handover", &ARGS).await;
    let case = world.case("handover").await;
    let standby = two(&world, &case).await;
    let first = holder(&world).await;

    let mut leader = world.operator.lock().await;
    leader.sigterm().unwrap();
    let status = leader.wait_exit(DEADLINE).await.unwrap();
    assert!(status.success(), "{status}\n{}", leader.logs());
    let ended = Instant::now();
    until_leading(&standby).await;
    // A tenth of the margin is the look-out of a standby; a Lease that was not given up would hold for all of it.
    assert!(
        ended.elapsed() < LEASE,
        "took over after {:?}: the Lease was not given up",
        ended.elapsed()
    );
    assert_ne!(holder(&world).await, first);

    case.settle().await;
    assert_eq!(case.calls().len(), 1, "a new leader mints nothing anew");
    case.force("voice", "1").await;
    case.revision("voice", 2).await;
    assert_eq!(case.calls().len(), 2);
}

#[tokio::test]
async fn a_leader_that_is_killed_is_replaced_once_its_lease_has_run_out() {
    let world = World::with_own_operator("killed", &ARGS).await;
    let case = world.case("killed").await;
    let standby = two(&world, &case).await;
    world.operator.lock().await.kill().unwrap();
    case.force("voice", "1").await;
    case.revision("voice", 2).await;
    assert!(leads(&standby).await);
    assert_eq!(case.calls().len(), 2, "what was due, and no more");
}

/// A leader that sleeps through the end of its Lease, in the middle of a mint, wakes up with a token in hand and has
/// nothing to say any more.
#[tokio::test]
async fn a_leader_that_was_frozen_past_its_lease_writes_nothing_and_stands_by() {
    let world = World::with_own_operator("frozen", &ARGS).await;
    let case = world.case("frozen").await;
    let standby = two(&world, &case).await;
    let mut leader = world.operator.lock().await;

    // Its answer comes while the leader is frozen, and waits in its socket.
    case.fail(Fault::Delay(Duration::from_secs(8)));
    case.force("voice", "1").await;
    case.calls_reach(2).await;
    leader.freeze().unwrap();
    case.heal();
    until_leading(&standby).await;
    let stored = case.revision("voice", 2).await;
    assert_eq!(case.calls().len(), 3, "the new leader asks for itself");

    leader.thaw().unwrap();
    until_standing_by(&leader).await;
    let logs = leader.logs();
    assert!(
        logs.contains("could not renew the Lease") || logs.contains("lost the Lease"),
        "{logs}"
    );
    case.settle().await;
    let secret = case.secrets().get("voice").await.unwrap();
    assert_eq!(token_json(&secret), token_json(&stored));
    assert_eq!(secret.metadata.resource_version, stored.metadata.resource_version);
}

#[tokio::test]
async fn a_leader_cut_off_from_its_lease_stops_before_another_may_start() {
    let world = World::with_own_operator("taken", &ARGS).await;
    let case = world.case("taken").await;
    case.create("voice", case.openai()).await;
    case.condition("voice", "Ready", "True", "Issued").await;
    // An administrator gives the Lease to another holder.
    let leases: Api<Lease> = world.platform.api();
    let patch = json!({"spec": {"holderIdentity": "another", "leaseDurationSeconds": 60}});
    leases
        .patch(
            "realtime-token-operator",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(patch),
        )
        .await
        .unwrap();
    let leader = world.operator.lock().await;
    until_standing_by(&leader).await;
    let logs = leader.logs();
    assert!(
        logs.contains("lost the Lease realtime-token-operator to another"),
        "{logs}"
    );
    assert_eq!(holder(&world).await.as_deref(), Some("another"));
    case.force("voice", "1").await;

    // The other gives it up: the same process goes on.
    let patch = json!({"spec": {"holderIdentity": ""}});
    leases
        .patch(
            "realtime-token-operator",
            &kube::api::PatchParams::default(),
            &kube::api::Patch::Merge(patch),
        )
        .await
        .unwrap();
    until_leading(&leader).await;
    case.revision("voice", 2).await;
    assert_eq!(case.calls().len(), 2, "what was asked for meanwhile");
}
