//! The lifecycles of all RealtimeTokens. Holds no rule of its own: what is remembered changes in `token::lifecycle`.

use std::collections::HashMap;

use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::Mutex;

use crate::api::{RealtimeToken, RealtimeTokenStatus};
use crate::cluster::Name;
use crate::token::lifecycle::Step;
use crate::token::{Event, Lifecycle, Observation};

#[derive(Debug, Default)]
pub(super) struct Lifecycles(Mutex<HashMap<Name, Lifecycle>>);

impl Lifecycles {
    /// Takes in what a reconcile has seen. Of a RealtimeToken that was not known, what its status records is restored.
    pub(super) fn looked(&self, name: &Name, seen: &Observation<'_>) -> Step {
        let mut all = self.0.lock();
        let lifecycle = all.entry(name.clone()).or_default();
        if lifecycle.uid() != seen.uid() {
            *lifecycle = Lifecycle::restore(seen.token);
        }
        lifecycle.step(Event::Looked(seen))
    }

    /// Takes in any other event; `None` if the RealtimeToken was deleted or created anew meanwhile.
    pub(super) fn step(&self, name: &Name, uid: &str, event: Event<'_>) -> Option<Step> {
        self.with(name, uid, |lifecycle| lifecycle.step(event))
    }

    /// The credential's budget says that this is the time to try.
    pub(super) fn slot_came(&self, name: &Name, now: Timestamp) {
        if let Some(lifecycle) = self.0.lock().get_mut(name) {
            lifecycle.step(Event::SlotCame { now });
        }
    }

    fn with<T>(&self, name: &Name, uid: &str, work: impl FnOnce(&mut Lifecycle) -> T) -> Option<T> {
        let mut all = self.0.lock();
        all.get_mut(name).filter(|lifecycle| lifecycle.uid() == uid).map(work)
    }

    /// The status as last written by us, or as the watch shows it if that is newer.
    pub(super) fn known_status(&self, name: &Name, token: &RealtimeToken) -> RealtimeTokenStatus {
        let uid = token.metadata.uid.as_deref().unwrap_or_default();
        self.with(name, uid, |lifecycle| lifecycle.known_status(token))
            .unwrap_or_else(|| token.status.clone().unwrap_or_default())
    }

    pub(super) fn is_minting(&self, name: &Name, uid: &str) -> bool {
        self.with(name, uid, |lifecycle| lifecycle.is_minting()) == Some(true)
    }

    /// Whether this version of the object is but the echo of our own status write.
    pub(super) fn take_echo(&self, token: &impl ResourceExt) -> bool {
        let uid = token.meta().uid.as_deref().unwrap_or_default();
        self.with(&Name::of(token), uid, |lifecycle| lifecycle.take_echo(token)) == Some(true)
    }

    /// Lets go of tokens that were stored long enough ago, and of RealtimeTokens that are gone. A watch that was broken
    /// while one was deleted does not report the deletion.
    pub(super) fn sweep(&self, now: Timestamp, exists: impl Fn(&Name) -> bool) {
        self.0.lock().retain(|name, lifecycle| {
            lifecycle.release_stored(now);
            exists(name)
        });
    }

    /// How many tokens were minted and not stored yet.
    pub(super) fn unstored(&self) -> usize {
        self.0.lock().values().filter(|it| it.has_unstored_token()).count()
    }

    pub(super) fn remove(&self, name: &Name) {
        self.0.lock().remove(name);
    }
}
