//! An API server that is away while tokens are due.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::json;
use testkit::standin::{Fault, Scope};

use crate::expect::assert_recovered;
use crate::world::{Case, World, data};

/// Three tokens at the moment of the crash: one whose mint is under way, one that becomes due during the outage, and
/// one that has nothing to do with it.
#[tokio::test]
async fn a_token_minted_during_an_outage_is_stored_after_it() {
    let mut world = World::with_own_cluster().await;
    let case = world.case("outage").await;
    let other = world.case("quiet").await;
    other.create("quiet", other.spec("quiet")).await;
    other.recovered("quiet", 1).await;
    let quiet = other.revision("quiet", 1).await;
    let mut spec = case.spec("due");
    spec["expirationSeconds"] = json!(100); // renewed every 50 s: an API server may take half of that to start
    spec["renewal"] = json!({"minRemainingSeconds": 2, "propagationSeconds": 0});
    case.create("due", spec).await;
    let status = case.patiently("due", |status| status.renewal_time.is_some()).await;
    let renewal = status.renewal_time.unwrap().0;
    // Its answer comes while the API server is away, so that it can't be stored.
    case.world
        .standin
        .fail_next_for(Scope::Key(case.key.clone()), 1, Fault::Delay(Duration::from_secs(8)));
    case.create("under-way", case.spec("under-way")).await;
    case.calls_of_reach("under-way", 1).await;
    let (case, other) = (case.leave(), other.leave());
    world.cluster.own().stop_apiserver().await.unwrap();
    let stopped = Timestamp::now();
    assert!(stopped < renewal, "too slow to be a test");

    let case = case.enter(&world);
    let calls = case.calls_of_reach("due", 2).await;
    assert!(calls[1].time > stopped, "the provider is there, so the mint is in time");
    let case = case.leave();
    world.cluster.own().start_apiserver().await.unwrap();
    let back = Instant::now();

    let (case, other) = (case.enter(&world), other.enter(&world));
    for (name, revision, mints) in [("due", 2, 2), ("under-way", 1, 1)] {
        let secret = case.recovered(name, revision).await;
        let calls = case.calls_of(name);
        assert_eq!(calls.len(), mints, "{name}: no mint because of the outage");
        assert_eq!(Some(data(&secret, "token")), calls[mints - 1].token, "{name}");
    }
    assert!(
        back.elapsed() < Duration::from_secs(45),
        "stored {:?} after the API server was back",
        back.elapsed()
    );
    // The watches come back too: what is new is noticed.
    let created = Instant::now();
    case.create("later", case.spec("later")).await;
    case.recovered("later", 1).await;
    assert!(
        created.elapsed() < Duration::from_secs(45),
        "noticed after {:?}",
        created.elapsed()
    );
    // It may be due again by now. Each mint was stored: none was for nothing.
    case.patiently("due", |status| {
        status.revision == i64::try_from(case.calls_of("due").len()).ok()
    })
    .await;
    other.assert_untouched(&quiet).await;
    let status = other.patiently("quiet", |status| status.revision == Some(1)).await;
    assert_recovered(&status);
    assert_eq!(other.calls_of("quiet").len(), 1);
    case.assert_strict();
}

/// What a [`Case`] is while its world is being changed.
struct Left(testkit::cluster::Namespace, [String; 3]);

impl Case<'_> {
    fn leave(self) -> Left {
        Left(self.namespace, [self.key, self.spare_key, self.xi_key])
    }
}

impl Left {
    fn enter(self, world: &World) -> Case<'_> {
        let [key, spare_key, xi_key] = self.1;
        Case {
            world,
            namespace: self.0,
            key,
            spare_key,
            xi_key,
        }
    }
}
