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
    pub fn with<T>(
        &self,
        name: &Name,
        token: &RealtimeToken,
        work: impl FnOnce(&mut Memory) -> T,
    ) -> T {
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
    pub fn if_known<T>(
        &self,
        name: &Name,
        uid: &str,
        work: impl FnOnce(&mut Memory) -> T,
    ) -> Option<T> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get_mut(name)
            .filter(|memory| memory.uid == uid)
            .map(work)
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
        self.if_known(&Name::of(token), uid, |memory| {
            memory.status.take_if(echo).is_some()
        })
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
            .filter(|memory| {
                memory
                    .held
                    .as_ref()
                    .is_some_and(|held| held.revision.is_none())
            })
            .count()
    }

    /// The RealtimeToken is gone.
    pub fn forget(&self, name: &Name) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
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
        let mut all = self
            .memories
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
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
        let seen = token
            .metadata
            .resource_version
            .as_deref()
            .unwrap_or_default();
        let caught_up =
            |written: &WrittenStatus| match (seen.parse::<u64>(), written.version.parse::<u64>()) {
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;
    use crate::providers::Minted;
    use crate::token::{Issued, Stored};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn held() -> Held {
        Held {
            minted: Minted {
                provider: "openai".into(),
                value: "token".into(),
                issued_at: at(100),
                usable_until: at(1900),
                expires_at: at(1900),
                config: serde_json::Map::new(),
                outputs: std::collections::BTreeMap::new(),
            },
            fingerprint: "f".into(),
            credential_revision: "c".into(),
            renew_request: None,
            revision: None,
        }
    }

    fn stored(issued_at: Timestamp) -> TargetState {
        TargetState::Ours(Box::new(Stored {
            uid: "uid".into(),
            resource_version: "7".into(),
            issued: Some(Issued {
                issued_at,
                usable_until: at(1900),
                expires_at: at(1900),
                revision: 3,
                fingerprint: "f".into(),
                credential_revision: "c".into(),
                renew_request: None,
            }),
            intact: true,
            metadata_hash: None,
            renewal_time: None,
        }))
    }

    #[test]
    fn the_echo_of_our_own_status_is_known_once() {
        let memories = Memories::default();
        let token = |version: &str, change: Value| -> RealtimeToken {
            let mut metadata = json!({
                "name": "voice", "namespace": "shop", "uid": "u", "resourceVersion": version, "generation": 1,
            });
            metadata
                .as_object_mut()
                .unwrap()
                .extend(change.as_object().cloned().unwrap());
            serde_json::from_value(json!({"metadata": metadata, "spec": {"credentials": {}}}))
                .unwrap()
        };
        let echo = |version: &str| token(version, json!({}));
        assert!(!memories.wrote(&echo("7")), "nothing was written");
        memories.with(&Name::new("shop", "voice"), &echo("6"), |memory| {
            let status = RealtimeTokenStatus {
                observed_generation: Some(1),
                ..Default::default()
            };
            memory.status = Some(Box::new(WrittenStatus {
                version: "7".into(),
                status,
                renew_request: None,
            }));
        });
        for change in [
            json!({"generation": 2}),
            json!({"annotations": {RENEW_REQUESTED_AT: "now"}}),
            json!({"deletionTimestamp": "2026-11-24T00:00:00Z"}),
            json!({"uid": "another"}),
            json!({"resourceVersion": "6"}),
            json!({"resourceVersion": "8"}),
        ] {
            assert!(!memories.wrote(&token("7", change.clone())), "{change}");
        }
        assert!(memories.wrote(&echo("7")));
        assert!(!memories.wrote(&echo("7")), "told once");
    }

    #[test]
    fn a_memory_that_says_nothing_is_forgotten() {
        let memories = Memories::default();
        let name = Name::new("shop", "voice");
        let token: RealtimeToken = serde_json::from_value(json!({
            "metadata": {"name": "voice", "namespace": "shop", "uid": "u"}, "spec": {"credentials": {}},
        }))
        .unwrap();
        let says: [fn(&mut Memory); 4] = [
            |memory| memory.minting = true,
            |memory| memory.held = Some(Box::new(held())),
            |memory| memory.last_mint = Some(at(100)),
            |memory| memory.failures = 1,
        ];
        let known = || memories.0.lock().unwrap().len();
        for say in says {
            memories.with(&name, &token, say);
            memories.tidy(at(100), |_| true);
            assert_eq!(known(), 1);
            memories.tidy(at(100), |_| false);
            assert_eq!(known(), 0, "the object is gone");
        }
        memories.with(&name, &token, |memory| memory.last_mint = Some(at(100)));
        memories.tidy(at(109), |_| true);
        assert_eq!(known(), 1, "holds back a mint");
        memories.tidy(at(110), |_| true);
        assert_eq!(known(), 0);
    }

    /// A status that could not be written still tells of the failures before.
    #[test]
    fn a_failed_request_brings_no_backoff_back() {
        let memories = Memories::default();
        let name = Name::new("shop", "voice");
        let token: RealtimeToken = serde_json::from_value(json!({
            "metadata": {"name": "voice", "namespace": "shop", "uid": "u"}, "spec": {"credentials": {}},
            "status": {
                "failedMintAttempts": 5,
                "lastFailureTime": "2026-11-24T00:00:00Z",
                "nextAttemptTime": "2026-11-24T00:08:00Z",
                "conditions": [{
                    "type": "Renewing", "status": "True", "reason": "MintFailed", "message": "",
                    "lastTransitionTime": "2026-11-24T00:00:00Z",
                }],
            },
        }))
        .unwrap();
        let attempts = || memories.with(&name, &token, |memory| memory.attempts.is_some());
        assert_eq!((memories.failed(&name, "u"), attempts()), (1, false));
        assert_eq!(memories.failed(&name, "u"), 2);
        assert_eq!(memories.failed(&name, "another"), 1);
        memories.forget(&name);
        assert!(attempts(), "as after a restart");
    }

    #[test]
    fn a_turn_keeps_the_memory_until_it_ends() {
        let memories = Memories::default();
        let name = Name::new("shop", "voice");
        let token: RealtimeToken = serde_json::from_value(json!({
            "metadata": {"name": "voice", "namespace": "shop", "uid": "u"}, "spec": {"credentials": {}},
        }))
        .unwrap();
        let known = || memories.0.lock().unwrap().len();
        let turn = memories.turn(&name, &token).unwrap();
        memories.tidy(at(1000), |_| false);
        assert_eq!(known(), 1);
        drop(turn);
        assert_eq!(known(), 0);

        let turn = memories.turn(&name, &token).unwrap();
        memories.with(&name, &token, |memory| memory.minting = true);
        drop(turn);
        assert!(
            memories.turn(&name, &token).is_none(),
            "a mint is under way"
        );
        assert_eq!(known(), 1);
    }

    #[test]
    fn a_write_that_landed_without_an_answer_is_recognised() {
        let mut memory = Memory {
            held: Some(Box::new(held())),
            ..Memory::default()
        };
        for other in [TargetState::Absent, stored(at(99))] {
            memory.recognise(&other);
            memory.let_go(at(1000));
            assert_eq!(
                memory.held.as_ref().unwrap().revision,
                None,
                "not stored yet, so kept"
            );
        }
        memory.recognise(&stored(at(100)));
        assert_eq!(memory.held.as_ref().unwrap().revision, Some(3));
        memory.let_go(at(1000));
        assert!(memory.held.is_none(), "stored, so let go");
    }
}
