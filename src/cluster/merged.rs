//! Merges the watches on several namespaces into one.
//!
//! A store takes the list of a watch as all that exists. So the first lists of all namespaces are merged into one list;
//! when a namespace is listed again later, the stream has the differences as changes and deletions.

use std::collections::HashMap;

use futures::StreamExt;
use futures::stream::{self, BoxStream};
use kube::ResourceExt;
use kube::runtime::watcher::{Error, Event};

use super::Name;

/// Each object is kept, so that its deletion can be reported if a later list lacks it.
pub(super) fn merged<K: ResourceExt + Clone + Send + 'static>(
    mut watches: Vec<BoxStream<'static, Result<Event<K>, Error>>>,
) -> BoxStream<'static, Result<Event<K>, Error>> {
    if watches.len() == 1
        && let Some(only) = watches.pop()
    {
        return only;
    }
    let mut merge = Merge::new(watches.len());
    let watches = watches.into_iter().enumerate();
    let numbered = watches.map(|(number, watch)| watch.map(move |event| (number, event)));
    stream::select_all(numbered)
        .flat_map(move |(number, event)| {
            stream::iter(match event {
                Ok(event) => merge.take(number, event).into_iter().map(Ok).collect(),
                Err(problem) => vec![Err(problem)],
            })
        })
        .boxed()
}

struct Merge<K> {
    parts: Vec<Part<K>>,
    begun: bool,
    /// How many watches have not been listed yet. Until all are, their objects belong to the one list.
    unlisted: usize,
    /// Deleted before that list was complete: reported after it, since a list has no deletions.
    deleted: HashMap<Name, K>,
}

struct Part<K> {
    known: HashMap<Name, K>,
    list: Vec<K>,
    listed: bool,
}

impl<K: ResourceExt + Clone> Merge<K> {
    fn new(parts: usize) -> Self {
        let part = || Part {
            known: HashMap::new(),
            list: Vec::new(),
            listed: false,
        };
        Self {
            parts: std::iter::repeat_with(part).take(parts).collect(),
            begun: false,
            unlisted: parts,
            deleted: HashMap::new(),
        }
    }

    fn take(&mut self, number: usize, event: Event<K>) -> Vec<Event<K>> {
        let part = &mut self.parts[number];
        match event {
            Event::Init => {
                part.list.clear();
                if std::mem::replace(&mut self.begun, true) {
                    return Vec::new();
                }
                vec![Event::Init]
            }
            Event::InitApply(object) => {
                part.list.push(object);
                Vec::new()
            }
            Event::InitDone => self.listed(number),
            Event::Apply(object) => {
                part.known.insert(Name::of(&object), object.clone());
                vec![self.applied(object)]
            }
            Event::Delete(object) => {
                part.known.remove(&Name::of(&object));
                self.gone(object).into_iter().collect()
            }
        }
    }

    fn listed(&mut self, number: usize) -> Vec<Event<K>> {
        let part = &mut self.parts[number];
        let list = std::mem::take(&mut part.list);
        let now = list.iter().map(|object| (Name::of(object), object.clone()));
        let mut before = std::mem::replace(&mut part.known, now.collect());
        before.retain(|name, _| !part.known.contains_key(name));
        let first = !std::mem::replace(&mut part.listed, true);
        let gone: Vec<_> = before.into_values().filter_map(|object| self.gone(object)).collect();
        let there = list.into_iter().map(|object| self.applied(object));
        let mut events: Vec<_> = there.chain(gone).collect();
        if first {
            self.unlisted -= 1;
            if self.unlisted == 0 {
                events.push(Event::InitDone);
                events.extend(self.deleted.drain().map(|(_, object)| Event::Delete(object)));
            }
        }
        events
    }

    fn applied(&mut self, object: K) -> Event<K> {
        if self.unlisted == 0 {
            return Event::Apply(object);
        }
        self.deleted.remove(&Name::of(&object));
        Event::InitApply(object)
    }

    fn gone(&mut self, object: K) -> Option<Event<K>> {
        if self.unlisted == 0 {
            return Some(Event::Delete(object));
        }
        self.deleted.insert(Name::of(&object), object);
        None
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Secret;
    use kube::core::{ObjectMeta, PartialObjectMeta};

    use super::*;

    type Object = PartialObjectMeta<Secret>;

    fn object(name: &str, version: &str) -> Object {
        Object {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            ..Object::default()
        }
    }

    fn text(events: Vec<Event<Object>>) -> String {
        let name = |object: &Object| object.name_any() + &object.resource_version().unwrap_or_default();
        let one = |event: &Event<Object>| match event {
            Event::Init => "init".to_owned(),
            Event::InitApply(object) => format!("?{}", name(object)),
            Event::InitDone => "done".to_owned(),
            Event::Apply(object) => format!("+{}", name(object)),
            Event::Delete(object) => format!("-{}", name(object)),
        };
        events.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    /// Feeds `0 init`, `1 +a1` and the like, and returns what is sent after each.
    fn feed(merge: &mut Merge<Object>, steps: &[(usize, &str, &str)]) {
        for (number, step, expected) in steps {
            let at = |sign| step.strip_prefix(sign).map(|name| object(&name[..1], &name[1..]));
            let event = match (*step, at('?'), at('+'), at('-')) {
                ("init", ..) => Event::Init,
                ("done", ..) => Event::InitDone,
                (_, Some(object), _, _) => Event::InitApply(object),
                (_, _, Some(object), _) => Event::Apply(object),
                (_, _, _, Some(object)) => Event::Delete(object),
                _ => unreachable!("{step}"),
            };
            assert_eq!(text(merge.take(*number, event)), *expected, "after {number} {step}");
        }
    }

    #[test]
    fn the_first_lists_are_one_and_later_ones_bring_the_differences() {
        let mut merge = Merge::new(2);
        feed(
            &mut merge,
            &[
                (0, "init", "init"),
                (0, "?a1", ""),
                (0, "done", "?a1"),
                (0, "+b2", "?b2"),
                (1, "init", ""),
                (1, "?c3", ""),
                (1, "done", "?c3 done"),
                (0, "+a4", "+a4"),
                (1, "-c5", "-c5"),
                // The watch broke: a5 is new, b is gone.
                (0, "init", ""),
                (0, "?a5", ""),
                (0, "done", "+a5 -b2"),
            ],
        );
    }

    #[test]
    fn a_deletion_before_all_are_listed_comes_after_the_list() {
        let mut merge = Merge::new(2);
        feed(
            &mut merge,
            &[
                (0, "init", "init"),
                (0, "?a1", ""),
                (0, "?b1", ""),
                (0, "done", "?a1 ?b1"),
                (0, "-a2", ""),
                (0, "-b2", ""),
                (0, "+b3", "?b3"),
                (1, "init", ""),
                (1, "done", "done -a2"),
            ],
        );
    }

    #[test]
    fn a_list_that_broke_off_is_forgotten() {
        let mut merge = Merge::new(1);
        feed(
            &mut merge,
            &[
                (0, "init", "init"),
                (0, "?a1", ""),
                (0, "init", ""),
                (0, "?b2", ""),
                (0, "done", "?b2 done"),
            ],
        );
    }
}
