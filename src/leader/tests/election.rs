//! Two replicas and an API server that fails: never two leaders, and the Lease is acquired again.

use futures::future::{join, pending};
use parking_lot::Mutex;

use super::fake::{FakeApi, Fault};
use super::*;

const FAULTS: [Fault; 5] = [
    Fault::Status(500),
    Fault::Status(409),
    Fault::Hang,
    Fault::ResetBefore,
    Fault::ResetAfter,
];

/// A request that hangs, a look every two seconds, a Lease that must be seen unchanged for its duration, a claim.
const AGAIN: u64 = 5 + 2 + 15 + 2 + 2;

/// Who leads, and since when.
#[derive(Default)]
struct Leaders(Mutex<Log>);

#[derive(Default)]
struct Log {
    now: Option<String>,
    changes: Vec<(Instant, Option<String>)>,
}

impl Leaders {
    /// The work of a leader: it never ends by itself. Panics if another leads.
    async fn work(&self, me: &str) {
        self.change(None, Some(me));
        let _end = End(self, me);
        pending().await
    }

    fn change(&self, from: Option<&str>, to: Option<&str>) {
        let mut log = self.0.lock();
        let changes = &log.changes;
        assert_eq!(log.now.as_deref(), from, "{to:?} is to lead; so far: {changes:?}");
        log.now = to.map(str::to_owned);
        let change = (Instant::now(), log.now.clone());
        log.changes.push(change);
    }

    fn now(&self) -> Option<String> {
        self.0.lock().now.clone()
    }

    /// The leaders so far.
    fn names(&self) -> Vec<String> {
        let log = self.0.lock();
        log.changes.iter().filter_map(|(_, name)| name.clone()).collect()
    }

    /// When the leader last changed.
    fn last_change(&self) -> Instant {
        self.0.lock().changes.last().unwrap().0
    }
}

/// Ends the work when it is dropped.
struct End<'a>(&'a Leaders, &'a str);

impl Drop for End<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.0.change(Some(self.1), None);
        }
    }
}

fn candidate(api: &FakeApi, replica: &'static str, me: &str) -> Candidate {
    Candidate {
        lock: LeaseLock::new(api.client(replica), "rto", "lease".to_owned()),
        me: me.to_owned(),
        terms: TERMS,
        health: Arc::default(),
        metrics: Arc::new(Metrics::new(false)),
    }
}

/// A process that leads when it can, and is started anew, under another identity, when it has ended.
async fn replica(api: &FakeApi, name: &'static str, leaders: &Leaders) {
    for start in 1.. {
        let me = format!("{name}{start}");
        let work = leaders.work(&me);
        let ended = candidate(api, name, &me).lead(work, &CancellationToken::new()).await;
        assert!(ended.is_err(), "the work never ends");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Lets two replicas run while `scenario` does.
async fn two<T>(api: &FakeApi, leaders: &Leaders, scenario: impl Future<Output = T>) -> T {
    let replicas = join(replica(api, "a", leaders), replica(api, "b", leaders));
    tokio::select! {
        _ = replicas => unreachable!("replicas run for ever"),
        result = scenario => result,
    }
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn spec(api: &FakeApi) -> k8s_openapi::api::coordination::v1::LeaseSpec {
    api.lease().unwrap().spec.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_created_renewed_and_released() {
    let api = FakeApi::new(|_, _| None);
    let work = seconds(5);
    candidate(&api, "a", "a1")
        .lead(work, &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(api.requests(), ["GET", "POST a1", "PUT a1", "PUT a1", "PUT "]);
    let released = spec(&api);
    assert_eq!(released.holder_identity.as_deref(), Some(""));
    assert_eq!(released.lease_transitions, Some(0));

    let leaders = Leaders::default();
    two(&api, &leaders, seconds(3)).await;
    assert_eq!(leaders.names(), ["a1"], "a released Lease is acquired at once");
    let taken = spec(&api);
    assert_eq!(
        (taken.lease_transitions, taken.lease_duration_seconds),
        (Some(1), Some(15))
    );
}

#[tokio::test(start_paused = true)]
async fn a_replica_on_standby_only_reads_and_stops_when_told_to() {
    let api = FakeApi::new(|_, _| None);
    let leaders = Leaders::default();
    two(&api, &leaders, seconds(1)).await;
    let before = api.requests().len();
    let stop = CancellationToken::new();
    let standby = candidate(&api, "b", "b1");
    let stopped = async {
        seconds(9).await;
        stop.cancel();
    };
    let (result, ()) = join(standby.lead(pending(), &stop), stopped).await;
    result.unwrap();
    assert_eq!(api.requests()[before..], ["GET"; 5], "one each two seconds");
}

#[tokio::test(start_paused = true)]
async fn one_failed_request_never_costs_the_lease() {
    for fault in FAULTS {
        for n in 1..=36 {
            let api = FakeApi::new(move |request, _| (request == n).then_some(fault));
            let leaders = Leaders::default();
            two(&api, &leaders, seconds(36)).await;
            assert!(api.requests().len() >= n);
            assert_eq!(leaders.names().len(), 1, "{fault:?} of request {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_the_lease_is_acquired_again() {
    for fault in FAULTS {
        for n in 1..=12 {
            let api = FakeApi::new(move |request, _| (request >= n).then_some(fault));
            let leaders = Leaders::default();
            two(&api, &leaders, async {
                seconds(60).await;
                if fault != Fault::ResetAfter {
                    assert_eq!(leaders.now(), None, "{fault:?} from request {n}");
                }
                api.set_faults(|_, _| None);
                seconds(AGAIN).await;
                assert!(leaders.now().is_some(), "{fault:?} from request {n}");
            })
            .await;
        }
    }
}

/// The old leader stops ten seconds after its last renewal, the new one starts when the Lease has expired.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_starts() {
    for fault in [Fault::Status(500), Fault::Hang, Fault::ResetBefore] {
        let api = FakeApi::new(|_, _| None);
        let leaders = Leaders::default();
        two(&api, &leaders, async {
            seconds(21).await;
            assert_eq!(leaders.now().as_deref(), Some("a1"));
            let renewed = api.last_written();
            api.set_faults(move |_, replica| (replica == "a").then_some(fault));
            seconds(11).await;
            assert_eq!(leaders.now(), None);
            assert_eq!(leaders.last_change() - renewed, Duration::from_secs(10), "{fault:?}");
            seconds(10).await;
            assert_eq!(leaders.now().as_deref(), Some("b1"));
            let after = leaders.last_change() - renewed;
            assert!((15..=18).contains(&after.as_secs()), "{fault:?} {after:?}");
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn slow_requests_and_answers_do_not_cost_the_lease() {
    for millis in (500..5000).step_by(500) {
        let time = Duration::from_millis(millis);
        for fault in [Fault::SlowRequest(time), Fault::SlowAnswer(time)] {
            let api = FakeApi::new(move |_, _| Some(fault));
            let leaders = Leaders::default();
            two(&api, &leaders, seconds(90)).await;
            assert_eq!(leaders.names().len(), 1, "{fault:?}");
        }
    }
}

/// Slower than the time-out of a request. What is applied late must not make two leaders.
#[tokio::test(start_paused = true)]
async fn requests_applied_after_their_time_out_make_no_second_leader() {
    for secs in (5..40).step_by(3) {
        for replicas in ["a", "b", "ab"] {
            let time = Duration::from_secs(secs);
            for fault in [Fault::SlowRequest(time), Fault::SlowAnswer(time)] {
                let api = FakeApi::new(|_, _| None);
                let leaders = Leaders::default();
                two(&api, &leaders, async {
                    seconds(secs % 7).await;
                    api.set_faults(move |_, replica| replicas.contains(replica).then_some(fault));
                    seconds(90).await;
                    api.set_faults(|_, _| None);
                    seconds(secs + AGAIN).await;
                    assert!(leaders.now().is_some(), "{fault:?} of {replicas}");
                })
                .await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_edited_label_does_not_cost_the_lease() {
    let api = FakeApi::new(|_, _| None);
    let leaders = Leaders::default();
    two(&api, &leaders, async {
        for _ in 0..10 {
            seconds(3).await;
            api.edit(|lease| *lease.metadata.labels.get_or_insert_default() = [("team".into(), "x".into())].into());
        }
        seconds(30).await;
    })
    .await;
    assert_eq!(leaders.names().len(), 1);
    assert_eq!(
        api.lease().unwrap().metadata.labels.unwrap()["team"],
        "x",
        "the edit stays"
    );
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_ends() {
    for (holder, says) in [
        (Some("someone"), "lost the Lease lease to someone"),
        (None, "lost the Lease lease: its holder was removed"),
    ] {
        let api = FakeApi::new(|_, _| None);
        let leaders = Leaders::default();
        let take = async {
            seconds(5).await;
            api.edit(|lease| lease.spec.as_mut().unwrap().holder_identity = holder.map(str::to_owned));
        };
        let leader = candidate(&api, "a", "a1");
        let metrics = Arc::clone(&leader.metrics);
        let (lost, ()) = join(leader.lead(leaders.work("a1"), &CancellationToken::new()), take).await;
        assert_eq!(lost.unwrap_err().to_string(), says);
        assert_eq!(spec(&api).holder_identity.as_deref(), holder, "not taken back");
        assert_eq!(leaders.now(), None);
        let text = metrics.render();
        assert!(text.contains("realtime_token_leader 0\n"), "{text}");
    }
}

/// The work ends while a renewal is under way, which is applied: the version that is held is no longer the Lease's.
#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_during_a_renewal_releases_the_lease() {
    let api = FakeApi::new(|_, _| None);
    let leader = candidate(&api, "old", "old1");
    let work = async {
        seconds(1).await;
        api.set_faults(|_, _| Some(Fault::SlowAnswer(Duration::from_secs(3))));
        seconds(2).await;
        api.set_faults(|_, _| None);
    };
    leader.lead(work, &CancellationToken::new()).await.unwrap();
    assert_eq!(spec(&api).holder_identity.as_deref(), Some(""));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_ends_in_time_though_the_release_fails() {
    for fault in FAULTS {
        let api = FakeApi::new(|_, _| None);
        let leader = candidate(&api, "old", "old1");
        leader
            .lead(
                async {
                    seconds(5).await;
                    api.set_faults(move |_, _| Some(fault));
                },
                &CancellationToken::new(),
            )
            .await
            .unwrap();
        api.set_faults(|_, _| None);
        let leaders = Leaders::default();
        two(&api, &leaders, async {
            seconds(AGAIN).await;
            assert!(leaders.now().is_some(), "{fault:?}");
        })
        .await;
    }
}
