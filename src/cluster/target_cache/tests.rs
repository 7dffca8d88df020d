//! One Secret in a store whose data may be replaced by a backup at any time, its watch, and what is known of it.

use std::collections::VecDeque;

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn secret(namespace: &str, version: u64) -> SecretMeta {
    let labels = json!({"realtime-token.dev/name": "voice"});
    let metadata = json!({
        "name": "voice", "namespace": namespace, "uid": "u", "resourceVersion": version.to_string(), "labels": labels,
    });
    serde_json::from_value(json!({"metadata": metadata})).unwrap()
}

fn name() -> Name {
    Name::new("shop", "voice")
}

fn known(cache: &TargetCache, namespace: &str) -> Option<u64> {
    let view = cache.get(&Name::new(namespace, "voice"))?;
    Some(view.resource_version().parse().unwrap())
}

#[test]
fn a_write_that_was_answered_during_a_list_is_not_undone_by_it() {
    for (versions_of_list, expected) in [(3, 5), (7, 7)] {
        let cache = TargetCache::default();
        cache.apply_event(&None, Event::Init);
        cache.insert_written(&name(), &secret("shop", 5).view);
        cache.apply_event(&None, Event::InitApply(secret("shop", versions_of_list)));
        cache.apply_event(&None, Event::InitDone);
        assert_eq!(known(&cache, "shop"), Some(expected));
    }
}

/// Each namespace of `--watch-namespaces` has a watch and so a list of its own.
#[test]
fn a_list_of_one_namespace_says_nothing_of_another() {
    let (cache, shop, lab) = (TargetCache::default(), Some("shop".into()), Some("lab".into()));
    for (part, namespace) in [(&shop, "shop"), (&lab, "lab")] {
        cache.apply_event(part, Event::Init);
        cache.apply_event(part, Event::InitApply(secret(namespace, 9)));
        cache.apply_event(part, Event::InitDone);
    }
    cache.apply_event(&shop, Event::Init);
    cache.apply_event(&lab, Event::Init);
    cache.apply_event(&lab, Event::InitApply(secret("lab", 4)));
    assert_eq!(cache.apply_event(&lab, Event::InitDone), []);
    assert_eq!((known(&cache, "shop"), known(&cache, "lab")), (Some(9), Some(4)));
    assert_eq!(cache.apply_event(&shop, Event::InitDone), [name()]);
    assert_eq!((known(&cache, "shop"), known(&cache, "lab")), (None, Some(4)));
}

#[derive(Clone, Copy, Debug)]
enum Op {
    /// Another writer changes, creates or deletes the Secret.
    Edit,
    Delete,
    /// We write it, resting on what is known, as [`super::super::target::Targets`] does.
    Write,
    /// The watch shows the next change.
    Show,
    BackUp,
    /// The data is replaced by the backup, and the watch lists anew.
    Restore,
    /// The watch has lost its place, and lists anew.
    List,
    /// The list goes on.
    Listed,
}

#[derive(Default)]
struct World {
    cache: TargetCache,
    version: u64,
    secret: Option<u64>,
    backup: Option<(u64, Option<u64>)>,
    /// What the watch has still to show: the version, and whether the Secret exists.
    events: VecDeque<(u64, bool)>,
    list: List,
}

#[derive(Default, PartialEq)]
enum List {
    #[default]
    None,
    /// It was announced; what it will show is not known yet.
    Begun,
    /// What it shows.
    Taken(Option<u64>),
}

impl World {
    fn step(&mut self, op: Op) {
        match op {
            Op::Edit => self.change(true),
            Op::Delete if self.secret.is_some() => self.change(false),
            Op::Delete => {}
            Op::Write => self.write(),
            Op::Show => self.show(),
            Op::BackUp => self.backup = Some((self.version, self.secret)),
            Op::Restore => {
                if let Some((version, secret)) = self.backup {
                    (self.version, self.secret) = (version, secret);
                    self.begin_list();
                }
            }
            Op::List => self.begin_list(),
            Op::Listed => self.go_on(),
        }
    }

    fn change(&mut self, exists: bool) {
        self.version += 1;
        self.secret = exists.then_some(self.version);
        self.events.push_back((self.version, exists));
    }

    /// The API server refuses a write that rests on another version than there is: then the next look is live.
    fn write(&mut self) {
        let seen = known(&self.cache, "shop").or(self.secret);
        if seen != self.secret {
            self.cache.forget(&name());
            return;
        }
        self.change(true);
        self.cache.insert_written(&name(), &secret("shop", self.version).view);
    }

    fn show(&mut self) {
        if self.list != List::None {
            return;
        }
        if let Some((version, exists)) = self.events.pop_front() {
            let secret = secret("shop", version);
            let event = if exists {
                Event::Apply(secret)
            } else {
                Event::Delete(secret)
            };
            self.cache.apply_event(&None, event);
        }
    }

    /// The history of the watch is gone.
    fn begin_list(&mut self) {
        self.events.clear();
        self.list = List::Begun;
        self.cache.apply_event(&None, Event::Init);
    }

    fn go_on(&mut self) {
        match std::mem::take(&mut self.list) {
            List::None => {}
            List::Begun => {
                self.events.clear(); // the watch will go on from here
                self.list = List::Taken(self.secret);
            }
            List::Taken(listed) => {
                if let Some(version) = listed {
                    self.cache.apply_event(&None, Event::InitApply(secret("shop", version)));
                }
                self.cache.apply_event(&None, Event::InitDone);
            }
        }
    }
}

fn op() -> impl Strategy<Value = Op> {
    use Op::*;
    prop_oneof![
        2 => Just(Edit), 1 => Just(Delete), 4 => Just(Write), 4 => Just(Show), 1 => Just(BackUp), 1 => Just(Restore),
        1 => Just(List), 4 => Just(Listed),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Once the watch has shown everything, what is known is what there is; or nothing, and the next look is live.
    #[test]
    fn what_is_known_becomes_what_there_is(ops in prop::collection::vec(op(), 0..60)) {
        let mut world = World::default();
        for op in ops {
            world.step(op);
        }
        while world.list != List::None {
            world.go_on();
        }
        while !world.events.is_empty() {
            world.show();
        }
        let known = known(&world.cache, "shop");
        prop_assert!(known.is_none() || known == world.secret, "known {known:?}, there is {:?}", world.secret);
    }
}
