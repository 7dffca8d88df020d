//! Which key Secrets are in use, which version of each was read, and which one the watch shows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::KEEP;
use super::read::Read;
use crate::cluster::watch::Part;
use crate::cluster::{Name, SecretVersion};

/// How long a Secret is known after its last use. Every RealtimeToken uses its own at least every five minutes.
const IDLE: Duration = Duration::from_secs(6 * 60);
/// The Secrets of a namespace that are known. One more takes the place of the one that was not used for longest, which is
/// then read at its next use.
pub(super) const PER_NAMESPACE: usize = 1000;

/// A resourceVersion; `None` if there is no Secret.
type Version = Option<String>;

#[derive(Default)]
pub(super) struct Known {
    /// By namespace and name.
    secrets: HashMap<String, HashMap<String, Arc<KeySecret>>>,
    /// The parts of the watch that have listed everything once.
    listed: HashSet<Part>,
    /// The lists under way, by number.
    lists: HashMap<Part, u64>,
    last_list: u64,
}

pub(super) struct KeySecret {
    pub(super) read: tokio::sync::Mutex<Option<Read>>,
    seen: Mutex<Seen>,
}

struct Seen {
    used_at: Instant,
    /// The version that was read last; `None` while there is no read.
    read: Option<Version>,
    /// What the watch has shown since that read began.
    shown: Option<Version>,
    /// The last list that the Secret was in.
    listed: u64,
    /// Since it was last read.
    failing: Option<Failing>,
}

/// Reads that failed, one after the other.
#[derive(Clone, Copy)]
struct Failing {
    since: Instant,
    last: Instant,
}

impl Failing {
    fn is_lasting(&self) -> bool {
        self.last - self.since >= KEEP
    }
}

impl Known {
    /// The Secret, which is in use.
    pub(super) fn used(&mut self, name: &Name) -> Arc<KeySecret> {
        let of_namespace = self.secrets.entry(name.namespace.clone()).or_default();
        if let Some(known) = of_namespace.get(&name.name) {
            known.seen.lock().used_at = Instant::now();
            return Arc::clone(known);
        }
        if of_namespace.len() >= PER_NAMESPACE {
            let oldest = of_namespace.iter().min_by_key(|(_, secret)| secret.seen.lock().used_at);
            let oldest = oldest.map(|(name, _)| name.clone());
            oldest.and_then(|name| of_namespace.remove(&name));
        }
        let secret = Arc::new(KeySecret::new());
        of_namespace.insert(name.name.clone(), Arc::clone(&secret));
        secret
    }

    /// Whether the watch would have shown that the Secret has changed.
    pub(super) fn is_listed(&self, name: &Name) -> bool {
        let covers = |part: &Part| part.as_deref().is_none_or(|namespace| *namespace == name.namespace);
        self.listed.iter().any(covers)
    }

    /// The watch shows nothing until it has listed again.
    pub(super) fn unlist(&mut self) {
        self.listed.clear();
    }

    /// Forgets what is not used, and returns the rest.
    pub(super) fn tidy(&mut self) -> Vec<Arc<KeySecret>> {
        self.secrets.retain(|_, of_namespace| {
            of_namespace.retain(|_, secret| secret.seen.lock().used_at.elapsed() < IDLE);
            !of_namespace.is_empty()
        });
        self.secrets.values().flat_map(HashMap::values).cloned().collect()
    }

    /// Those that reads have long failed of, and that are to be tried again.
    pub(super) fn to_be_read_again(&self) -> Vec<Name> {
        let all = self
            .secrets
            .iter()
            .flat_map(|(namespace, secrets)| secrets.iter().map(move |it| (namespace, it)));
        let due = all.filter(|(_, (_, secret))| secret.is_to_be_read_again());
        due.map(|(namespace, (name, _))| Name::new(namespace, name)).collect()
    }

    /// Returns the Secrets in use that are not as they were read.
    pub(super) fn apply_event(&mut self, part: &Part, event: Event<SecretVersion>) -> Vec<Name> {
        match event {
            Event::Init => {
                self.last_list += 1;
                self.lists.insert(part.clone(), self.last_list);
                Vec::new()
            }
            Event::InitApply(secret) => {
                let list = self.lists.get(part).copied();
                self.show(&secret, true, list).into_iter().collect()
            }
            Event::Apply(secret) => self.show(&secret, true, None).into_iter().collect(),
            Event::Delete(secret) => self.show(&secret, false, None).into_iter().collect(),
            Event::InitDone => {
                self.listed.insert(part.clone());
                let list = self.lists.remove(part).unwrap_or_default();
                self.show_unlisted(part, list)
            }
        }
    }

    fn show(&self, secret: &SecretVersion, exists: bool, list: Option<u64>) -> Option<Name> {
        let name = Name::of(secret);
        let known = self.secrets.get(&name.namespace)?.get(&name.name)?;
        let mut seen = known.seen.lock();
        seen.listed = list.unwrap_or(seen.listed);
        let version = secret.resource_version().filter(|_| exists);
        seen.show(version).then_some(name)
    }

    /// What was not listed is gone: the watch may have missed its deletion.
    fn show_unlisted(&self, part: &Part, list: u64) -> Vec<Name> {
        let covered = self.secrets.iter().filter(|(namespace, _)| match part {
            None => true,
            Some(part) => **part == ***namespace,
        });
        let all = covered.flat_map(|(namespace, secrets)| secrets.iter().map(move |(name, it)| (namespace, name, it)));
        let gone = all.filter(|(.., secret)| {
            let mut seen = secret.seen.lock();
            seen.listed != list && seen.show(None)
        });
        gone.map(|(namespace, name, _)| Name::new(namespace, name)).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.secrets.values().map(HashMap::len).sum()
    }
}

impl KeySecret {
    fn new() -> Self {
        Self {
            read: tokio::sync::Mutex::default(),
            seen: Mutex::new(Seen {
                used_at: Instant::now(),
                read: None,
                shown: None,
                listed: 0,
                failing: None,
            }),
        }
    }

    /// What the watch shows from here on may be newer than what is about to be read.
    pub(super) fn begin_read(&self) {
        let mut seen = self.seen.lock();
        (seen.read, seen.shown) = (None, None);
    }

    pub(super) fn end_read(&self, version: Option<&str>) {
        let mut seen = self.seen.lock();
        (seen.read, seen.failing) = (Some(version.map(str::to_owned)), None);
    }

    pub(super) fn fail_read(&self) {
        let mut seen = self.seen.lock();
        let now = Instant::now();
        let since = seen.failing.map_or(now, |failing| failing.since);
        seen.failing = Some(Failing { since, last: now });
    }

    /// Whether reads have failed for a minute, the last time less than a minute ago: looks don't ask again so soon.
    pub(super) fn reads_are_paused(&self) -> bool {
        let failing = self.seen.lock().failing.filter(Failing::is_lasting);
        failing.is_some_and(|failing| failing.last.elapsed() < KEEP)
    }

    fn is_to_be_read_again(&self) -> bool {
        let failing = self.seen.lock().failing.filter(Failing::is_lasting);
        failing.is_some_and(|failing| failing.last.elapsed() >= KEEP)
    }

    /// Whether the last attempt to read failed, or the watch shows another version than was read. That may be an older
    /// one, if the watch is behind: then the Secret is read once too often. Versions are not ordered here, for a backup of
    /// the API server's data that is restored goes back to old ones.
    pub(super) fn is_outdated(&self) -> bool {
        let seen = self.seen.lock();
        seen.read.is_none() || seen.shown.is_some() && seen.shown != seen.read
    }
}

impl Seen {
    /// Returns whether that is another version than was read.
    fn show(&mut self, version: Version) -> bool {
        let differs = self.read.as_ref() != Some(&version);
        self.shown = Some(version);
        differs
    }
}
