//! The API server and the provider are both out of order.

use std::time::Duration;

use testkit::proxy::{Effect, Rule};
use testkit::seed::Random;

use crate::world::{Expected, Setup, World};

/// Every few seconds another mixture of faults on both sides, two replicas, and one of them dies now and then.
#[tokio::test]
async fn out_of_order_at_once_in_every_mixture() {
    let setup = Setup {
        provider_proxy: true,
        ..Setup::replicated("both")
    };
    let world = World::start(setup).await;
    let provider = world.provider.as_ref().unwrap();
    let mut random = Random::new(world.seed);
    let effects = [
        Effect::Latency(Duration::from_millis(700)),
        Effect::ResetBefore,
        Effect::ResetAfter,
        Effect::Status {
            code: 500,
            retry_after: None,
        },
        Effect::Status {
            code: 503,
            retry_after: Some(2),
        },
        Effect::Status {
            code: 429,
            retry_after: Some(1),
        },
        Effect::SlowBody {
            bytes: 64,
            every: Duration::from_millis(10),
        },
    ];
    let mut kills = 0;
    world.at(50).await;
    while world.since_issued() < Duration::from_secs(130) {
        world.api.heal();
        provider.heal();
        for _ in 0..3 {
            world
                .api
                .add(Rule::new(random.choose(&effects).clone()).percent(10 + random.below(20)));
            provider.add(Rule::new(random.choose(&effects).clone()).percent(10 + random.below(20)));
        }
        match random.below(6) {
            0 => world.api.cut(),
            1 => world.api.freeze(),
            2 => provider.freeze(),
            3 => {
                let leader = world.leaders().await.first().copied().unwrap_or_default();
                world.pods[leader].kill().await.unwrap();
                kills += 1;
            }
            _ => {}
        }
        tokio::time::sleep(random.between(Duration::from_secs(4), Duration::from_secs(8))).await;
    }
    world.api.heal();
    provider.heal();
    let lost = provider.requests().sum(|it| it.code == 0);
    let expected = Expected {
        converged: Duration::from_secs(45),
        extra_mints: usize::try_from(lost).unwrap() + 2 * kills,
        requests: 400,
        lease_requests: 20 + 10 * kills as u64,
        // Neither the provider nor the API server can be relied on for longer than a token has left when it is due: what is
        // promised is that it ends well.
        floor: -20,
        false_claim: Duration::from_secs(20),
        restarts: kills,
        ..Expected::default()
    };
    world.finish(&expected).await;
}
