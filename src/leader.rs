//! Of several replicas one works: the one that holds the Lease.
//!
//! [`step`] decides, from the Lease and from how long it has stood unchanged by our own clock: nobody's wall clock is
//! believed (client-go's rule). The holder renews it; one that can't for two thirds of its duration stops by itself,
//! before anybody else may take over, and its process ends. A provider can't be fenced, so the promise is about
//! Secrets: should a leader that was frozen past its time wake up in the middle of a write, the write carries a version
//! that is no longer the Secret's, and gets a 409.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::now;
use crate::cluster::ClusterError;
use crate::cluster::lease::LeaseLock;
use crate::health::Health;
use crate::metrics::Metrics;

/// How long a Lease holds, and what follows from it. client-go's proportions: 15 s, 10 s, 2 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    seconds: u16,
}

impl Terms {
    /// Terms of a Lease that holds for so many seconds without being renewed.
    #[must_use]
    pub const fn new(seconds: u16) -> Self {
        Self { seconds }
    }

    const fn duration(self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }

    /// The holder stops if it couldn't renew for this time.
    fn deadline(self) -> Duration {
        self.duration() * 2 / 3
    }

    /// Between two looks at the Lease.
    fn retry(self) -> Duration {
        self.duration() * 2 / 15
    }
}

/// A Lease as one replica sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View<'a> {
    /// Who holds it; nobody if it was given up.
    pub holder: Option<&'a str>,
    /// For how long it holds.
    pub duration: Duration,
    /// How long it has not changed, by our own monotonic clock.
    pub unchanged_for: Duration,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is nobody's, or its holder has let it run out: claim it.
    Acquire,
    /// It is ours: renew it.
    Renew,
    /// It is somebody else's.
    StandBy,
}

/// The next step of the replica `me`; `None` if there is no Lease yet.
#[must_use]
pub fn step(lease: Option<View<'_>>, me: &str) -> Step {
    match lease {
        Some(View {
            holder: Some(holder), ..
        }) if holder == me => Step::Renew,
        Some(View {
            holder: Some(_),
            duration,
            unchanged_for,
        }) if unchanged_for < duration => Step::StandBy,
        _ => Step::Acquire,
    }
}

/// Leadership was lost: whatever this process had begun is another's now.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    /// Another replica holds the Lease.
    #[error("lost the Lease {lease} to {holder}")]
    Taken {
        /// The Lease.
        lease: String,
        /// Who has it.
        holder: String,
    },
    /// The Lease could not be renewed in time.
    #[error("could not renew the Lease {lease} for {} s ({problem})", since.as_secs())]
    NotRenewed {
        /// The Lease.
        lease: String,
        /// Since the last time.
        since: Duration,
        /// Why not.
        problem: String,
    },
}

/// A replica that stands for election.
pub struct Candidate {
    /// The Lease.
    pub lock: LeaseLock,
    /// What no other process is called.
    pub me: String,
    /// Its terms.
    pub terms: Terms,
    /// For the probes.
    pub health: Arc<Health>,
    /// For Prometheus.
    pub metrics: Arc<Metrics>,
}

/// A Lease and since when we know it in this version.
struct Seen {
    lease: Lease,
    since: Instant,
}

impl Candidate {
    /// Waits for the Lease, does `work` while holding it, and gives it up when the work has ended of itself.
    ///
    /// # Errors
    /// The Lease was lost. `work` was dropped in the middle then, and the process should end.
    pub async fn lead(self, work: impl Future<Output = ()>, stop: &CancellationToken) -> Result<(), Lost> {
        let elected = tokio::select! {
            elected = self.elected() => elected,
            () = stop.cancelled() => return Ok(()),
        };
        tracing::info!(lease = self.lock.name(), me = self.me, "leading");
        self.metrics.leading(true);
        self.health.wait_for(Some("the API server".to_owned()));
        let mut held = elected;
        tokio::select! {
            biased; // after a long sleep the first thing to know is that it was too long
            lost = self.keep(&mut held) => {
                self.metrics.leading(false);
                Err(lost)
            }
            () = work => {
                if let Err(problem) = self.lock.release(held.lease, now()).await {
                    tracing::warn!(%problem, "the Lease was not given up; the next leader waits for its end");
                }
                Ok(())
            }
        }
    }

    /// Resolves once the Lease is ours.
    async fn elected(&self) -> Seen {
        let mut seen: Option<Seen> = None;
        let mut told = None;
        loop {
            self.health.beat();
            let asked = Instant::now();
            match self.stand(&mut seen).await {
                Ok(Some(lease)) => {
                    return Seen { lease, since: asked };
                }
                Ok(None) => {
                    let holder = seen.as_ref().and_then(|seen| holder(&seen.lease));
                    if told.as_deref() != holder {
                        told = holder.map(str::to_owned);
                        tracing::info!(lease = self.lock.name(), leader = told, "standing by");
                    }
                    self.health.wait_for(None);
                }
                Err(problem) => self
                    .health
                    .wait_for_unless_ready(&format!("the Lease {}: {problem}", self.lock.name())),
            }
            tokio::time::sleep(self.terms.retry()).await;
        }
    }

    async fn stand(&self, seen: &mut Option<Seen>) -> Result<Option<Lease>, ClusterError> {
        let lease = self.lock.read().await?;
        *seen = lease.map(|lease| match seen.take() {
            Some(before) if version(&before.lease) == version(&lease) => before,
            _ => Seen {
                lease,
                since: Instant::now(),
            },
        });
        let view = seen.as_ref().map(|seen| View {
            holder: holder(&seen.lease),
            duration: duration(&seen.lease),
            unchanged_for: seen.since.elapsed(),
        });
        match step(view, &self.me) {
            Step::StandBy => Ok(None),
            Step::Acquire | Step::Renew => {
                let before = seen.as_ref().map(|seen| seen.lease.clone());
                match self.hold(before).await {
                    Ok(lease) => Ok(Some(lease)),
                    Err(ClusterError::Conflict) => Ok(None), // somebody was faster
                    Err(problem) => Err(problem),
                }
            }
        }
    }

    /// Renews the Lease until it is lost. The time of a renewal is when it was asked for.
    async fn keep(&self, held: &mut Seen) -> Lost {
        let mut problem = "no answer".to_owned();
        loop {
            let until = held.since + self.terms.deadline();
            let soon = Instant::now() + self.terms.retry();
            tokio::time::sleep_until(soon.min(until)).await;
            let since = held.since.elapsed();
            if since >= self.terms.deadline() {
                let lease = self.lock.name().to_owned();
                return Lost::NotRenewed { lease, since, problem };
            }
            let asked = Instant::now();
            match tokio::time::timeout_at(until, self.renew(&held.lease)).await {
                Ok(Ok(Some(lease))) => {
                    *held = Seen { lease, since: asked };
                }
                Ok(Err(Unrenewed::Taken(holder))) => {
                    let lease = self.lock.name().to_owned();
                    return Lost::Taken { lease, holder };
                }
                Ok(Err(Unrenewed::Failed(error))) => {
                    tracing::warn!(%error, "the Lease was not renewed");
                    problem = error.to_string();
                }
                Ok(Ok(None)) | Err(_) => {}
            }
        }
    }

    /// One renewal. After a conflict it looks who wrote: a label is nobody's claim.
    async fn renew(&self, held: &Lease) -> Result<Option<Lease>, Unrenewed> {
        match self.hold(Some(held.clone())).await {
            Ok(lease) => return Ok(Some(lease)),
            Err(ClusterError::Conflict | ClusterError::NotFound) => {}
            Err(problem) => return Err(Unrenewed::Failed(problem)),
        }
        let now = self.lock.read().await.map_err(Unrenewed::Failed)?;
        match now.as_ref().map(holder) {
            Some(Some(holder)) if holder != self.me => Err(Unrenewed::Taken(holder.to_owned())),
            Some(None) => Err(Unrenewed::Taken("nobody".to_owned())),
            Some(Some(_)) | None => match self.hold(now).await {
                Ok(lease) => Ok(Some(lease)),
                Err(ClusterError::Conflict) => Ok(None),
                Err(problem) => Err(Unrenewed::Failed(problem)),
            },
        }
    }

    async fn hold(&self, seen: Option<Lease>) -> Result<Lease, ClusterError> {
        let seconds = i32::from(self.terms.seconds);
        self.lock.hold(seen, &self.me, seconds, now()).await
    }
}

enum Unrenewed {
    Taken(String),
    Failed(ClusterError),
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    Some(holder).filter(|holder| !holder.is_empty())
}

/// A Lease that doesn't say how long it holds holds no longer.
fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    Duration::from_secs(seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0))
}

fn version(lease: &Lease) -> Option<&str> {
    lease.metadata.resource_version.as_deref()
}

#[cfg(test)]
mod tests;
