//! A leader that is stopped, also while the Lease is lost.

use super::*;

/// A leader that has lost the Lease to requests that hang, and is stopped. Returns how long it takes to end, and whether its
/// work has seen the Lease again before.
async fn stopped_without_the_lease(api_recovers: bool) -> (Duration, bool) {
    let api = FakeApi::new(|_, _| None);
    let stop = CancellationToken::new();
    let leader = candidate(&api, "a", "a");
    let stored = Mutex::new(false);
    let work = async |leadership: Leadership| {
        stop.cancelled().await;
        leadership.held().await;
        *stored.lock() = true;
    };
    let scenario = async {
        seconds(5).await;
        api.set_faults(|_, _| Some(Fault::Hang));
        seconds(20).await;
        if api_recovers {
            api.set_faults(|_, _| None);
        }
        stop.cancel();
        Instant::now()
    };
    let led = async {
        leader.lead(work, &stop).await;
        Instant::now()
    };
    let (ended, told) = join(led, scenario).await;
    (ended - told, stored.into_inner())
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_stopped_while_the_lease_is_lost_ends_soon_and_stores_what_it_can() {
    let (took, stored) = stopped_without_the_lease(false).await;
    assert!(took <= TERMS.patience() && !stored, "{took:?}, stored: {stored}");
    let (took, stored) = stopped_without_the_lease(true).await;
    assert!(took < Duration::from_secs(1) && stored, "{took:?}, stored: {stored}");
}

/// The work ends while a renewal is under way, which is applied: the version that is held is no longer the Lease's.
#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_during_a_renewal_releases_the_lease() {
    let api = FakeApi::new(|_, _| None);
    let leader = candidate(&api, "old", "old");
    let work = async |_| {
        seconds(1).await;
        api.set_faults(|_, _| Some(Fault::SlowAnswer(Duration::from_secs(3))));
        seconds(2).await;
        api.set_faults(|_, _| None);
    };
    leader.lead(work, &CancellationToken::new()).await;
    assert_eq!(spec(&api).holder_identity.as_deref(), Some(""));
}

/// Another replica acquired it just before.
#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_leaves_a_lease_that_is_anothers() {
    let api = FakeApi::new(|_, _| None);
    let leader = candidate(&api, "old", "old");
    let work = async |_| {
        seconds(1).await;
        api.edit(|lease| lease.spec.as_mut().unwrap().holder_identity = Some("new".to_owned()));
    };
    leader.lead(work, &CancellationToken::new()).await;
    assert_eq!(spec(&api).holder_identity.as_deref(), Some("new"));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_stops_ends_in_time_though_the_release_fails() {
    for fault in FAULTS {
        let api = FakeApi::new(|_, _| None);
        let leader = candidate(&api, "old", "old");
        leader
            .lead(
                async |_| {
                    seconds(5).await;
                    api.set_faults(move |_, _| Some(fault));
                },
                &CancellationToken::new(),
            )
            .await;
        api.set_faults(|_, _| None);
        let leaders = Leaders::default();
        two(&api, &leaders, async {
            seconds(AGAIN).await;
            assert!(leaders.now().is_some(), "{fault:?}");
        })
        .await;
    }
}
