//! What the controller remembers of each RealtimeToken beyond what the cluster holds. Losing it costs nothing: after a
//! restart the Secret's annotations and the status say the same.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use kube::ResourceExt;

use crate::api::{RENEW_REQUESTED_AT, RealtimeToken, RealtimeTokenStatus};
use crate::cluster::Name;
use crate::token::{Attempts, Held, TargetState, decide, report};

/// The memories of all RealtimeTokens.
#[derive(Debug, Default)]
pub struct Memories(Mutex<HashMap<Name, Memory>>);

/// The memory of one. While a token is fresh there is none: ten thousand that rest take no room.
#[derive(Debug, Default)]
pub struct Memory {
    uid: String,
    /// A reconcile is under way, for which the object is as it was when it began.
    reconciling: bool,
    /// A mint is under way.
    pub minting: bool,
    /// A token that is not stored yet, or was stored within the smallest interval between two mints: should its
    /// Secret be lost so soon, it is written again instead of minting. Dropped by the next [`Memories::tidy`] or look.
    pub held: Option<Box<Held>>,
    /// When the last token was asked for. A mint that failed is spaced by its backoff instead.
    pub last_mint: Option<Timestamp>,
    /// Mints that failed since the last success.
    pub attempts: Option<Box<Attempts>>,
    /// Our last status write, until the watch has caught up with it.
    pub status: Option<Box<WrittenStatus>>,
    /// Requests to the Kubernetes API that failed in a row.
    pub failures: u32,
}

/// A status that the watch may not have shown yet.
#[derive(Clone, Debug)]
pub struct WrittenStatus {
    /// The object's resourceVersion after the write.
    pub version: String,
    /// The status.
    pub status: RealtimeTokenStatus,
    /// The annotation that asked for a renewal at the time.
    pub renew_request: Option<String>,
}

impl Memories {
    /// Works on one memory; a RealtimeToken created anew under an old name starts with an empty one.
    pub fn with<T>(&self, name: &Name, token: &RealtimeToken, work: impl FnOnce(&mut Memory) -> T) -> T {
        let uid = token.metadata.uid.as_deref().unwrap_or_default();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = all.entry(name.clone()).or_default();
        if memory.uid != uid {
            *memory = Memory {
                uid: uid.to_owned(),
                attempts: report::attempts(token).map(Box::new),
                ..Memory::default()
            };
        }
        work(memory)
    }

    /// Counts a request to the Kubernetes API that failed, and says how many have in a row. Where nothing was remembered,
    /// no mint had failed: a status that says so is an old one.
    pub fn failed(&self, name: &Name, uid: &str) -> u32 {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let memory = all.entry(name.clone()).or_default();
        if memory.uid != uid {
            *memory = Memory {
                uid: uid.to_owned(),
                ..Memory::default()
            };
        }
        memory.failures = memory.failures.saturating_add(1);
        memory.failures
    }

    /// Works on a memory if there still is one.
    pub fn if_known<T>(&self, name: &Name, uid: &str, work: impl FnOnce(&mut Memory) -> T) -> Option<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_mut(name).filter(|memory| memory.uid == uid).map(work)
    }

    /// Whether this version of the object is but the echo of our own last status write, with nothing in it that the
    /// write didn't rest on. The watch has caught up with the write then.
    pub fn wrote(&self, token: &impl ResourceExt) -> bool {
        let meta = token.meta();
        let (Some(uid), Some(version)) = (&meta.uid, &meta.resource_version) else {
            return false;
        };
        let echo = |written: &mut Box<WrittenStatus>| {
            written.version == *version
                && written.status.observed_generation == meta.generation
                && written.renew_request.as_ref() == token.annotations().get(RENEW_REQUESTED_AT)
                && meta.deletion_timestamp.is_none()
        };
        self.if_known(&Name::of(token), uid, |memory| memory.status.take_if(echo).is_some())
            .unwrap_or(false)
    }

    /// Begins a reconcile, unless a mint is under way: its end begins the next.
    pub fn turn(&self, name: &Name, token: &RealtimeToken) -> Option<Turn<'_>> {
        let free = |memory: &mut Memory| {
            memory.reconciling = !memory.minting;
            memory.reconciling
        };
        self.with(name, token, free).then(|| Turn {
            memories: self,
            name: name.clone(),
        })
    }

    /// Lets go of what is kept for a while, and forgets whoever then has nothing more to say than the cluster has, or is
    /// gone.
    pub fn tidy(&self, now: Timestamp, exists: impl Fn(&Name) -> bool) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, memory| {
            memory.let_go(now);
            memory.reconciling || (!memory.is_empty() && exists(name))
        });
    }

    /// How many tokens were minted and not stored yet.
    pub fn unstored(&self) -> usize {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.values()
            .filter(|memory| memory.held.as_ref().is_some_and(|held| held.revision.is_none()))
            .count()
    }

    /// The RealtimeToken is gone.
    pub fn forget(&self, name: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

/// A reconcile under way.
#[must_use]
pub struct Turn<'a> {
    memories: &'a Memories,
    name: Name,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut all = self.memories.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = all.get_mut(&self.name).is_some_and(|memory| {
            memory.reconciling = false;
            memory.is_empty()
        });
        if ended {
            all.remove(&self.name);
        }
    }
}

impl Memory {
    /// Notices that a token whose write got no answer was stored all the same.
    pub fn recognise(&mut self, target: &TargetState) {
        if let TargetState::Ours(stored) = target
            && let Some(issued) = &stored.issued
            && let Some(held) = &mut self.held
            && held.minted.issued_at == issued.issued_at
        {
            held.revision = Some(issued.revision);
        }
    }

    fn is_empty(&self) -> bool {
        let Self {
            uid: _,
            reconciling,
            minting,
            held,
            last_mint,
            attempts,
            status,
            failures,
        } = self;
        !reconciling
            && !minting
            && held.is_none()
            && last_mint.is_none()
            && attempts.is_none()
            && status.is_none()
            && *failures == 0
    }

    /// Lets go of a stored token when its time in memory is over, and of a mint that holds back no other any more.
    pub fn let_go(&mut self, now: Timestamp) {
        let over = |since: Timestamp| now.duration_since(since) >= decide::MIN_INTERVAL;
        self.held
            .take_if(|held| held.revision.is_some() && over(held.minted.issued_at));
        self.last_mint.take_if(|last| over(*last));
    }

    /// After a restart the status tells of failures, but not of what was asked for: it was what is wanted now, as far
    /// as anybody knows. A change from here on lifts the backoff, as the status promises.
    pub fn remember_asked(&mut self, wanted: impl FnOnce() -> Option<String>) {
        if let Some(attempts) = self.attempts.as_mut().filter(|known| known.asked.is_none()) {
            attempts.asked = wanted();
            if attempts.asked.is_none() {
                self.attempts = None;
            }
        }
    }

    /// The status as last written by us, or as the watch shows it if that is newer.
    pub fn prior_status(&mut self, token: &RealtimeToken) -> RealtimeTokenStatus {
        let seen = token.metadata.resource_version.as_deref().unwrap_or_default();
        let caught_up = |written: &WrittenStatus| match (seen.parse::<u64>(), written.version.parse::<u64>()) {
            (Ok(seen), Ok(written)) => seen >= written,
            _ => true,
        };
        if self.status.as_deref().is_some_and(caught_up) {
            self.status = None;
        }
        match &self.status {
            Some(written) => written.status.clone(),
            None => token.status.clone().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests;
