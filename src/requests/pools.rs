//! The pools of all RealtimeTokens with `requests.ready`, and what fills them: one task for each pool that is not at
//! rest. It mints behind callers and Secrets, one token at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pool::{Event, MintEnd, Next, Pool, Ready, Terms};
use super::world::World;
use crate::clock::now;
use crate::cluster::Name;
use crate::issuer::{Claim, NotIssued};
use crate::metrics::Metrics;
use crate::resolve::Resolved;
use crate::token::{MintError, Minted};

/// How long a mint for a pool may take, the wait for its slot included.
const MINT_WITHIN: Duration = Duration::from_secs(30);
/// A change that no watch shows, such as a new key, is noticed this soon by a pool that is not at rest.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Pools(Arc<Shared>);

struct Shared {
    pools: Mutex<HashMap<Name, Entry>>,
    world: Arc<World>,
    metrics: Arc<Metrics>,
    shutdown: CancellationToken,
}

/// A pool that is not at rest.
#[derive(Default)]
struct Entry {
    pool: Pool<Minted>,
    /// Has its task look again.
    wake: Arc<Notify>,
}

impl Pools {
    /// Pools that mint nothing any more once `shutdown` is cancelled.
    pub(super) fn new(world: Arc<World>, metrics: Arc<Metrics>, shutdown: CancellationToken) -> Self {
        Self(Arc::new(Shared {
            pools: Mutex::default(),
            world,
            metrics,
            shutdown,
        }))
    }

    /// Takes a token out of a pool, which fills up again afterwards.
    pub(super) fn take(&self, name: &Name, terms: Terms) -> Option<Minted> {
        let mut pools = self.0.pools.lock();
        let begins = !pools.contains_key(name);
        let entry = pools.entry(name.clone()).or_default();
        let step = entry.pool.step(Event::Asked(terms), now());
        self.0.metrics.request_pool_ready(name, entry.pool.len());
        let wake = Arc::clone(&entry.wake);
        drop(pools);
        wake.notify_one();
        if begins {
            tokio::spawn(self.clone().keep_filled(name.clone(), wake));
        }
        step.given
    }

    /// A RealtimeToken may have changed: what is no longer to be handed out is dropped at once.
    pub(super) fn changed(&self, name: &Name) {
        if let Some(entry) = self.0.pools.lock().get(name) {
            entry.wake.notify_one();
        }
    }

    /// Runs until the pool rests.
    async fn keep_filled(self, name: Name, wake: Arc<Notify>) {
        let stopped = self.0.shutdown.clone();
        tokio::select! {
            biased; // once stopped, nothing is begun
            () = stopped.cancelled() => {
                let mut pools = self.0.pools.lock();
                pools.remove(&name);
                self.0.metrics.request_pool_rests(&name);
            }
            () = self.fill(&name, &wake) => {}
        }
    }

    async fn fill(&self, name: &Name, wake: &Notify) {
        let mut ended = None;
        loop {
            let (terms, resolved) = self.0.world.terms(name).await.unzip();
            let event = match ended.take() {
                Some(end) => Event::MintEnded(terms, end),
                None => Event::Looked(terms),
            };
            match self.step(name, event) {
                Next::Rest => return,
                Next::Mint => {
                    ended = Some(match resolved {
                        Some(resolved) => self.mint(name, &resolved).await,
                        None => MintEnd::Busy, // the pool mints only with terms, so with what they come from
                    });
                }
                Next::Wait(until) => {
                    let wait = Duration::try_from(until.duration_since(now())).unwrap_or_default();
                    let _ = tokio::time::timeout(wait.min(LOOK_EVERY), wake.notified()).await;
                }
            }
        }
    }

    /// Removes a pool that comes to rest, so that the next request begins a new one.
    fn step(&self, name: &Name, event: Event<Minted>) -> Next {
        let mut pools = self.0.pools.lock();
        let Some(entry) = pools.get_mut(name) else {
            return Next::Rest;
        };
        let next = entry.pool.step(event, now()).next;
        if next == Next::Rest {
            self.0.metrics.request_pool_rests(name);
            pools.remove(name);
        } else {
            self.0.metrics.request_pool_ready(name, entry.pool.len());
        }
        next
    }

    async fn mint(&self, name: &Name, resolved: &Resolved) -> MintEnd<Minted> {
        let deadline = Instant::now() + MINT_WITHIN;
        let issuer = &self.0.world.issuer;
        let failed = match issuer.issue(name, resolved, Claim::Refill, deadline).await {
            Ok(minted) => {
                return MintEnd::Minted(Ready {
                    issued_at: minted.issued_at,
                    usable_until: minted.usable_until,
                    value: minted,
                });
            }
            Err(NotIssued::Limited { until, .. }) => return MintEnd::Limited(until),
            Err(NotIssued::Busy) => return MintEnd::Busy,
            Err(NotIssued::Failed(error)) => error,
            Err(NotIssued::CredentialGone(blocked)) => MintError::NoCredential {
                message: blocked.message,
            },
            Err(NotIssued::CredentialUnreadable) => MintError::internal("the key can't be read"),
            Err(NotIssued::TooSlow) => MintError::unavailable("the provider is too slow"),
        };
        tracing::warn!(token = %name, reason = %failed.reason(), "mint ahead failed: {failed}");
        MintEnd::Failed(failed)
    }
}
