//! The lifecycles of all RealtimeTokens. Holds no rule of its own: what is remembered changes in `token::lifecycle`.

use std::collections::HashMap;

use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::Mutex;

use crate::api::{RealtimeToken, RealtimeTokenStatus};
use crate::cluster::Name;
use crate::token::lifecycle::Step;
use crate::token::{Event, Lifecycle, Observation};

/// After so many sweeps in which nothing happened to it, a lifecycle at rest is dropped. That is longer than a reconcile
/// may take, which may rest on what was known before.
const SWEEPS_AT_REST: u8 = 8;

#[derive(Debug, Default)]
pub(super) struct Lifecycles(Mutex<HashMap<Name, Kept>>);

#[derive(Debug, Default)]
struct Kept {
    lifecycle: Lifecycle,
    /// Sweeps since something happened.
    sweeps: u8,
}

impl Kept {
    fn step(&mut self, event: Event<'_>) -> Step {
        self.sweeps = 0;
        self.lifecycle.step(event)
    }
}

impl Lifecycles {
    /// Takes in what a reconcile has seen. Of a RealtimeToken that was not known, what its status records is restored.
    pub(super) fn looked(&self, name: &Name, seen: &Observation<'_>) -> Step {
        let mut all = self.0.lock();
        let kept = all.entry(name.clone()).or_default();
        if kept.lifecycle.uid() != seen.uid() {
            kept.lifecycle = Lifecycle::restore(seen.token);
        }
        kept.step(Event::Looked(seen))
    }

    /// Takes in any other event; `None` if the RealtimeToken was deleted or created anew meanwhile.
    pub(super) fn step(&self, name: &Name, uid: &str, event: Event<'_>) -> Option<Step> {
        self.with(name, uid, |kept| kept.step(event))
    }

    /// The credential's budget says that this is the time to try.
    pub(super) fn slot_came(&self, name: &Name, now: Timestamp) {
        if let Some(kept) = self.0.lock().get_mut(name) {
            kept.step(Event::SlotCame { now });
        }
    }

    /// The API server answers again.
    pub(super) fn api_answered(&self, name: &Name, now: Timestamp) {
        if let Some(kept) = self.0.lock().get_mut(name) {
            kept.step(Event::ApiAnswered { now });
        }
    }

    fn with<T>(&self, name: &Name, uid: &str, work: impl FnOnce(&mut Kept) -> T) -> Option<T> {
        let mut all = self.0.lock();
        all.get_mut(name).filter(|kept| kept.lifecycle.uid() == uid).map(work)
    }

    /// The status as last written by us, or as the watch shows it if that is newer.
    pub(super) fn known_status(&self, name: &Name, token: &RealtimeToken) -> RealtimeTokenStatus {
        let uid = token.metadata.uid.as_deref().unwrap_or_default();
        self.with(name, uid, |kept| kept.lifecycle.known_status(token))
            .unwrap_or_else(|| token.status.clone().unwrap_or_default())
    }

    pub(super) fn is_minting(&self, name: &Name, uid: &str) -> bool {
        self.with(name, uid, |kept| kept.lifecycle.is_minting()) == Some(true)
    }

    /// Whether this version of the object is but the echo of our own status write.
    pub(super) fn take_echo(&self, token: &impl ResourceExt) -> bool {
        let uid = token.meta().uid.as_deref().unwrap_or_default();
        self.with(&Name::of(token), uid, |kept| kept.lifecycle.take_echo(token)) == Some(true)
    }

    /// Lets go of tokens that were stored long enough ago, of what is at rest, and of RealtimeTokens that are gone. A watch
    /// that was broken while one was deleted does not report the deletion.
    pub(super) fn sweep(&self, now: Timestamp, exists: impl Fn(&Name) -> bool) {
        self.0.lock().retain(|name, kept| {
            kept.lifecycle.release_stored(now);
            kept.sweeps = kept.sweeps.saturating_add(1);
            exists(name) && !(kept.sweeps >= SWEEPS_AT_REST && kept.lifecycle.is_at_rest())
        });
    }

    /// How many tokens were minted and not stored yet.
    pub(super) fn unstored(&self) -> usize {
        self.0
            .lock()
            .values()
            .filter(|kept| kept.lifecycle.has_unstored_token())
            .count()
    }

    pub(super) fn remove(&self, name: &Name) {
        self.0.lock().remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::fixtures::at;

    #[test]
    fn what_is_at_rest_is_dropped_when_nothing_has_happened_for_a_while() {
        let (all, name) = (Lifecycles::default(), Name::new("shop", "voice"));
        all.0.lock().insert(name.clone(), Kept::default());
        let sweep = || all.sweep(at(0), |_| true);
        for _ in 1..SWEEPS_AT_REST {
            sweep();
        }
        all.slot_came(&name, at(0));
        for _ in 1..SWEEPS_AT_REST {
            sweep();
            assert_eq!(all.0.lock().len(), 1);
        }
        sweep();
        assert_eq!(all.0.lock().len(), 0);
    }
}
