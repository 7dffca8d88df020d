//! What is known of the target Secrets: what the watch shows, overlaid with our own writes.
//!
//! The newer resourceVersion wins, so that a decision never rests on a state older than our last write.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use parking_lot::Mutex;

use super::{Name, SecretMeta};
use crate::token::resource_version::at_least_as_new;
use crate::token::secret::SecretView;

#[derive(Default)]
pub(super) struct TargetCache(Mutex<Known>);

#[derive(Default)]
struct Known {
    secrets: HashMap<Name, Arc<SecretView>>,
    /// The names that the watch has listed since it began to list anew.
    listed: HashSet<Name>,
}

impl TargetCache {
    pub(super) fn get(&self, name: &Name) -> Option<Arc<SecretView>> {
        self.0.lock().secrets.get(name).cloned()
    }

    /// Has the next look at a Secret be live.
    pub(super) fn forget(&self, name: &Name) {
        self.0.lock().secrets.remove(name);
    }

    pub(super) fn insert_written(&self, name: &Name, view: &Arc<SecretView>) {
        self.0.lock().upsert(name, Arc::clone(view));
    }

    pub(super) fn apply_event(&self, event: Event<SecretMeta>) -> Vec<Name> {
        let mut known = self.0.lock();
        match event {
            Event::Init => {
                known.listed.clear();
                Vec::new()
            }
            Event::InitApply(secret) => {
                let name = secret.name();
                let changed = known.observe(&name, secret.view);
                known.listed.insert(name);
                changed.into_iter().collect()
            }
            Event::Apply(secret) => known.observe(&secret.name(), secret.view).into_iter().collect(),
            Event::Delete(secret) => known.remove(&secret).into_iter().collect(),
            Event::InitDone => known.remove_unlisted(),
        }
    }
}

impl Known {
    /// Whether the view was news.
    fn upsert(&mut self, name: &Name, view: Arc<SecretView>) -> bool {
        let known = self.secrets.get(name);
        if known.is_some_and(|known| at_least_as_new(known.resource_version(), view.resource_version())) {
            return false;
        }
        self.secrets.insert(name.clone(), view);
        true
    }

    fn observe(&mut self, name: &Name, view: Arc<SecretView>) -> Option<Name> {
        let token = token_of(name, &view);
        self.upsert(name, view).then_some(token)?
    }

    fn remove(&mut self, secret: &SecretMeta) -> Option<Name> {
        let (name, last) = (secret.name(), &secret.view);
        // If we created it anew before the deletion of its predecessor came through the watch, it stays.
        let known = self.secrets.get(&name);
        if known.is_some_and(|known| !at_least_as_new(last.resource_version(), known.resource_version())) {
            return None;
        }
        self.secrets.remove(&name);
        token_of(&name, last)
    }

    /// What was not listed is gone, or was created after the list: the next look is live and shows which.
    fn remove_unlisted(&mut self) -> Vec<Name> {
        let listed = std::mem::take(&mut self.listed);
        let gone = self.secrets.extract_if(|name, _| !listed.contains(name));
        gone.filter_map(|(name, view)| token_of(&name, &view)).collect()
    }
}

/// The RealtimeToken of a Secret is in the same namespace.
fn token_of(secret: &Name, view: &SecretView) -> Option<Name> {
    view.token_name().map(|token| Name::new(&secret.namespace, token))
}
