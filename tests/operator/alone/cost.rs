//! What a token costs, counted at the API server and at the provider. Each test has a control plane of its own, since
//! the API server counts everybody's requests.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use testkit::cluster::RequestCounts;
use testkit::wait;

use crate::world::{Case, World, annotation};

const TOKENS: usize = 20;

/// Requests to the kinds that the operator works with, by verb and resource; its long watches are counted at their end
/// and left out.
pub(super) fn requests(counts: &RequestCounts) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    for (request, count) in counts.iter() {
        let ours = ["secrets", "realtimetokens", "clusterrealtimeproviders", "events"];
        if ours.contains(&request.resource.as_str()) && request.verb != "WATCH" && count > 0 {
            let subresource = if request.subresource.is_empty() { "" } else { "/status" };
            *found
                .entry(format!("{} {}{subresource}", request.verb, request.resource))
                .or_default() += count;
        }
    }
    found
}

/// The API server counts a request a moment after it answered: waits until the counts stand still.
pub(super) async fn counts(world: &World) -> RequestCounts {
    let mut last = String::new();
    wait::until("request counts to stand still", Duration::from_secs(20), async || {
        tokio::time::sleep(Duration::from_millis(400)).await; // polling a counter
        let counts = world.cluster.apiserver_requests().await?;
        let now = format!("{:?}", requests(&counts));
        let still = now == last;
        last = now;
        Ok(still.then_some(counts))
    })
    .await
    .unwrap()
}

fn name(n: usize) -> String {
    format!("voice-{n}")
}

async fn all_reach(case: &Case<'_>, revision: i64) {
    wait::until(
        "all tokens to reach the revision",
        Duration::from_secs(60),
        async || {
            let names: Vec<String> = (0..TOKENS).map(name).collect();
            let found = join_all(
                names
                    .iter()
                    .map(async |name| case.world.seen_revision(case, name).await),
            )
            .await;
            Ok(found.into_iter().all(|seen| seen >= revision).then_some(()))
        },
    )
    .await
    .unwrap();
}

impl World {
    async fn seen_revision(&self, case: &Case<'_>, name: &str) -> i64 {
        let secret = case.secrets().get_opt(name).await.unwrap();
        secret
            .and_then(|secret| annotation(&secret, "revision")?.parse().ok())
            .unwrap_or(0)
    }
}

#[tokio::test]
async fn a_rotation_costs_one_call_and_two_writes_and_a_restart_nothing() {
    let world = World::own(&[]).await;
    let case = world.case("cost").await;
    let mut spec = case.openai();
    // Renewal after 29 to 30 s: long enough to create all and to count before the first rotation.
    spec["expirationSeconds"] = json!(60);
    spec["renewal"] = json!({"minRemainingSeconds": 1, "propagationSeconds": 0});
    for n in 0..TOKENS {
        case.create(&name(n), spec.clone()).await;
    }
    for n in 0..TOKENS {
        case.condition(&name(n), "Ready", "True", "Issued").await;
    }
    assert_eq!(case.calls().len(), TOKENS);

    // Waiting costs nothing, though each object's own writes and a label edit wake it.
    let before = counts(&world).await;
    case.patch(&name(0), json!({"metadata": {"labels": {"edited": "yes"}}}))
        .await;
    let idle = requests(&counts(&world).await.since(&before));
    assert_eq!(
        idle,
        BTreeMap::from([("PATCH realtimetokens".to_owned(), 1)]),
        "our own edit is all there is"
    );

    // One rotation of each, watched at the provider so that the tests' own requests stay out of the count.
    let before = counts(&world).await;
    wait::until("one rotation of each", Duration::from_secs(60), async || {
        Ok((case.calls().len() >= 2 * TOKENS).then_some(()))
    })
    .await
    .unwrap();
    let spent = requests(&counts(&world).await.since(&before));
    assert_eq!(case.calls().len(), 2 * TOKENS, "one mint for each renewal that was due");
    let writes = TOKENS as u64;
    let expected = [("PATCH realtimetokens/status", writes), ("PATCH secrets", writes)];
    let reads = spent.get("GET secrets").copied().unwrap_or(0);
    assert!(
        reads <= 2,
        "the key is read once a minute for all its tokens, and no target is: {spent:?}"
    );
    for (what, count) in expected {
        assert_eq!(spent.get(what), Some(&count), "{spent:?}");
    }
    assert!(
        spent
            .keys()
            .all(|key| ["GET secrets", "PATCH secrets", "PATCH realtimetokens/status"].contains(&key.as_str())),
        "{spent:?}"
    );

    // A restart with live tokens: nothing minted, nothing written.
    all_reach(&case, 2).await;
    let before = counts(&world).await;
    let minted = case.calls().len();
    world.restart().await;
    let spent = requests(&counts(&world).await.since(&before));
    let written: Vec<_> = spent
        .keys()
        .filter(|key| !key.starts_with("GET") && !key.starts_with("LIST"))
        .collect();
    assert!(written.is_empty(), "{spent:?}");
    assert!(spent.get("GET secrets").copied().unwrap_or(0) <= 1, "{spent:?}");
    assert_eq!(case.calls().len(), minted);
    // And the restarted one goes on with the schedule.
    all_reach(&case, 3).await;
    assert_eq!(case.calls().len(), 3 * TOKENS);
}

#[tokio::test]
async fn twenty_restarts_mint_nothing() {
    let world = World::own(&[]).await;
    let case = world.case("restarts").await;
    for n in 0..TOKENS {
        case.create(&name(n), case.openai()).await;
    }
    all_reach(&case, 1).await;
    for _ in 0..20 {
        world.restart().await;
    }
    case.settle().await;
    assert_eq!(case.calls().len(), TOKENS);
}
