//! For every n, the process dies at the n-th request, before or after it was applied, and another takes over.

use super::faults::{assert_lived, life};
use super::*;
use crate::testing::Fault;

/// Kills the process as soon as the planned fault happens, and starts another.
async fn live_with_a_death(fleet: &mut Fleet, nth: usize, fault: Fault) {
    fleet.api.fail_nth(nth, fault);
    let death = fleet.api.next_fault();
    let other = Fleet {
        api: fleet.api.clone(),
        provider: fleet.provider.clone(),
        process: None,
        endpoints: EndpointPolicy::default(),
        connection: fleet.connection.clone(),
        metrics: Arc::clone(&fleet.metrics),
        issuer: Arc::clone(&fleet.issuer),
        health: Arc::clone(&fleet.health),
    };
    tokio::join!(life(&other), async {
        if tokio::time::timeout(Duration::from_secs(300), death).await.is_ok() {
            fleet.kill();
            fleet.start();
        }
    });
}

#[tokio::test(start_paused = true)]
async fn the_process_dies_at_the_nth_request() {
    for fault in [Fault::Hang, Fault::HangAfter] {
        for nth in 1..=14 {
            let context = format!("death at request {nth}, {fault:?}");
            let mut fleet = Fleet::new(600);
            live_with_a_death(&mut fleet, nth, fault).await;
            assert_lived(&fleet, &context);
            // A token that was minted and not stored is lost with the process, and minted again.
            let mints = fleet.provider.count();
            assert!((2..=3).contains(&mints), "{context}: {mints} mints");
            fleet.kill();
        }
    }
}
