//! How a model is explored: every state once, in an order in which a counterexample is as short as can be.

use std::fmt::Debug;
use std::hash::Hash;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// Visits every state of a model and checks its properties, and that each of its examples is reached. `explain` says more
/// of a state in which a property doesn't hold. With `MODEL_DEPTH=n` the model is to go so much further than by default;
/// `make models` sets it.
#[allow(clippy::disallowed_methods, clippy::print_stdout, clippy::panic, reason = "tests")]
pub(crate) fn explore<M>(name: &str, model: impl FnOnce(u8) -> M, explain: impl Fn(&M::State) -> String)
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync,
    M::Action: Clone + Debug + PartialEq,
{
    let depth = std::env::var("MODEL_DEPTH").ok();
    let depth = depth.map_or(0, |depth| depth.parse().expect("MODEL_DEPTH is a small number"));
    let began = Instant::now();
    let checker = model(depth).checker().threads(2);
    let checker = checker.finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    println!(
        "{name}: {} states, {} steps between them, at most {} in a row, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32()
    );
    let mut properties = checker.model().properties().into_iter();
    let mut found = checker.discoveries();
    let broken = properties.find(|it| it.expectation == Expectation::Always && found.contains_key(it.name));
    if let Some(path) = broken.as_ref().and_then(|property| found.remove(property.name)) {
        let said = explain(path.last_state());
        panic!(
            "not so: {}; {said}\nafter {:?}",
            broken.map_or("", |property| property.name),
            path.into_actions()
        );
    }
    checker.assert_properties();
}
