//! Reviews whose answer may well be no, limited for each address or caller: a no uses up a place, and without a place
//! the API server isn't asked. A place is taken before the review and given back after a yes, so that reviews under way at
//! the same time are counted too.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::limits::Bucket;
use crate::api::RateLimit;
use crate::clock::now;

/// How often the answer may be no.
const LIMIT: RateLimit = RateLimit {
    requests_per_minute: 60,
    burst: 20,
};
/// Addresses or callers for which that is counted.
const MOST: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// Cheap to clone.
pub(super) struct Unproven<K: Eq + Hash>(Arc<Mutex<LruCache<K, Asker>>>);

#[derive(Default)]
struct Asker {
    bucket: Bucket,
    /// Places of reviews that have not ended.
    under_way: usize,
    ended: Arc<Notify>,
}

/// A review's place, given back when it is dropped.
pub(super) struct Place<K: Eq + Hash> {
    askers: Unproven<K>,
    asker: K,
    is_used_up: bool,
}

impl<K: Eq + Hash> Clone for Unproven<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Clone + Eq + Hash> Unproven<K> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(LruCache::new(MOST))))
    }

    /// Takes a place. Waits for the end of reviews whose place may be given back; the error is in how many seconds there is
    /// one otherwise.
    pub(super) async fn take(&self, asker: K) -> Result<Place<K>, u64> {
        loop {
            let ended = {
                let mut askers = self.0.lock();
                let state = askers.get_or_insert_mut(asker.clone(), Asker::default);
                let now = now();
                match state.bucket.take(LIMIT, now) {
                    Ok(()) => {
                        state.under_way += 1;
                        break;
                    }
                    Err(until) if state.under_way == 0 => {
                        let seconds = until.duration_since(now).as_secs() + 1;
                        return Err(seconds.unsigned_abs());
                    }
                    Err(_) => Arc::clone(&state.ended).notified_owned(),
                }
            };
            ended.await;
        }
        Ok(Place {
            askers: self.clone(),
            asker,
            is_used_up: false,
        })
    }
}

impl<K: Eq + Hash> Place<K> {
    /// The answer was no.
    pub(super) fn use_up(mut self) {
        self.is_used_up = true;
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut askers = self.askers.0.lock();
        // Not there if others have pushed it out.
        if let Some(state) = askers.get_mut(&self.asker) {
            state.under_way = state.under_way.saturating_sub(1);
            if !self.is_used_up {
                state.bucket.give_back(LIMIT);
            }
            state.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_yes_costs_nothing_and_a_no_a_place() {
        let askers = Unproven::new();
        for _ in 0..100 {
            assert!(askers.take("a").await.is_ok());
        }
        for _ in 0..20 {
            askers.take("a").await.ok().unwrap().use_up();
        }
        assert!((1..=2).contains(&askers.take("a").await.err().unwrap()));
        assert!(askers.take("b").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_all_places_taken_waits_for_the_answers() {
        let askers = Unproven::new();
        let mut places = Vec::new();
        for _ in 0..20 {
            places.push(askers.take("a").await.ok().unwrap());
        }
        let mut one_more = Box::pin(askers.take("a"));
        assert!(one_more.as_mut().now_or_never().is_none());
        drop(places.pop());
        let one_more = one_more.await.ok().unwrap();
        let mut another = Box::pin(askers.take("a"));
        assert!(another.as_mut().now_or_never().is_none());
        one_more.use_up();
        places.into_iter().for_each(Place::use_up);
        assert!(another.await.is_err());
    }
}
