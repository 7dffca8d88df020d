//! How many requests are being answered: in all, for each caller, and from each address before it is known
//! whether the caller may.
//!
//! Who has no valid bearer token or no right is counted apart, so that strangers take no place of callers.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use super::problem::Problem;

/// Requests of all callers.
const MOST: usize = 1024;
/// Requests of one caller, by its user name.
const MOST_OF_CALLER: usize = 64;
/// Requests whose caller or right is being asked about, from one address and in all.
const MOST_UNKNOWN_FROM_ADDRESS: usize = 256;
const MOST_UNKNOWN: usize = 2048;

#[derive(Default)]
pub(super) struct InFlight {
    callers: Counts<String>,
    unknown: Counts<IpAddr>,
}

impl InFlight {
    /// Counts a request in whose caller or right is not known yet.
    pub(super) fn begin_unknown(&self, address: IpAddr) -> Result<Counted<IpAddr>, Problem> {
        let counted = self.unknown.count(address, MOST_UNKNOWN_FROM_ADDRESS, MOST_UNKNOWN);
        counted.map_err(|too_many| match too_many {
            TooMany::OfOne => Problem::too_many_unknown(),
            TooMany::OfAll => Problem::busy(),
        })
    }

    /// Counts a request of a caller in.
    pub(super) fn begin(&self, username: &str) -> Result<Counted<String>, Problem> {
        let counted = self.callers.count(username.to_owned(), MOST_OF_CALLER, MOST);
        counted.map_err(|too_many| match too_many {
            TooMany::OfOne => Problem::too_many_of_caller(MOST_OF_CALLER),
            TooMany::OfAll => Problem::busy(),
        })
    }
}

enum TooMany {
    OfOne,
    OfAll,
}

struct Counts<K>(Arc<Mutex<Of<K>>>);

struct Of<K> {
    each: HashMap<K, usize>,
    all: usize,
}

/// Counts a request out when it is dropped.
pub(super) struct Counted<K: Eq + Hash> {
    counts: Arc<Mutex<Of<K>>>,
    key: K,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        let each = HashMap::new();
        Self(Arc::new(Mutex::new(Of { each, all: 0 })))
    }
}

impl<K: Clone + Eq + Hash> Counts<K> {
    fn count(&self, key: K, most_of_one: usize, most: usize) -> Result<Counted<K>, TooMany> {
        let mut counts = self.0.lock();
        if counts.each.get(&key).is_some_and(|count| *count >= most_of_one) {
            return Err(TooMany::OfOne);
        }
        if counts.all >= most {
            return Err(TooMany::OfAll);
        }
        *counts.each.entry(key.clone()).or_default() += 1;
        counts.all += 1;
        Ok(Counted {
            counts: Arc::clone(&self.0),
            key,
        })
    }
}

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        counts.all -= 1;
        if let Some(count) = counts.each.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                counts.each.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_all_have_so_many_and_nothing_is_left_behind() {
        let all = InFlight::default();
        let status = |username: &str| all.begin(username).err().map(|problem| problem.status.as_u16());
        let mut begun: Vec<_> = (0..MOST_OF_CALLER).map(|_| all.begin("a").ok().unwrap()).collect();
        assert_eq!([status("a"), status("b")], [Some(429), None]);
        for caller in 1..MOST / MOST_OF_CALLER {
            let name = caller.to_string();
            begun.extend((0..MOST_OF_CALLER).map(|_| all.begin(&name).ok().unwrap()));
        }
        assert_eq!(status("b"), Some(503));
        drop(begun);
        assert_eq!((status("a"), all.callers.0.lock().each.len()), (None, 0));
    }

    #[test]
    fn strangers_take_no_place_of_callers() {
        let all = InFlight::default();
        let address = |n: u8| IpAddr::from([10, 0, 0, n]);
        let mut begun = Vec::new();
        for n in 0..8 {
            begun.extend((0..MOST_UNKNOWN_FROM_ADDRESS).map(|_| all.begin_unknown(address(n)).ok().unwrap()));
            assert_eq!(all.begin_unknown(address(n)).err().unwrap().status, 429);
        }
        assert_eq!(all.begin_unknown(address(99)).err().unwrap().status, 503);
        assert!(all.begin("known").is_ok());
    }
}
