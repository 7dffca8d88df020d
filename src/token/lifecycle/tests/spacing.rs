//! Whatever changes, and however often: a RealtimeToken is minted at most once in ten seconds, but for the retries of what
//! has failed for the provider's sake.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::world::World;
use crate::api::TargetContent;
use crate::token::MintError;
use crate::token::backoff::SHORTEST;
use crate::token::decide::MIN_INTERVAL;

#[derive(Clone, Copy, Debug)]
enum Change {
    Spec(u32),
    Key(u32),
    Renew,
    Suspend(bool),
    Content(TargetContent),
    DeleteSecret,
    ProviderRecovers,
    ProviderRejects,
    ProviderIsAway,
    Pass(i64),
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        6 => (0u32..4).prop_map(Change::Spec),
        1 => (0u32..2).prop_map(Change::Key),
        1 => Just(Change::Renew),
        2 => any::<bool>().prop_map(Change::Suspend),
        2 => prop_oneof![Just(TargetContent::Token), Just(TargetContent::Connection)].prop_map(Change::Content),
        1 => Just(Change::DeleteSecret),
        2 => Just(Change::ProviderRecovers),
        1 => Just(Change::ProviderRejects),
        1 => Just(Change::ProviderIsAway),
        5 => (1i64..4000).prop_map(Change::Pass),
    ]
}

fn apply(world: &mut World, change: Change) {
    match change {
        Change::Spec(spec) => world.spec = spec,
        Change::Key(key) => world.key = key,
        Change::Renew => {
            world.requests += 1;
            world.request = Some(world.requests.to_string());
        }
        Change::Suspend(suspend) => world.token.spec.suspend = suspend,
        Change::Content(content) => world.token.spec.target.content = content,
        Change::DeleteSecret => world.secret = None,
        Change::ProviderRecovers => world.provider_up = true,
        Change::ProviderRejects => (world.provider_up, world.failure) = (false, rejected()),
        Change::ProviderIsAway => (world.provider_up, world.failure) = (false, MintError::unavailable("down")),
        Change::Pass(millis) => world.now += SignedDuration::from_millis(millis),
    }
}

fn rejected() -> MintError {
    MintError::Rejected {
        credential: false,
        message: "no such model".to_owned(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn ten_seconds_lie_between_two_mints_whatever_changes(changes in proptest::collection::vec(change(), 1..80)) {
        let mut world = World::new(1800);
        for change in changes {
            apply(&mut world, change);
            world.run();
        }
        for two in world.mints.windows(2) {
            let apart = two[1].at.duration_since(two[0].at);
            // A provider that is out of order is asked again from a second on, and ever more seldom.
            let least = if two[0].unavailable { SHORTEST } else { MIN_INTERVAL };
            prop_assert!(apart >= least, "{apart:?} apart: {two:?}");
        }
    }
}

/// Between two wrong specs the one that the Secret holds stands for a moment, and no failure with it.
#[test]
fn a_spec_that_is_put_right_and_spoilt_again_is_tried_no_sooner() {
    for failure in [rejected(), MintError::unavailable("down")] {
        let mut world = World::new(1800);
        world.now += SignedDuration::from_secs(60);
        (world.provider_up, world.failure) = (false, failure);
        let before = world.mints.len();
        let began = world.now;
        while world.now.duration_since(began) < SignedDuration::from_secs(100) {
            for spec in [1, 0] {
                world.spec = spec;
                world.run();
                world.now += SignedDuration::from_millis(25);
            }
        }
        assert_eq!(world.mints.len() - before, 10);
    }
}
