//! Leader election: of several replicas only the holder of the Lease works.
//!
//! [`step`] decides from the Lease and from how long it has not changed, measured by this process's monotonic clock:
//! timestamps of other machines are not trusted (client-go's rule). The holder renews the Lease. If it can't in time, or
//! another replica took it, its work pauses before another may take over ([`Leadership`]). If it gets the Lease again, the
//! work goes on with all that it remembers; if another replica leads, the work is dropped and this one stands by.
//!
//! Providers know no fencing token, so at most one replica writes Secrets, but two may mint: a write that a frozen
//! leader sends after its time carries an outdated resourceVersion and gets a 409.

mod leadership;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::coordination::v1::Lease;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::leadership::Leadership;
pub(crate) use self::leadership::Switch;
use crate::clock::now;
use crate::cluster::ClusterError;
use crate::cluster::lease::{LEASE_TIMEOUT, LeaseLock};
use crate::health::Health;
use crate::metrics::Metrics;

/// How long a Lease holds, and the times derived from it. Those of the default, 15 s, are in brackets.
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

    /// The holder pauses if it couldn't renew the Lease for this time (13 s). It counts from the time at which the last
    /// renewal was sent, so what is left to the Lease's end is for clocks of different speed alone. client-go counts from
    /// the answer and leaves a third; with an answer that takes longer than that, two of its replicas lead.
    fn deadline(self) -> Duration {
        self.duration() * 13 / 15
    }

    /// Between two reads or renewals (2 s).
    fn retry(self) -> Duration {
        self.duration() * 2 / 15
    }

    /// The longest that is waited for one answer alone (6.5 s). A renewal that has none by then goes on, and another is
    /// sent beside it: a request that hangs does not cost the Lease. A read that takes longer is given up, since a Lease
    /// can't be kept either if all answers take so long.
    fn patience(self) -> Duration {
        self.deadline() / 2
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
pub(crate) enum LeaseAction {
    /// It has no holder, or the holder let it expire: claim it.
    Acquire,
    /// This replica holds it: renew it.
    Renew,
    /// Another replica holds it.
    StandBy,
}

/// The next step of the replica `me`. `lease` is `None` if there is none yet.
pub(crate) fn step(lease: Option<View<'_>>, me: &str) -> LeaseAction {
    match lease {
        Some(View {
            holder: Some(holder), ..
        }) if holder == me => LeaseAction::Renew,
        Some(View {
            holder: Some(_),
            duration,
            unchanged_for,
        }) if unchanged_for < duration => LeaseAction::StandBy,
        _ => LeaseAction::Acquire,
    }
}

/// Why the Lease was lost.
#[derive(Debug, thiserror::Error)]
enum Lost {
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

/// What came of an attempt to acquire the Lease.
#[allow(clippy::large_enum_variant, reason = "one at a time")]
enum Claim {
    Held(Seen),
    /// Another replica holds it.
    StandBy,
    /// Another writer was faster, which may be a person who edits a label.
    Outpaced,
    /// The answer took longer than the Lease may go without a renewal.
    Late,
}

impl Candidate {
    /// Stands by until the Lease can be acquired, runs `work` while holding it, and releases it when `work` has ended.
    ///
    /// Work is told by its [`Leadership`] to pause while the Lease is lost, and dropped when another replica leads; it is
    /// begun anew when this one leads again. Ends when `work` does, or when it is stopped while it doesn't lead and can't
    /// get the Lease back at once.
    pub async fn lead<W: Future<Output = ()>>(self, work: impl Fn(Leadership) -> W, stop: &CancellationToken) {
        let stopped = || stop.cancelled();
        loop {
            let mut held = tokio::select! {
                biased;
                () = stopped() => return,
                held = self.acquire() => Some(held),
            };
            self.health.wait_for(Some("the API server".to_owned()));
            let (switch, leadership) = Switch::new();
            tokio::select! {
                biased; // after the process was frozen: first find out whether that was too long
                () = self.keep(&mut held, &switch, stop) => {}
                () = work(leadership) => {
                    if let Some(held) = held
                        && let Err(problem) = self.release(held.lease).await
                    {
                        tracing::warn!(%problem, "the Lease was not released; the next leader waits for its end");
                    }
                    return;
                }
            }
        }
    }

    /// Keeps the Lease, and gets it back when it was lost, for as long as no other replica holds it. `held` is `None`
    /// while it is lost.
    async fn keep(&self, held: &mut Option<Seen>, switch: &Switch, stop: &CancellationToken) {
        while let Some(seen) = held {
            tracing::info!(lease = self.lock.name(), me = self.me, "leading");
            self.metrics.leading(true);
            switch.set(true);
            let lost = self.renew_until_lost(seen).await;
            switch.set(false);
            self.metrics.leading(false);
            *held = None;
            tracing::warn!("{lost}; pausing until the Lease is held again");
            *held = tokio::select! {
                () = stop.cancelled() => self.regain_once().await,
                again = self.regain() => again,
            };
        }
    }

    /// Acquires the Lease again after it was lost; `None` if another replica holds it now.
    async fn regain(&self) -> Option<Seen> {
        let mut seen = None;
        loop {
            self.health.beat();
            match self.try_acquire(&mut seen).await {
                Ok(Claim::Held(held)) => return Some(held),
                Ok(Claim::StandBy) => return None,
                Ok(Claim::Outpaced | Claim::Late) => {}
                Err(problem) => tracing::debug!(%problem, "the Lease can't be acquired"),
            }
            tokio::time::sleep(self.terms.retry()).await;
        }
    }

    /// The one attempt of a replica that is stopping: what was minted may be waiting to be stored.
    async fn regain_once(&self) -> Option<Seen> {
        let mut seen = None;
        let attempt = tokio::time::timeout(self.terms.patience(), self.try_acquire(&mut seen));
        match attempt.await {
            Ok(Ok(Claim::Held(held))) => Some(held),
            _ => None,
        }
    }

    /// A renewal that was under way when the work ended may have been applied, and a label may have been edited: after a
    /// conflict the Lease is read once more, and released if it is still ours.
    async fn release(&self, held: Lease) -> Result<(), ClusterError> {
        match self.lock.release(held, now()).await {
            Err(ClusterError::Conflict) => {}
            answer => return answer,
        }
        match self.lock.read(LEASE_TIMEOUT).await? {
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
                Ok(Claim::Held(held)) => return held,
                Ok(Claim::StandBy | Claim::Outpaced | Claim::Late) => {
                    let holder = seen.as_ref().and_then(|seen| holder(&seen.lease));
                    if logged.as_deref() != holder {
                        logged = holder.map(str::to_owned);
                        tracing::info!(lease = self.lock.name(), leader = logged, "standing by");
                    }
                    self.health.wait_for(None);
                }
                Err(problem) => {
                    self.health.report(&problem.with_remedy());
                    self.health
                        .wait_for_unless_ready(&format!("the Lease {}: {problem}", self.lock.name()));
                }
            }
            tokio::time::sleep(self.terms.retry()).await;
        }
    }

    /// Reads the Lease and claims it if [`step`] says so.
    async fn try_acquire(&self, seen: &mut Option<Seen>) -> Result<Claim, ClusterError> {
        let lease = self.lock.read(self.terms.patience()).await?;
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
            LeaseAction::StandBy => Ok(Claim::StandBy),
            LeaseAction::Acquire | LeaseAction::Renew => {
                match self.hold(seen.as_ref().map(|seen| seen.lease.clone())).await {
                    Ok(held) if held.since.elapsed() < self.terms.deadline() => Ok(Claim::Held(held)),
                    Ok(_) => Ok(Claim::Late),
                    Err(ClusterError::Conflict) => Ok(Claim::Outpaced),
                    Err(problem) => Err(problem),
                }
            }
        }
    }

    /// Renews the Lease until it is lost.
    async fn renew_until_lost(&self, held: &mut Seen) -> Lost {
        let mut problem = "no answer".to_owned();
        let mut attempts = FuturesUnordered::<Attempt<'_>>::new();
        let mut next = held.since + self.terms.retry();
        loop {
            let until = held.since + self.terms.deadline();
            tokio::select! {
                biased; // what is answered after its time is of no use
                () = tokio::time::sleep_until(until) => {
                    let (lease, since) = (self.lock.name().to_owned(), held.since.elapsed());
                    return Lost::NotRenewed { lease, since, problem };
                }
                Some((sent, renewal)) = attempts.next() => {
                    // Counted from the request, not from its answer: a slow API server must not cost the Lease.
                    next = next.min(sent + self.terms.retry());
                    match renewal {
                        Ok(Some(renewed)) => {
                            attempts.clear();
                            next = renewed.since + self.terms.retry();
                            *held = renewed;
                        }
                        Ok(None) => {} // another writer was faster
                        Err(Unrenewed::Lost(lost)) => return lost,
                        Err(Unrenewed::Failed(error)) => {
                            self.health
                                .report(&format!("the Lease {} was not renewed: {error}", self.lock.name()));
                            problem = error.to_string();
                        }
                    }
                }
                () = tokio::time::sleep_until(next) => {
                    let (sent, renewal) = (Instant::now(), self.renew(held.lease.clone()));
                    attempts.push(async move { (sent, renewal.await) }.boxed());
                    next = sent + self.terms.patience();
                }
            }
        }
    }

    /// Renews once. After a conflict it reads who holds the Lease now: the other write may have been an edit of a label,
    /// or a renewal of our own that got no answer.
    async fn renew(&self, held: Lease) -> Result<Option<Seen>, Unrenewed> {
        match self.hold(Some(held)).await {
            Ok(renewed) => return Ok(Some(renewed)),
            Err(ClusterError::Conflict | ClusterError::NotFound) => {}
            Err(problem) => return Err(Unrenewed::Failed(problem)),
        }
        let limit = self.terms.deadline();
        let now = self.lock.read(limit).await.map_err(Unrenewed::Failed)?;
        let lease = self.lock.name().to_owned();
        match now.as_ref().map(holder) {
            Some(Some(holder)) if holder != self.me => {
                let holder = holder.to_owned();
                Err(Unrenewed::Lost(Lost::Taken { lease, holder }))
            }
            Some(None) => Err(Unrenewed::Lost(Lost::Removed { lease })),
            Some(Some(_)) | None => match self.hold(now).await {
                Ok(renewed) => Ok(Some(renewed)),
                Err(ClusterError::Conflict) => Ok(None),
                Err(problem) => Err(Unrenewed::Failed(problem)),
            },
        }
    }

    /// Writes the Lease. Its time is the time at which the write was sent.
    async fn hold(&self, seen: Option<Lease>) -> Result<Seen, ClusterError> {
        let (seconds, since) = (i32::from(self.terms.seconds), Instant::now());
        let limit = self.terms.deadline();
        let lease = self.lock.hold(seen, &self.me, seconds, now(), limit).await?;
        Ok(Seen { lease, since })
    }
}

/// A renewal under way: when it was sent, and what came of it.
type Attempt<'a> = BoxFuture<'a, (Instant, Result<Option<Seen>, Unrenewed>)>;

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
