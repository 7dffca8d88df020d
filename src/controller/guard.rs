//! Runs each reconcile so that a panic, a hang or a failing Kubernetes API delays its own object only.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use kube::runtime::controller::{Action, Error as ControllerError};
use kube::runtime::watcher;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::cluster::ClusterError;
use crate::cluster::Unreadable;
use crate::metrics::Metrics;

/// The longest that a reconcile may take. Its requests are bounded on their own, this bounds the rest.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Between failed reconciles of one object: one second, then twice as long each time, up to 32 seconds.
const MAX_DOUBLINGS: u32 = 5;
/// An object that has not failed for this time, which is longer than any backoff, is forgotten: most of them are
/// deleted.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// A reconcile that failed. Provider failures are states and not among these.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the resource can't be read: {0}")]
    Unreadable(#[from] Unreadable),
    #[error("the reconcile panicked; this is a bug of the operator")]
    Panicked,
    #[error("the reconcile did not end within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

impl ReconcileError {
    const fn outcome(&self) -> &'static str {
        match self {
            Self::Cluster(_) => "api_error",
            Self::Unreadable(_) => "unreadable",
            Self::Panicked => "panic",
            Self::TimedOut => "timeout",
        }
    }
}

/// What the reconciles of one kind share.
pub(super) struct Guard {
    kind: &'static str,
    metrics: Arc<Metrics>,
    failures: Mutex<Failures>,
}

impl Guard {
    pub(super) fn new(kind: &'static str, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            kind,
            metrics,
            failures: Mutex::new(Failures {
                of: HashMap::new(),
                pruned: Instant::now(),
            }),
        })
    }

    /// Runs a reconcile. Its failure is counted, logged, and tried again after a backoff.
    pub(super) async fn reconcile_guarded(
        &self,
        name: impl Display,
        work: impl Future<Output = Result<Action, ReconcileError>>,
    ) -> Result<Action, Infallible> {
        let began = Instant::now();
        let result = catch(work).await;
        let outcome = result.as_ref().map_or_else(ReconcileError::outcome, |_| "ok");
        self.metrics.reconciled(self.kind, outcome, began.elapsed());
        let name = name.to_string();
        Ok(match result {
            Ok(action) => {
                self.failures.lock().of.remove(&name);
                action
            }
            Err(error) => {
                tracing::warn!(kind = self.kind, name, %error, "reconcile failed");
                match error {
                    ReconcileError::Unreadable(_) => Action::await_change(),
                    _ => Action::requeue(self.failures.lock().backoff(name)),
                }
            }
        })
    }

    /// Logs a watch that failed; kube restarts it.
    pub(super) fn log_watch_failure<T>(&self, result: &Result<T, ControllerError<Infallible, watcher::Error>>) {
        if let Err(ControllerError::QueueError(problem)) = result {
            tracing::warn!(%problem, "the watch on {}s failed and is restarted", self.kind);
        }
    }
}

/// The error policy that kube asks for: [`Guard::reconcile_guarded`] leaves no errors to it.
#[allow(clippy::needless_pass_by_value, reason = "the signature kube asks for")]
pub(super) fn no_errors<K, C>(_: Arc<K>, error: &Infallible, _: Arc<C>) -> Action {
    match *error {}
}

/// Failures in a row, by the object's name.
struct Failures {
    of: HashMap<String, (u32, Instant)>,
    pruned: Instant,
}

impl Failures {
    fn backoff(&mut self, name: String) -> Duration {
        let now = Instant::now();
        if now.duration_since(self.pruned) >= FORGET_AFTER {
            self.of.retain(|_, (_, last)| now.duration_since(*last) < FORGET_AFTER);
            self.pruned = now;
        }
        let (count, last) = self.of.entry(name).or_insert((0, now));
        let wait = Duration::from_secs(1 << (*count).min(MAX_DOUBLINGS));
        (*count, *last) = (count.saturating_add(1), now);
        wait
    }
}

/// Turns a panic and a hang into errors: kube would end the whole controller on the one and wait for ever on the other.
async fn catch(work: impl Future<Output = Result<Action, ReconcileError>>) -> Result<Action, ReconcileError> {
    match AssertUnwindSafe(tokio::time::timeout(TIMEOUT, work))
        .catch_unwind()
        .await
    {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(ReconcileError::TimedOut),
        Err(_) => Err(ReconcileError::Panicked),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]
    use std::future::pending;

    use super::*;

    fn guard() -> Arc<Guard> {
        Guard::new("RealtimeToken", Arc::new(Metrics::new(true)))
    }

    async fn fails(guard: &Guard, name: &str) -> Action {
        let work = async { Err(ClusterError::Conflict.into()) };
        let Ok(action) = guard.reconcile_guarded(name, work).await;
        action
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_hang_end_as_a_retry_of_one_object() {
        let guard = guard();
        let retry = Ok(Action::requeue(Duration::from_secs(1)));
        assert_eq!(guard.reconcile_guarded("a", async { panic!("poison") }).await, retry);
        let began = Instant::now();
        assert_eq!(guard.reconcile_guarded("b", pending()).await, retry);
        assert_eq!(began.elapsed(), TIMEOUT);
        let text = guard.metrics.render();
        for outcome in ["panic", "timeout"] {
            let line = format!("realtime_token_reconcile_total{{kind=\"RealtimeToken\",outcome=\"{outcome}\"}} 1\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_backoff_doubles_up_to_32_seconds_and_a_success_resets_it() {
        let guard = guard();
        for seconds in [1, 2, 4, 8, 16, 32, 32] {
            let wait = Duration::from_secs(seconds);
            assert_eq!(fails(&guard, "shop/voice").await, Action::requeue(wait));
            tokio::time::advance(wait).await;
        }
        assert_eq!(
            fails(&guard, "shop/other").await,
            Action::requeue(Duration::from_secs(1))
        );
        let works = async { Ok(Action::await_change()) };
        let result = guard.reconcile_guarded("shop/voice", works).await;
        assert_eq!(result, Ok(Action::await_change()));
        assert_eq!(
            fails(&guard, "shop/voice").await,
            Action::requeue(Duration::from_secs(1))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn objects_that_no_longer_fail_are_forgotten() {
        let guard = guard();
        fails(&guard, "shop/deleted").await;
        tokio::time::advance(FORGET_AFTER).await;
        fails(&guard, "shop/voice").await;
        let failures = guard.failures.lock();
        assert_eq!(failures.of.keys().collect::<Vec<_>>(), ["shop/voice"]);
    }

    #[tokio::test]
    async fn what_cannot_be_read_waits_for_a_change() {
        let cached: crate::cluster::Cached =
            serde_json::from_str(r#"{"metadata": {"name": "voice"}, "spec": null}"#).unwrap();
        let problem = cached.read().unwrap_err().clone();
        let action = guard().reconcile_guarded("a", async { Err(problem.into()) }).await;
        assert_eq!(action, Ok(Action::await_change()));
    }
}
