//! How many mints the process has in flight. Each holds a connection with its buffers, and a provider may take as long for
//! its answer as it is given. A namespace has a quarter of them at most, so that many keys whose provider hangs, or an
//! endpoint that is meant to, leave room for all others.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Of one namespace, unless a single key may have more.
const OF_NAMESPACE: usize = 64;
/// How many namespaces may have as many as they may.
const NAMESPACES: usize = 4;

pub(super) struct InFlight {
    of_namespace: usize,
    namespaces: Mutex<HashMap<String, Arc<Semaphore>>>,
    all: Arc<Semaphore>,
}

/// A mint in flight, until it is dropped.
pub(super) struct Place {
    _in_namespace: Option<OwnedSemaphorePermit>,
    _in_all: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    pub(super) fn new(mints_per_credential: usize) -> Self {
        let of_namespace = mints_per_credential.max(OF_NAMESPACE);
        Self {
            of_namespace,
            namespaces: Mutex::default(),
            all: Arc::new(Semaphore::new(NAMESPACES * of_namespace)),
        }
    }

    /// Waits for a place, behind those of the same namespace first: those who have one there wait for the others in turn.
    pub(super) async fn enter(&self, namespace: &str) -> Place {
        let new = || Arc::new(Semaphore::new(self.of_namespace));
        let of_namespace = Arc::clone(self.namespaces.lock().entry(namespace.to_owned()).or_insert_with(new));
        // No semaphore is ever closed, so that each gives a permit.
        Place {
            _in_namespace: of_namespace.acquire_owned().await.ok(),
            _in_all: Arc::clone(&self.all).acquire_owned().await.ok(),
        }
    }

    /// Forgets namespaces without a mint in flight.
    pub(super) fn tidy(&self) {
        let is_used = |semaphore: &Arc<Semaphore>| Arc::strong_count(semaphore) > 1;
        self.namespaces.lock().retain(|_, semaphore| is_used(semaphore));
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_namespace_takes_a_quarter_of_all_and_is_forgotten_afterwards() {
        let in_flight = InFlight::new(16);
        let enter = |namespace: &str| in_flight.enter(namespace).now_or_never();
        let fill = |namespace: &str| std::iter::from_fn(|| enter(namespace)).collect::<Vec<_>>();
        let mut places = fill("hostile");
        assert_eq!(places.len(), 64);
        for namespace in ["a", "b", "c"] {
            let more = fill(namespace);
            assert_eq!(more.len(), 64);
            places.extend(more);
        }
        assert!(enter("d").is_none(), "256 are in flight");
        let mut next = Box::pin(in_flight.enter("d"));
        assert!(next.as_mut().now_or_never().is_none());
        drop(places.pop());
        assert!(next.now_or_never().is_some());
        in_flight.tidy();
        assert_eq!(in_flight.namespaces.lock().len(), 4);
        drop(places);
        in_flight.tidy();
        assert!(in_flight.namespaces.lock().is_empty());
        assert_eq!(fill("hostile").len(), 64);
    }

    #[test]
    fn a_key_may_have_as_many_as_it_is_said_to() {
        let in_flight = InFlight::new(200);
        let places: Vec<_> = std::iter::from_fn(|| in_flight.enter("shop").now_or_never()).collect();
        assert_eq!(places.len(), 200);
    }
}
