//! Leader election: of several replicas only the holder of the Lease works.
//!
//! [`step`] decides from the Lease and from how long it has not changed, measured by this process's monotonic clock:
//! timestamps of other machines are not trusted (client-go's rule). The holder renews the Lease. If it can't for two
//! thirds of the Lease's duration, it stops before another replica may take over, and its process ends.
//!
//! Providers know no fencing token, so at most one replica writes Secrets, but two may mint: a write that a frozen
//! leader sends after its time carries an outdated resourceVersion and gets a 409.

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

/// How long a Lease holds, and the times derived from it in client-go's proportions: 15 s, 10 s, 2 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    seconds: u16,
}

impl Terms {
    /// Terms of a Lease that holds for `seconds` without being renewed.
    pub const fn new(seconds: u16) -> Self {
        Self { seconds }
    }

    const fn duration(self) -> Duration {
        Duration::from_secs(self.seconds as u64)
    }

    /// The holder stops if it couldn't renew the Lease for this time.
    fn deadline(self) -> Duration {
        self.duration() * 2 / 3
    }

    /// Between two reads or renewals.
    fn retry(self) -> Duration {
        self.duration() * 2 / 15
    }
}

/// A Lease as one replica sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View<'a> {
    /// The holder; `None` if it released the Lease.
    pub(crate) holder: Option<&'a str>,
    /// For how long it holds without being renewed.
    pub(crate) duration: Duration,
    /// How long it has not changed, by the monotonic clock of this process.
    pub(crate) unchanged_for: Duration,
}

/// What to do about the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It has no holder, or the holder let it expire: claim it.
    Acquire,
    /// This replica holds it: renew it.
    Renew,
    /// Another replica holds it.
    StandBy,
}

/// The next step of the replica `me`. `lease` is `None` if there is none yet.
pub(crate) fn step(lease: Option<View<'_>>, me: &str) -> Step {
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

/// Leadership was lost. Another replica continues, so this process must end.
#[derive(Debug, thiserror::Error)]
pub enum Lost {
    #[error("lost the Lease {lease} to {holder}")]
    Taken { lease: String, holder: String },
    /// The Lease was edited.
    #[error("lost the Lease {lease}: its holder was removed")]
    Removed { lease: String },
    #[error("could not renew the Lease {lease} for {} s ({problem})", since.as_secs())]
    NotRenewed {
        lease: String,
        /// Since the last renewal.
        since: Duration,
        problem: String,
    },
}

/// A replica that takes part in the election.
pub struct Candidate {
    pub lock: LeaseLock,
    /// The identity of this process; no other process ever has the same.
    pub me: String,
    pub terms: Terms,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

/// A Lease, and since when its resourceVersion is known not to have changed.
struct Seen {
    lease: Lease,
    since: Instant,
}

impl Candidate {
    /// Acquires the Lease, runs `work` while holding it, and releases it when `work` has ended.
    /// If the Lease is lost, `work` is dropped before its end, and the process should end too.
    pub async fn lead(self, work: impl Future<Output = ()>, stop: &CancellationToken) -> Result<(), Lost> {
        let mut held = tokio::select! {
            held = self.acquire() => held,
            () = stop.cancelled() => return Ok(()),
        };
        tracing::info!(lease = self.lock.name(), me = self.me, "leading");
        self.metrics.leading(true);
        self.health.wait_for(Some("the API server".to_owned()));
        tokio::select! {
            biased; // after the process was frozen: first find out whether that was too long
            lost = self.renew_until_lost(&mut held) => {
                self.metrics.leading(false);
                Err(lost)
            }
            () = work => {
                if let Err(problem) = self.release(held.lease).await {
                    tracing::warn!(%problem, "the Lease was not released; the next leader waits for its end");
                }
                Ok(())
            }
        }
    }

    /// A renewal that was under way when the work ended may have been applied, and a label may have been edited: after a
    /// conflict the Lease is read once more, and released if it is still ours.
    async fn release(&self, held: Lease) -> Result<(), ClusterError> {
        match self.lock.release(held, now()).await {
            Err(ClusterError::Conflict) => {}
            answer => return answer,
        }
        match self.lock.read().await? {
            Some(lease) if holder(&lease) == Some(&*self.me) => self.lock.release(lease, now()).await,
            _ => Ok(()),
        }
    }

    /// Resolves once this replica holds the Lease.
    async fn acquire(&self) -> Seen {
        let mut seen: Option<Seen> = None;
        let mut logged = None;
        loop {
            self.health.beat();
            match self.try_acquire(&mut seen).await {
                Ok(Some(held)) => return held,
                Ok(None) => {
                    let holder = seen.as_ref().and_then(|seen| holder(&seen.lease));
                    if logged.as_deref() != holder {
                        logged = holder.map(str::to_owned);
                        tracing::info!(lease = self.lock.name(), leader = logged, "standing by");
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

    /// Reads the Lease and claims it if [`step`] says so.
    async fn try_acquire(&self, seen: &mut Option<Seen>) -> Result<Option<Seen>, ClusterError> {
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
                let since = Instant::now();
                match self.hold(before).await {
                    Ok(lease) => Ok(Some(Seen { lease, since })),
                    Err(ClusterError::Conflict) => Ok(None), // another replica was faster
                    Err(problem) => Err(problem),
                }
            }
        }
    }

    /// Renews the Lease until it is lost. The time of a renewal is the time at which it was sent.
    async fn renew_until_lost(&self, held: &mut Seen) -> Lost {
        let mut problem = "no answer".to_owned();
        let mut sent = held.since;
        loop {
            let until = held.since + self.terms.deadline();
            // Counted from the last request, not from its answer: a slow API server must not cost the Lease.
            tokio::time::sleep_until((sent + self.terms.retry()).min(until)).await;
            let since = held.since.elapsed();
            if since >= self.terms.deadline() {
                let lease = self.lock.name().to_owned();
                return Lost::NotRenewed { lease, since, problem };
            }
            sent = Instant::now();
            match tokio::time::timeout_at(until, self.renew(&held.lease)).await {
                Ok(Ok(Some(lease))) => *held = Seen { lease, since: sent },
                Ok(Err(Unrenewed::Lost(lost))) => return lost,
                Ok(Err(Unrenewed::Failed(error))) => {
                    tracing::warn!(%error, "the Lease was not renewed");
                    problem = error.to_string();
                }
                Ok(Ok(None)) | Err(_) => {}
            }
        }
    }

    /// Renews once. After a conflict it reads who holds the Lease now: the other write may have been an edit of a label.
    async fn renew(&self, held: &Lease) -> Result<Option<Lease>, Unrenewed> {
        match self.hold(Some(held.clone())).await {
            Ok(lease) => return Ok(Some(lease)),
            Err(ClusterError::Conflict | ClusterError::NotFound) => {}
            Err(problem) => return Err(Unrenewed::Failed(problem)),
        }
        let now = self.lock.read().await.map_err(Unrenewed::Failed)?;
        let lease = self.lock.name().to_owned();
        match now.as_ref().map(holder) {
            Some(Some(holder)) if holder != self.me => {
                let holder = holder.to_owned();
                Err(Unrenewed::Lost(Lost::Taken { lease, holder }))
            }
            Some(None) => Err(Unrenewed::Lost(Lost::Removed { lease })),
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
    Lost(Lost),
    Failed(ClusterError),
}

fn holder(lease: &Lease) -> Option<&str> {
    let holder = lease.spec.as_ref()?.holder_identity.as_deref()?;
    Some(holder).filter(|holder| !holder.is_empty())
}

/// A Lease without a duration has expired.
fn duration(lease: &Lease) -> Duration {
    let seconds = lease.spec.as_ref().and_then(|spec| spec.lease_duration_seconds);
    Duration::from_secs(seconds.and_then(|s| u64::try_from(s).ok()).unwrap_or(0))
}

fn version(lease: &Lease) -> Option<&str> {
    lease.metadata.resource_version.as_deref()
}

#[cfg(test)]
mod tests;
