//! Secrets with a connection while requests to the API server fail and the process dies or starts anew.

use super::*;
use crate::testing::Fault;

/// For every n, the n-th request fails in every way: afterwards everything is as if it had not.
#[tokio::test(start_paused = true)]
async fn the_nth_request_fails() {
    for fault in faults::FAULTS {
        for nth in 1..=8 {
            let context = format!("{fault:?} at request {nth}");
            let (mut fleet, ca) = fleet();
            fleet.api.fail_nth(nth, fault);
            fleet.create_requested("voice", "Connection");
            fleet.pass(30).await;
            ca.send(connection("ca-2")).unwrap();
            fleet.pass(90).await;
            fleet.assert_only_connected("ca-2");
            let status = fleet.status("voice");
            assert_eq!(
                (status.failed_write_attempts, fleet.provider.count()),
                (None, 0),
                "{context}"
            );
            fleet.kill();
        }
    }
}

/// The process dies between any two requests.
#[tokio::test(start_paused = true)]
async fn the_process_dies_at_the_nth_request() {
    for nth in 1..=8 {
        let (mut fleet, _ca) = fleet();
        fleet.create("voice");
        fleet.pass(30).await;
        fleet.api.fail_nth(nth, Fault::ResetAfter);
        let death = fleet.api.next_fault();
        fleet.edit("voice", requested("Connection"));
        if tokio::time::timeout(Duration::from_secs(60), death).await.is_ok() {
            fleet.kill();
            fleet.start();
        }
        fleet.pass(60).await;
        fleet.assert_only_connected("ca-1");
        assert_eq!(fleet.provider.count(), 1, "{nth}");
        let death = fleet.api.next_fault();
        fleet.api.fail_nth(nth, Fault::ResetAfter);
        fleet.edit("voice", requested("Token"));
        if tokio::time::timeout(Duration::from_secs(60), death).await.is_ok() {
            fleet.kill();
            fleet.start();
        }
        fleet.pass(60).await;
        fleet.assert_settled("voice", &format!("{nth}"));
        fleet.assert_connected("voice", "ca-1");
        assert!(fleet.provider.count() <= 3, "{nth}: one may be lost with the process");
        fleet.kill();
    }
}

/// A restart finds the Secrets as they should be and writes nothing, neither before the certificate is known nor after.
#[tokio::test(start_paused = true)]
async fn a_restart_writes_nothing() {
    let (mut fleet, _ca) = fleet();
    fleet.create_requested("voice", "Connection");
    fleet.create_requested("both", "Token");
    fleet.pass(30).await;
    fleet.kill();
    let (ca, later) = watch::channel(None);
    fleet.connection = Some(later);
    fleet.api.forget_requests();
    fleet.start();
    fleet.pass(60).await;
    assert_eq!(fleet.writes(), (0, 0, 0));
    ca.send(connection("ca-1")).unwrap();
    fleet.pass(60).await;
    assert_eq!(fleet.writes(), (0, 0, 0));
    fleet.assert_only_connected("ca-1");
}
