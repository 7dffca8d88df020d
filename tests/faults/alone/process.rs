//! The process dies, stands still, or has its Lease taken away.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use testkit::seed::Random;
use testkit::wait;

use crate::world::{Expected, Setup, World};

/// SIGKILL at any moment, again and again. A death costs the mints that were under way and nothing else.
#[tokio::test]
async fn killed_again_and_again() {
    let world = World::start(Setup::new("killed")).await;
    let mut random = Random::new(world.seed);
    let mut kills = 0;
    world.at(50).await;
    while world.since_issued() < Duration::from_secs(140) {
        // At rest, in the middle of its work, or before it has begun.
        if random.below(4) > 0 {
            world.pods[0].wait_ready(Duration::from_secs(60)).await.unwrap();
        }
        tokio::time::sleep(random.between(Duration::from_millis(50), Duration::from_secs(5))).await;
        world.pods[0].kill().await.unwrap();
        kills += 1;
    }
    let expected = Expected {
        extra_mints: kills,
        requests: 200 + 40 * kills as u64,
        restarts: kills,
        floor: 20,
        ..Expected::default()
    };
    world.finish(&expected).await;
}

/// A leader that stands still for longer than its Lease is replaced; when it goes on, it writes nothing.
#[tokio::test]
async fn a_leader_frozen_for_40_seconds_is_replaced() {
    let world = World::start(Setup::replicated("frozen-leader")).await;
    let leader = world.leaders().await[0];
    world.at(45).await;
    world.pods[leader].operator().await.freeze().unwrap();
    let other = &world.pods[1 - leader];
    wait::until("the other replica to lead", Duration::from_secs(30), async || {
        Ok(other.leads().await.then_some(()))
    })
    .await
    .unwrap();
    world.at(85).await;
    world.pods[leader].operator().await.thaw().unwrap();
    world.at(140).await;
    assert_eq!(world.leaders().await, [1 - leader]);
    let expected = Expected {
        floor: 40,
        ..Expected::default()
    };
    world.finish(&expected).await;
}

/// The Lease is deleted, emptied, given away and mangled every few seconds.
#[tokio::test]
async fn a_lease_in_the_wrong_hands() {
    let world = World::start(Setup::replicated("lease-edited")).await;
    let leases: Api<Lease> = world.platform.api();
    let name = "realtime-token-operator";
    let mut random = Random::new(world.seed);
    let mut edits = 0;
    world.at(30).await;
    while world.since_issued() < Duration::from_secs(130) {
        let spec = match random.below(5) {
            0 => None,
            1 => Some(json!({"holderIdentity": null})),
            2 => Some(json!({"holderIdentity": "another", "leaseDurationSeconds": 3})),
            3 => Some(json!({"leaseDurationSeconds": null, "renewTime": null})),
            _ => Some(json!({"renewTime": "2037-01-01T00:00:00.000000Z"})),
        };
        let edited = match spec {
            None => leases.delete(name, &DeleteParams::default()).await.map(drop),
            Some(spec) => {
                let patch = Patch::Merge(json!({"spec": spec}));
                leases.patch(name, &PatchParams::default(), &patch).await.map(drop)
            }
        };
        // There is none just after a deletion.
        let missing = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
        if let Err(error) = &edited {
            assert!(missing(error), "{error}");
        }
        edits += 1;
        tokio::time::sleep(random.between(Duration::from_secs(3), Duration::from_secs(9))).await;
    }
    let expected = Expected {
        // Each may end a term while a mint is under way.
        extra_mints: edits,
        requests: 400 + 40 * edits as u64,
        lease_requests: 5 * edits as u64,
        floor: 20,
        ..Expected::default()
    };
    world.finish(&expected).await;
}
