//! Runs each reconcile so that a panic, a hang or a failing Kubernetes API delays its own object only.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::SignedDuration;
use kube::runtime::controller::Action;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::api_server::ApiServer;
use super::context::Context;
use super::error::{self, ReconcileError};
use crate::cluster::ClusterError;
use crate::health::Health;
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::token::backoff;

/// An object that has not failed for this time, which is longer than any backoff, is forgotten: most of them are
/// deleted.
const FORGET_AFTER: Duration = Duration::from_secs(300);

/// What the reconciles of one kind share.
pub(super) struct Guard {
    kind: &'static str,
    metrics: Arc<Metrics>,
    leadership: Leadership,
    api_server: Arc<ApiServer>,
    health: Arc<Health>,
    failures: Mutex<Failures>,
}

impl Guard {
    pub(super) fn new(kind: &'static str, ctx: &Context, health: &Arc<Health>) -> Arc<Self> {
        let (leadership, api_server) = (ctx.leadership.clone(), Arc::clone(&ctx.api_server));
        Self::with(kind, &ctx.metrics, leadership, api_server, Arc::clone(health))
    }

    fn with(
        kind: &'static str,
        metrics: &Arc<Metrics>,
        leadership: Leadership,
        api_server: Arc<ApiServer>,
        health: Arc<Health>,
    ) -> Arc<Self> {
        Arc::new(Self {
            kind,
            metrics: Arc::clone(metrics),
            leadership,
            api_server,
            health,
            failures: Mutex::new(Failures {
                of: HashMap::new(),
                pruned: Instant::now(),
            }),
        })
    }

    /// Runs a reconcile while this replica leads and the API server has not asked to wait. One that is under way when the
    /// Lease is lost is dropped, and begun anew with what is there then.
    pub(super) async fn reconcile_guarded(
        &self,
        name: impl Display,
        work: impl Future<Output = Result<Action, ReconcileError>>,
    ) -> Result<Action, Infallible> {
        let done = async {
            self.api_server.ready().await;
            self.reconcile(name, work).await
        };
        tokio::select! {
            biased; // nothing more is written once the Lease is lost
            () = self.leadership.lost() => {
                self.leadership.held().await;
                Ok(Action::requeue(Duration::ZERO))
            }
            done = done => Ok(done),
        }
    }

    /// Runs a reconcile. Its failure is counted, logged, and tried again after a backoff.
    async fn reconcile(
        &self,
        name: impl Display,
        work: impl Future<Output = Result<Action, ReconcileError>>,
    ) -> Action {
        let began = Instant::now();
        let result = catch(work).await;
        let outcome = result.as_ref().map_or_else(ReconcileError::outcome, |_| "ok");
        self.metrics.reconciled(self.kind, outcome, began.elapsed());
        let name = name.to_string();
        match result {
            Ok(action) => {
                self.failures.lock().of.remove(&name);
                action
            }
            Err(error) => {
                self.log(&name, &error);
                match error {
                    ReconcileError::Unreadable(_) => Action::await_change(),
                    _ => Action::requeue(self.failures.lock().backoff(name, error.within())),
                }
            }
        }
    }

    /// An API server that fails is one problem, whichever objects meet it; an object that is gone or has changed is none.
    fn log(&self, name: &str, error: &ReconcileError) {
        match error {
            ReconcileError::Cluster { error, .. } if error.is_unavailable() => {
                tracing::debug!(kind = self.kind, name, %error, "reconcile failed");
                self.health.report(&error.to_string());
            }
            ReconcileError::Cluster {
                error: ClusterError::NotFound | ClusterError::Conflict,
                ..
            } => tracing::debug!(kind = self.kind, name, %error, "reconcile is begun anew"),
            _ => tracing::warn!(kind = self.kind, name, "reconcile failed: {error}"),
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
    fn backoff(&mut self, name: String, within: Option<SignedDuration>) -> Duration {
        let now = Instant::now();
        if now.duration_since(self.pruned) >= FORGET_AFTER {
            self.of.retain(|_, (_, last)| now.duration_since(*last) < FORGET_AFTER);
            self.pruned = now;
        }
        let failed = self.of.get(&name).map_or(0, |(failed, _)| *failed).saturating_add(1);
        let delay = backoff::look_delay(failed, &name, within);
        self.of.insert(name, (failed, now));
        delay.unsigned_abs()
    }
}

/// Turns a panic and a hang into errors: kube would end the whole controller on the one and wait for ever on the other.
async fn catch(work: impl Future<Output = Result<Action, ReconcileError>>) -> Result<Action, ReconcileError> {
    match AssertUnwindSafe(tokio::time::timeout(error::TIMEOUT, work))
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
        let metrics = Arc::new(Metrics::new(true));
        Guard::with(
            "RealtimeToken",
            &metrics,
            Leadership::always(),
            Arc::default(),
            Arc::default(),
        )
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
        assert_eq!(began.elapsed(), error::TIMEOUT);
        let text = guard.metrics.render();
        for outcome in ["panic", "timeout"] {
            let line = format!("realtime_token_reconcile_total{{kind=\"RealtimeToken\",outcome=\"{outcome}\"}} 1\n");
            assert!(text.contains(&line), "{line}{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_wait_longer_and_a_success_resets_that() {
        let guard = guard();
        for failed in 1..=7 {
            let wait = backoff::look_delay(failed, "shop/voice", None);
            assert_eq!(fails(&guard, "shop/voice").await, Action::requeue(wait.unsigned_abs()));
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
