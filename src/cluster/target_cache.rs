//! What is known of the target Secrets: what the watch shows, overlaid with our own writes.
//!
//! Between a change and another the newer resourceVersion wins, so that a decision never rests on a state older than our
//! last write. A list says what there is, in whatever version: an API server whose data was restored from a backup goes
//! back to old ones. Only a write that was answered after the list began may be newer than the list.

mod absent;

use std::collections::HashMap;
use std::sync::Arc;

use kube::runtime::watcher::Event;
use parking_lot::Mutex;
use tokio::time::Instant;

use self::absent::Absent;
use super::watch::Part;
use super::{Name, SecretMeta};
use crate::token::resource_version::at_least_as_new;
use crate::token::secret::SecretView;

#[derive(Default)]
pub(super) struct TargetCache(Mutex<Known>);

#[derive(Default)]
struct Known {
    secrets: HashMap<Name, Target>,
    absent: Absent,
    /// The lists under way, by what they cover: when each began.
    lists: HashMap<Part, u64>,
    /// Counts the writes and the lists, to tell their order.
    clock: u64,
}

struct Target {
    view: Arc<SecretView>,
    /// When our last write was answered; 0 if there was none.
    written: u64,
    /// When the last list began that the Secret was in; 0 if there was none.
    listed: u64,
}

impl TargetCache {
    pub(super) fn get(&self, name: &Name) -> Option<Arc<SecretView>> {
        let known = self.0.lock();
        known.secrets.get(name).map(|target| Arc::clone(&target.view))
    }

    /// Whether the Secret was looked up lately and not found.
    pub(super) fn is_absent(&self, name: &Name) -> bool {
        self.0.lock().absent.contains(name, Instant::now())
    }

    /// Takes in that there was no such Secret when it was asked for.
    pub(super) fn note_absent(&self, name: &Name, asked: Instant) {
        self.0.lock().absent.insert(name, asked);
    }

    /// Has the next look at a Secret be live.
    pub(super) fn forget(&self, name: &Name) {
        let mut known = self.0.lock();
        known.secrets.remove(name);
        known.absent.remove(name);
    }

    pub(super) fn insert_written(&self, name: &Name, view: &Arc<SecretView>) {
        let mut known = self.0.lock();
        let now = known.tick();
        known.upsert(name, view).written = now;
    }

    /// Applies an event of the watch on `part`.
    pub(super) fn apply_event(&self, part: &Part, event: Event<SecretMeta>) -> Vec<Name> {
        let mut known = self.0.lock();
        match event {
            Event::Init => {
                let now = known.tick();
                known.lists.insert(part.clone(), now);
                Vec::new()
            }
            Event::InitApply(secret) => known.list(part, &secret).into_iter().collect(),
            Event::Apply(secret) => known.change(&secret).into_iter().collect(),
            Event::Delete(secret) => known.remove(&secret).into_iter().collect(),
            Event::InitDone => known.remove_unlisted(part),
        }
    }
}

impl Known {
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn upsert(&mut self, name: &Name, view: &Arc<SecretView>) -> &mut Target {
        self.absent.remove(name);
        let target = self.secrets.entry(name.clone()).or_insert_with(|| Target {
            view: Arc::clone(view),
            written: 0,
            listed: 0,
        });
        if !at_least_as_new(target.view.resource_version(), view.resource_version()) {
            target.view = Arc::clone(view);
        }
        target
    }

    /// Returns the RealtimeToken if the Secret is now another.
    fn change(&mut self, secret: &SecretMeta) -> Option<Name> {
        let (name, view) = (secret.name(), &secret.view);
        let before = self.version(&name);
        let after = self.upsert(&name, view).view.resource_version();
        let differs = before.as_deref() != Some(after);
        token_of(&name, view).filter(|_| differs)
    }

    fn list(&mut self, part: &Part, secret: &SecretMeta) -> Option<Name> {
        let (name, view) = (secret.name(), &secret.view);
        let began = self.lists.get(part).copied().unwrap_or_default();
        let before = self.version(&name);
        let target = self.upsert(&name, view);
        target.listed = began;
        if target.written <= began {
            target.view = Arc::clone(view);
        }
        let differs = before.as_deref() != Some(target.view.resource_version());
        token_of(&name, view).filter(|_| differs)
    }

    fn version(&self, name: &Name) -> Option<String> {
        let known = self.secrets.get(name)?;
        Some(known.view.resource_version().to_owned())
    }

    fn remove(&mut self, secret: &SecretMeta) -> Option<Name> {
        let (name, last) = (secret.name(), &secret.view);
        // If we created it anew before the deletion of its predecessor came through the watch, it stays.
        let known = self.secrets.get(&name).map(|target| &target.view);
        if known.is_some_and(|known| !at_least_as_new(last.resource_version(), known.resource_version())) {
            return None;
        }
        self.secrets.remove(&name);
        token_of(&name, last)
    }

    /// What was not listed is gone, or was created after the list: the next look is live and shows which.
    fn remove_unlisted(&mut self, part: &Part) -> Vec<Name> {
        let began = self.lists.remove(part).unwrap_or_default();
        let covers = |name: &Name| part.as_deref().is_none_or(|namespace| *namespace == name.namespace);
        let gone = self
            .secrets
            .extract_if(|name, target| covers(name) && target.listed != began);
        gone.filter_map(|(name, target)| token_of(&name, &target.view))
            .collect()
    }
}

/// The RealtimeToken of a Secret is in the same namespace.
fn token_of(secret: &Name, view: &SecretView) -> Option<Name> {
    view.token_name().map(|token| Name::new(&secret.namespace, token))
}

#[cfg(test)]
mod tests;
