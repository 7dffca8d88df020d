//! A controller whose replica loses the Lease: it pauses, and goes on with what it remembers.

use super::*;
use crate::cluster::lease::LeaseLock;
use crate::leader::{Candidate, Switch, Terms};

fn writes(fleet: &Fleet) -> usize {
    let requests = fleet.api.requests();
    let of_work = requests.iter().filter(|request| request.resource != "leases");
    of_work
        .filter(|request| !matches!(request.verb, "get" | "list" | "watch"))
        .count()
}

impl Fleet {
    /// A replica that takes part in the election.
    fn candidate(&self) -> Candidate {
        Candidate {
            lock: LeaseLock::new(self.api.client(), OPERATOR, "lease".to_owned()),
            me: "me".to_owned(),
            terms: Terms::new(15),
            health: Arc::default(),
            metrics: Arc::clone(&self.metrics),
        }
    }
}

/// Secrets and statuses are left alone from the very moment; what was minted meanwhile is stored afterwards.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_the_lease_is_lost_and_no_token_is_lost() {
    for lost_after in [0, 1, 3, 5, 8, 12, 20, 100] {
        let (switch, leadership) = Switch::new();
        let mut fleet = Fleet::paused();
        fleet.start_with(leadership);
        switch.set(true);
        fleet.provider.slow(Duration::from_millis(8));
        fleet.pass(5).await;
        fleet.create("voice");
        tokio::time::sleep(Duration::from_millis(lost_after)).await;
        switch.set(false);
        // One that the API server has already may still be applied.
        tokio::time::sleep(Duration::from_millis(2)).await;
        let before = writes(&fleet);
        fleet.create("late");
        fleet.pass(120).await;
        assert_eq!(writes(&fleet), before, "lost after {lost_after} ms");
        switch.set(true);
        fleet.pass(5).await;
        for name in ["voice", "late"] {
            fleet.assert_settled(name, &format!("lost after {lost_after} ms"));
        }
        assert_eq!(
            fleet.provider.count_of("voice"),
            1,
            "lost after {lost_after} ms: minted once"
        );
        fleet.kill();
    }
}

/// Another replica mints for them meanwhile.
#[tokio::test(start_paused = true)]
async fn a_mint_that_waits_for_others_does_not_begin_while_the_lease_is_lost() {
    let (switch, leadership) = Switch::new();
    let mut fleet = Fleet::paused();
    fleet.start_with(leadership);
    switch.set(true);
    fleet.provider.slow(Duration::from_secs(5));
    let names: Vec<_> = (0..100).map(|n| format!("voice-{n}")).collect();
    names.iter().for_each(|name| fleet.create_with_key(NAMESPACE, name));
    fleet.pass(3).await;
    assert_eq!(fleet.provider.calls().len(), 64);
    switch.set(false);
    fleet.pass(60).await;
    assert_eq!(fleet.provider.calls().len(), 64);
    switch.set(true);
    fleet.pass(60).await;
    assert_eq!(fleet.provider.count(), 100);
    names
        .iter()
        .for_each(|name| fleet.assert_settled(name, "the Lease is back"));
}

/// What is edited while the Lease is lost is what counts afterwards.
#[tokio::test(start_paused = true)]
async fn edits_of_the_meantime_count() {
    let (switch, leadership) = Switch::new();
    let mut fleet = Fleet::paused();
    fleet.start_with(leadership);
    switch.set(true);
    fleet.create("voice");
    fleet.pass(30).await;
    switch.set(false);
    fleet.edit("voice", json!({"spec": {"openai": {"model": "first"}}}));
    fleet.pass(10).await;
    fleet.edit("voice", json!({"spec": {"openai": {"model": "second"}}}));
    fleet.api.delete("secrets", NAMESPACE, "voice");
    fleet
        .api
        .edit_status("realtimetokens", NAMESPACE, "voice", &json!({"conditions": []}));
    fleet.pass(60).await;
    switch.set(true);
    fleet.pass(10).await;
    fleet.assert_settled("voice", "leading again");
    let calls = fleet.provider.calls();
    let subjects: Vec<_> = calls.iter().map(|call| call.subject.as_str()).collect();
    assert_eq!(subjects, ["voice", "second"]);
}

/// With the election itself: an API server that is away long enough to cost the Lease, in the middle of a rotation.
#[tokio::test(start_paused = true)]
async fn an_outage_that_costs_the_lease_costs_no_token() {
    for began in (300..345).step_by(5) {
        let fleet = Fleet::paused();
        let candidate = fleet.candidate();
        let stop = CancellationToken::new();
        let options = fleet.options();
        let led = candidate.lead(|leadership| run(options.clone(), leadership, stop.clone()), &stop);
        let scenario = async {
            fleet.create("voice");
            fleet.pass(began).await;
            fleet.api.go_away();
            tokio::time::sleep(Duration::from_secs(25)).await;
            assert!(fleet.metric("realtime_token_leader") == 0.0, "the Lease is lost");
            fleet.api.recover();
            fleet.pass(40).await;
            let context = format!("away from {began} s on");
            assert!(fleet.metric("realtime_token_leader") == 1.0, "{context}");
            fleet.pass(360 - began).await;
            fleet.assert_settled("voice", &context);
            let violations = fleet.metric("realtime_token_freshness_violations_total");
            assert!(violations == 0.0, "{context}: the floor is broken");
            assert_eq!(fleet.provider.count(), 2, "{context}");
        };
        tokio::select! {
            () = led => unreachable!("it is not stopped"),
            () = scenario => {}
        }
    }
}

/// With two replicas, and one of them cut off: it drops its work when the other leads, and shows none of its series.
#[tokio::test(start_paused = true)]
async fn one_that_another_replaces_drops_what_it_knew() {
    let fleet = Fleet::paused();
    let candidate = fleet.candidate();
    let stop = CancellationToken::new();
    let options = fleet.options();
    let led = candidate.lead(|leadership| run(options.clone(), leadership, stop.clone()), &stop);
    let scenario = async {
        fleet.create("voice");
        fleet.pass(30).await;
        let series = "realtime_token_ready{namespace=\"shop\",name=\"voice\"}";
        assert!(fleet.metric(series) == 1.0);
        let lease = |holder: &str| json!({"spec": {"holderIdentity": holder, "leaseDurationSeconds": 60}});
        fleet.api.edit("leases", OPERATOR, "lease", &lease("another"));
        fleet.pass(10).await;
        assert!(!fleet.metrics.render().contains(series));
        fleet.api.edit("leases", OPERATOR, "lease", &lease(""));
        fleet.pass(10).await;
        assert!(fleet.metric(series) == 1.0);
        fleet.pass(600).await;
        fleet.assert_settled("voice", "leading again");
    };
    tokio::select! {
        () = led => unreachable!("it is not stopped"),
        () = scenario => {}
    }
}
