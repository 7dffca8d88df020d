//! Every replica serves: one that stands by, and any while leaders end, are killed or lose the Lease. What a replica has
//! begun it finishes.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testkit::standin::Fault;
use testkit::wait;

use super::{Replica, Site, token_of};
use crate::world::DEADLINE;

const ELECTED: [&str; 2] = ["--leader-elect", "--lease-duration-seconds=9"];

async fn leads(replica: &Replica) -> bool {
    let metrics = replica.operator.metrics().await.unwrap_or_default();
    metrics.contains("realtime_token_leader 1\n")
}

async fn site() -> Site {
    let site = Site::new().await;
    let many = json!({"requestsPerMinute": 60000, "burst": 1000});
    site.token("voice", json!({"subject": "Ignored", "rateLimit": many}));
    site
}

#[tokio::test]
async fn a_standby_serves_before_and_after_the_leader_is_killed() {
    let site = site().await;
    let mut leader = site.replica(&ELECTED).await;
    let standby = site.replica(&ELECTED).await;
    assert!(leads(&leader).await && !leads(&standby).await);
    for replica in [&leader, &standby] {
        token_of(&site.caller(replica, "app", "voice").await.ask("").await.unwrap());
    }
    let app = site.caller(&standby, "app", "voice").await;
    leader.operator.kill().unwrap();
    // Until it leads itself, and a while longer: not one request fails.
    let mut asked = 0;
    wait::until("the standby to lead", DEADLINE, async || {
        token_of(&app.ask("").await?);
        asked += 1;
        Ok(leads(&standby).await.then_some(()))
    })
    .await
    .unwrap();
    for _ in 0..5 {
        token_of(&app.ask("").await.unwrap());
    }
    assert!(asked > 1, "{asked}");
}

#[tokio::test]
async fn a_replica_that_stops_finishes_what_it_has_begun() {
    let site = site().await;
    let mut replica = site.replica(&ELECTED).await;
    let app = site.caller(&replica, "app", "voice").await;
    token_of(&app.ask("").await.unwrap());
    site.standin.fail_next(1, Fault::Delay(Duration::from_secs(3)));
    let asked = site.standin.count();
    let stop = async {
        wait::until("the request at the provider", DEADLINE, async || {
            Ok((site.standin.count() > asked).then_some(()))
        })
        .await
        .unwrap();
        replica.operator.sigterm().unwrap();
    };
    let (answer, ()) = tokio::join!(app.ask(""), stop);
    token_of(&answer.unwrap());
    let status = replica.operator.wait_exit(DEADLINE).await.unwrap();
    assert!(status.success(), "{status}\n{}", replica.operator.logs());
    app.ask("").await.map(|answer| answer.status).unwrap_err();
}

/// Only Secrets and their statuses are the leader's alone.
#[tokio::test]
async fn a_leader_that_loses_the_lease_goes_on_handing_out_tokens() {
    let site = site().await;
    let leader = site.replica(&ELECTED).await;
    let app = site.caller(&leader, "app", "voice").await;
    token_of(&app.ask("").await.unwrap());
    site.standin.fail_next(1, Fault::Delay(Duration::from_secs(6)));
    let asked = site.standin.count();
    let take = async {
        wait::until("the request at the provider", DEADLINE, async || {
            Ok((site.standin.count() > asked).then_some(()))
        })
        .await
        .unwrap();
        let leases: Api<Lease> = site.platform.api();
        let patch = json!({"spec": {"holderIdentity": "another", "leaseDurationSeconds": 60}});
        leases
            .patch("realtime-token-operator", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap();
    };
    let (answer, ()) = tokio::join!(app.ask(""), take);
    token_of(&answer.unwrap());
    wait::until("the replica to stand by", DEADLINE, async || {
        let logs = leader.operator.logs();
        Ok((logs.contains("lost the Lease") && logs.contains("standing by")).then_some(()))
    })
    .await
    .unwrap();
    token_of(&app.ask("").await.unwrap());
}
