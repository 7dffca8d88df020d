//! Which tokens were handed out, so that one that serves a single caller is not handed out again if the provider gives it
//! a second time: an endpoint that caches does, and so does a signature over the same claims within the same second.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use secrecy::ExposeSecret;

use crate::cluster::Name;
use crate::token::{Minted, hash};

/// Tokens remembered for each RealtimeToken, as hashes.
const MOST: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

#[derive(Default)]
pub(super) struct HandedOut(Mutex<HashMap<Name, LruCache<String, ()>>>);

impl HandedOut {
    /// Notes a token, and says whether it is one that was never noted.
    pub(super) fn is_new(&self, name: &Name, minted: &Minted) -> bool {
        let key = hash::short(minted.value.expose_secret().as_bytes());
        let mut all = self.0.lock();
        let of_token = all.entry(name.clone()).or_insert_with(|| LruCache::new(MOST));
        of_token.put(key, ()).is_none()
    }

    /// Forgets the RealtimeTokens that are gone.
    pub(super) fn retain(&self, exists: impl Fn(&Name) -> bool) {
        self.0.lock().retain(|name, _| exists(name));
    }
}
