//! The provider is slow, hangs, breaks off, fails, refuses, or its answers are lost.

use std::time::Duration;

use testkit::proxy::{Effect, Rule};
use testkit::seed::Random;
use testkit::standin::Fault;

use crate::world::{Expected, Setup, World};

/// Every kind of trouble that passes in turn, from before the first token is due until half a minute before the floor.
#[tokio::test]
async fn in_every_kind_of_trouble_for_40_seconds() {
    let world = World::start(Setup::new("provider-trouble")).await;
    let mut troubles = vec![
        Fault::Hang,
        Fault::Reset,
        Fault::status(500),
        Fault::status(503),
        Fault::throttled(3),
        Fault::status(408),
        Fault::status(502),
        Fault::status(529),
    ];
    let mut random = Random::new(world.seed);
    let calls = world.standin.count();
    world.at(52).await;
    for _ in 0..8 {
        let nth = random.below(troubles.len() as u64) as usize;
        world.standin.heal();
        world.standin.fail_always(troubles.swap_remove(nth));
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    world.standin.heal();
    let asked = world.standin.count() - calls;
    assert!(asked <= 8 * 10, "{asked} calls for 10 tokens in 40 s");
    let expected = Expected {
        converged: Duration::from_secs(35), // one that hangs is given up after 20 s
        ..Expected::default()
    };
    world.finish(&expected).await;
}

/// The provider has minted, and its answer is lost: the next mint is due, and one for each answer that was lost.
#[tokio::test]
async fn answers_are_lost() {
    let setup = Setup {
        provider_proxy: true,
        ..Setup::new("answers-lost")
    };
    let world = World::start(setup).await;
    let provider = world.provider.as_ref().unwrap();
    world.at(50).await;
    provider.add(Rule::new(Effect::ResetAfter).percent(40));
    provider.add(Rule::new(Effect::ResetBefore).percent(20));
    world.at(100).await;
    provider.heal();
    world.at(140).await;
    let lost = provider.requests().sum(|it| it.code == 0);
    let expected = Expected {
        extra_mints: usize::try_from(lost).unwrap(),
        floor: 40,
        ..Expected::default()
    };
    world.finish(&expected).await;
}

/// Nothing comes through to it for 40 s, and no connection says so.
#[tokio::test]
async fn packets_vanish_for_40_seconds() {
    let setup = Setup {
        provider_proxy: true,
        ..Setup::new("provider-dead")
    };
    let world = World::start(setup).await;
    let provider = world.provider.as_ref().unwrap();
    world.at(50).await;
    provider.freeze_all();
    world.at(90).await;
    provider.heal();
    let expected = Expected {
        converged: Duration::from_secs(25),
        ..Expected::default()
    };
    world.finish(&expected).await;
}
