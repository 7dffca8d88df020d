//! How many mints the process has in flight. Each holds a connection with its buffers for as long as the provider takes to
//! answer, and an endpoint may be meant to take long.
//!
//! Mints count by where they go to, and by the namespace whose key they use: many keys of one namespace whose provider
//! hangs hold up mints with this provider and keys of this namespace, and no others. Those of several namespaces hold up
//! mints with this provider.

use std::collections::HashMap;
use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::resolve::Resolved;

/// To one origin with keys of one namespace, unless a single key may have more.
const OF_NAMESPACE: usize = 64;
/// How many namespaces may have as many as they may, to one origin.
const NAMESPACES: usize = 4;
/// How often those who wait look whether there is still something to mint.
const LOOK_EVERY: Duration = Duration::from_secs(10);

pub(super) struct InFlight {
    /// By origin and namespace.
    namespaces: Semaphores<(String, String)>,
    origins: Semaphores<String>,
    stopping: CancellationToken,
}

/// A mint in flight, until this is dropped.
#[derive(Default)]
pub(super) struct Place {
    _of_namespace: Option<OwnedSemaphorePermit>,
    _of_origin: Option<OwnedSemaphorePermit>,
}

impl InFlight {
    pub(super) fn new(mints_per_credential: usize) -> Self {
        let of_namespace = mints_per_credential.max(OF_NAMESPACE);
        Self {
            namespaces: Semaphores::new(of_namespace),
            origins: Semaphores::new(NAMESPACES * of_namespace),
            stopping: CancellationToken::new(),
        }
    }

    /// Waits for a place, in the order of arrival. `None` if the mint is not wanted any more, or the process stops. A token
    /// that is signed here needs no place.
    pub(super) async fn enter(&self, resolved: &Resolved, is_wanted: impl Fn() -> bool) -> Option<Place> {
        let place = match resolved.ask.block.provider().endpoint().origin() {
            Some(origin) => self.place(origin, resolved.credential.namespace(), &is_wanted).await,
            None => Some(Place::default()),
        };
        place.filter(|_| is_wanted())
    }

    async fn place(&self, origin: String, namespace: &str, is_wanted: impl Fn() -> bool) -> Option<Place> {
        // Of the namespace first: those who wait there don't wait for the origin, in the way of others.
        let of_namespace = self.namespaces.of((origin.clone(), namespace.to_owned()));
        let of_origin = self.origins.of(origin);
        let mut place = pin!(async {
            Some(Place {
                _of_namespace: Some(of_namespace.acquire_owned().await.ok()?),
                _of_origin: Some(of_origin.acquire_owned().await.ok()?),
            })
        });
        loop {
            tokio::select! {
                place = &mut place => return place,
                () = self.stopping.cancelled() => return None,
                () = sleep(LOOK_EVERY) => if !is_wanted() { return None },
            }
        }
    }

    /// Nobody waits any longer.
    pub(super) fn stop(&self) {
        self.stopping.cancel();
    }

    /// Forgets where no mint is in flight.
    pub(super) fn tidy(&self) {
        self.namespaces.tidy();
        self.origins.tidy();
    }
}

/// A semaphore for each of what is in use.
struct Semaphores<K> {
    size: usize,
    all: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Semaphores<K> {
    fn new(size: usize) -> Self {
        let all = Mutex::default();
        Self { size, all }
    }

    fn of(&self, key: K) -> Arc<Semaphore> {
        let new = || Arc::new(Semaphore::new(self.size));
        Arc::clone(self.all.lock().entry(key).or_insert_with(new))
    }

    /// Each permit, and each who waits for one, holds the semaphore.
    fn tidy(&self) {
        self.all.lock().retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::task::unconstrained;
    use tokio::time::Instant;

    use super::*;

    const ORIGIN: &str = "https://api.openai.com";

    fn enter(in_flight: &InFlight, origin: &str, namespace: &str) -> Option<Place> {
        unconstrained(in_flight.place(origin.to_owned(), namespace, || true)).now_or_never()?
    }

    fn fill(in_flight: &InFlight, origin: &str, namespace: &str) -> Vec<Place> {
        std::iter::from_fn(|| enter(in_flight, origin, namespace)).collect()
    }

    #[tokio::test]
    async fn a_namespace_takes_a_quarter_of_an_origin_and_nothing_of_another() {
        let in_flight = InFlight::new(16);
        let mut places = Vec::new();
        for namespace in ["a", "b", "c", "d"] {
            assert!(enter(&in_flight, ORIGIN, "e").is_some());
            let of_namespace = fill(&in_flight, ORIGIN, namespace);
            assert_eq!(of_namespace.len(), 64);
            places.extend(of_namespace);
        }
        assert!(enter(&in_flight, ORIGIN, "e").is_none(), "256 are in flight");
        assert_eq!(fill(&in_flight, "https://gateway.example", "a").len(), 64);
        let mut next = Box::pin(in_flight.place(ORIGIN.to_owned(), "e", || true));
        assert!(next.as_mut().now_or_never().is_none());
        drop(places.pop());
        assert!(next.now_or_never().is_some());
        in_flight.tidy();
        assert_eq!(in_flight.namespaces.all.lock().len(), 4);
        drop(places);
        in_flight.tidy();
        assert!(in_flight.namespaces.all.lock().is_empty() && in_flight.origins.all.lock().is_empty());
        assert_eq!(fill(&in_flight, ORIGIN, "a").len(), 64);
    }

    #[tokio::test]
    async fn a_key_may_have_as_many_as_it_is_said_to() {
        assert_eq!(fill(&InFlight::new(200), ORIGIN, "shop").len(), 200);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_what_is_not_wanted_or_beyond_a_stop() {
        let in_flight = InFlight::new(16);
        let _places = fill(&in_flight, ORIGIN, "shop");
        let began = Instant::now();
        let is_wanted = || began.elapsed() < Duration::from_secs(95);
        assert!(in_flight.place(ORIGIN.to_owned(), "shop", is_wanted).await.is_none());
        assert_eq!(began.elapsed().as_secs(), 100);
        let mut waiting = Box::pin(in_flight.place(ORIGIN.to_owned(), "shop", || true));
        assert!(waiting.as_mut().now_or_never().is_none());
        in_flight.stop();
        assert!(waiting.await.is_none());
        assert_eq!(began.elapsed().as_secs(), 100);
    }
}
