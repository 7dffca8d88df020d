//! Two replicas and an API server that fails: never two leaders, and the Lease is acquired again.

mod leaders;
mod stopping;

use futures::future::{join, pending};

use self::leaders::Leaders;
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
const AGAIN: u64 = 13 + 2 + 15 + 2 + 2;

fn candidate(api: &FakeApi, replica: &'static str, me: &str) -> Candidate {
    Candidate {
        lock: LeaseLock::new(api.client(replica), "rto", "lease".to_owned()),
        me: me.to_owned(),
        terms: TERMS,
        health: Arc::default(),
        metrics: Arc::new(Metrics::new(false)),
    }
}

/// A process that leads when it can.
async fn replica(api: &FakeApi, name: &'static str, leaders: &Leaders) {
    let work = |leadership| leaders.work(name, leadership);
    candidate(api, name, name).lead(work, &CancellationToken::new()).await;
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

fn names<const N: usize>(names: [&str; N]) -> Vec<String> {
    names.map(str::to_owned).to_vec()
}

fn spec(api: &FakeApi) -> k8s_openapi::api::coordination::v1::LeaseSpec {
    api.lease().unwrap().spec.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_created_renewed_and_released() {
    let api = FakeApi::new(|_, _| None);
    candidate(&api, "a", "a")
        .lead(|_| seconds(5), &CancellationToken::new())
        .await;
    assert_eq!(api.requests(), ["GET", "POST a", "PUT a", "PUT a", "PUT "]);
    let released = spec(&api);
    assert_eq!(released.holder_identity.as_deref(), Some(""));
    assert_eq!(released.lease_transitions, Some(0));

    let leaders = Leaders::default();
    two(&api, &leaders, seconds(3)).await;
    assert_eq!(leaders.names(), ["a"], "a released Lease is acquired at once");
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
    let standby = candidate(&api, "b", "b");
    let stopped = async {
        seconds(9).await;
        stop.cancel();
    };
    join(standby.lead(|_| pending(), &stop), stopped).await;
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

/// The old leader stops thirteen seconds after its last renewal, the new one starts when the Lease has expired.
#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_before_another_starts() {
    for fault in [Fault::Status(500), Fault::Hang, Fault::ResetBefore] {
        let api = FakeApi::new(|_, _| None);
        let leaders = Leaders::default();
        two(&api, &leaders, async {
            seconds(21).await;
            assert_eq!(leaders.now().as_deref(), Some("a"));
            let renewed = api.last_written();
            api.set_faults(move |_, replica| (replica == "a").then_some(fault));
            tokio::time::sleep_until(renewed + Duration::from_secs(14)).await;
            assert_eq!(leaders.now(), None);
            assert_eq!(leaders.last_change() - renewed, Duration::from_secs(13), "{fault:?}");
            tokio::time::sleep_until(renewed + Duration::from_secs(20)).await;
            assert_eq!(leaders.now().as_deref(), Some("b"));
            let after = leaders.last_change() - renewed;
            assert!((15..=18).contains(&after.as_secs()), "{fault:?} {after:?}");
            // Back again it stands by, and begins anew when it leads.
            api.set_faults(|_, _| None);
            seconds(30).await;
            assert_eq!(
                (leaders.now().as_deref(), leaders.begun()),
                (Some("b"), names(["a", "b"]))
            );
            api.set_faults(|_, replica| (replica == "b").then_some(Fault::Hang));
            seconds(40).await;
            assert_eq!(
                (leaders.now().as_deref(), leaders.begun()),
                (Some("a"), names(["a", "b", "a"]))
            );
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn slow_requests_and_answers_do_not_cost_the_lease() {
    for millis in (500..=6000).step_by(500) {
        let time = Duration::from_millis(millis);
        for fault in [Fault::SlowRequest(time), Fault::SlowAnswer(time)] {
            let api = FakeApi::new(move |_, _| Some(fault));
            let leaders = Leaders::default();
            two(&api, &leaders, seconds(90)).await;
            assert_eq!(leaders.names().len(), 1, "{fault:?}");
        }
    }
}

/// Each request takes another time. With one renewal at a time, and none begun while one may still be answered, the
/// replicas of the audit led 12 % of the time.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_takes_four_seconds_and_more_has_a_leader_nearly_all_the_time() {
    // The last two are slower than any Lease of fifteen seconds can be kept: what counts there is that no two lead.
    for (from, to, share) in [
        (4000, 4001, 0.99),
        (2000, 6000, 0.99),
        (0, 8000, 0.75),
        (4000, 8000, 0.0),
        (0, 20_000, 0.0),
    ] {
        for seed in 0..5_u64 {
            let millis = move |request: usize| {
                let hash = (request as u64 + 1 + seed * 1000).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                Duration::from_millis(from + (hash >> 33) % (to - from))
            };
            let api = FakeApi::new(move |request, _| {
                let time = millis(request);
                Some(if request % 2 == 0 {
                    Fault::SlowRequest(time)
                } else {
                    Fault::SlowAnswer(time)
                })
            });
            let leaders = Leaders::default();
            let began = Instant::now() + Duration::from_secs(20);
            two(&api, &leaders, seconds(1820)).await;
            let led = leaders.led_since(began);
            assert!(led >= share, "{from}..{to} ms, seed {seed}: led {led}");
        }
    }
}

/// One request that hangs doesn't eat the time of all others: another is sent beside it.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_is_followed_by_another_before_the_lease_is_lost() {
    let api = FakeApi::new(|_, _| None);
    let leaders = Leaders::default();
    two(&api, &leaders, async {
        seconds(21).await;
        let since = api.requests().len();
        api.set_faults(move |request, replica| (replica == "a" && request <= since + 2).then_some(Fault::Hang));
        seconds(60).await;
    })
    .await;
    assert_eq!(leaders.names(), ["a"]);
}

/// The other replica sees the Lease change when a renewal is applied, which may be long before its answer.
#[tokio::test(start_paused = true)]
async fn a_renewal_counts_from_the_time_at_which_it_was_sent() {
    let api = FakeApi::new(|_, _| None);
    let leaders = Leaders::default();
    two(&api, &leaders, async {
        seconds(21).await;
        let renewed = Arc::new(Mutex::new(None));
        let first = Arc::clone(&renewed);
        api.set_faults(move |_, replica| {
            (replica == "a").then(|| match first.lock().replace(Instant::now()) {
                None => Fault::SlowAnswer(Duration::from_secs(10)),
                Some(_) => Fault::Hang,
            })
        });
        while renewed.lock().is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let sent = api.last_written();
        seconds(14).await;
        assert_eq!(leaders.last_change() - sent, Duration::from_secs(13));
        seconds(10).await;
        assert_eq!(leaders.now().as_deref(), Some("b"));
    })
    .await;
}

/// A short outage pauses the work and nothing is lost: it goes on with what it remembers.
#[tokio::test(start_paused = true)]
async fn the_work_pauses_while_the_lease_is_lost_and_goes_on_if_it_comes_back() {
    for fault in [Fault::Status(500), Fault::Hang, Fault::ResetBefore] {
        let api = FakeApi::new(|_, _| None);
        let leaders = Leaders::default();
        two(&api, &leaders, async {
            seconds(21).await;
            let leader = leaders.now().unwrap();
            api.set_faults(move |_, _| Some(fault));
            seconds(40).await;
            assert_eq!(leaders.now(), None, "{fault:?}");
            api.set_faults(|_, _| None);
            seconds(AGAIN).await;
            if fault != Fault::Hang {
                assert_eq!(
                    (leaders.now(), leaders.begun()),
                    (Some(leader.clone()), vec![leader]),
                    "{fault:?}"
                );
            }
            assert!(leaders.now().is_some());
        })
        .await;
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
async fn a_leader_whose_lease_was_taken_stands_by_and_one_whose_lease_was_released_acquires_it() {
    for (holder, leads) in [(Some("someone"), false), (None, true)] {
        let api = FakeApi::new(|_, _| None);
        let leaders = Leaders::default();
        let leader = candidate(&api, "a", "a");
        let metrics = Arc::clone(&leader.metrics);
        let stop = CancellationToken::new();
        let scenario = async {
            seconds(5).await;
            api.edit(|lease| lease.spec.as_mut().unwrap().holder_identity = holder.map(str::to_owned));
            seconds(5).await;
            assert_eq!(leaders.now().is_some(), leads, "{holder:?}");
            let line = format!("realtime_token_leader {}\n", i32::from(leads));
            assert!(metrics.render().contains(&line), "{holder:?}");
            if !leads {
                assert_eq!(spec(&api).holder_identity.as_deref(), holder, "not taken back");
            }
        };
        tokio::select! {
            () = leader.lead(|leadership| leaders.work("a", leadership), &stop) => unreachable!("it stands by"),
            () = scenario => {}
        }
    }
}
