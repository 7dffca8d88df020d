//! The streams that wake a RealtimeToken, and the loop that carries it on.

mod accounts;
mod context;
mod memory;
mod minting;
mod provider_status;
mod reconcile;
mod store;
mod unreadable;
mod wake;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config, Error as ControllerError};
use kube::runtime::reflector::{self, ObjectRef};
use kube::{Client, ResourceExt};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::accounts::Accounts;
pub(crate) use self::context::Context;
use self::memory::Memories;
use crate::budget::Budget;
use crate::cluster::credentials::Credentials;
use crate::cluster::events::Events;
use crate::cluster::target::Targets;
use crate::cluster::{Cached, ClusterError, Name, Scope, Unreadable};
use crate::health::Health;
use crate::metrics::Metrics;
use crate::mint::{EndpointPolicy, Minter};

/// What a reconcile may take at most; its requests are bounded on their own, this bounds the rest.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long mints under way may go on after the order to stop; well within a pod's 30 s.
const DRAIN: Duration = Duration::from_secs(10);
/// The name under which the scheduler is asked for a sign of life; no object can be called so.
const HEARTBEAT: &str = "#heartbeat";
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

/// What the controller is made of.
pub struct Parts {
    /// The Kubernetes API.
    pub client: Client,
    /// The providers.
    pub providers: Arc<dyn Minter>,
    /// The endpoints that may be called.
    pub endpoints: EndpointPolicy,
    /// Where ClusterRealtimeProviders' keys live.
    pub operator_namespace: String,
    /// What the operator looks after.
    pub scope: Scope,
    /// The operator's pod, for Events.
    pub pod_name: Option<String>,
    /// RealtimeTokens worked on at a time.
    pub concurrency: u16,
    /// Mints in flight for each credential.
    pub mints_per_credential: u16,
    /// For the probes.
    pub health: Arc<Health>,
    /// For Prometheus.
    pub metrics: Arc<Metrics>,
}

/// A reconcile that did not end as it should. Provider failures are states and not among these.
#[derive(Debug, thiserror::Error)]
enum ReconcileError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the resource can't be read: {0}")]
    Unreadable(#[from] Unreadable),
    #[error("the reconcile panicked; this is a bug of the operator")]
    Panicked,
    #[error("the reconcile did not end within {} s", RECONCILE_TIMEOUT.as_secs())]
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

/// Runs until `shutdown` is cancelled, then stops minting, stores what was minted, and returns.
pub async fn run(parts: Parts, shutdown: CancellationToken) {
    let health = Arc::clone(&parts.health);
    let concurrency = parts.concurrency;
    let (nudges, nudged) = mpsc::unbounded_channel();
    let (keys_changed, changed_keys) = mpsc::unbounded_channel();
    let (accounts_changed, changed_accounts) = mpsc::unbounded_channel();
    let (tokens, tokens_writer) = reflector::store::<Cached>();
    let (providers, providers_writer) = reflector::store();
    let (namespaces, namespaces_writer) = reflector::store();
    parts.metrics.tell_of(tokens.clone());
    let ctx = Arc::new(Context {
        targets: Targets::new(parts.client.clone()),
        credentials: Credentials::new(parts.client.clone(), keys_changed),
        providers: parts.providers,
        endpoints: parts.endpoints,
        operator_namespace: parts.operator_namespace,
        scope: parts.scope,
        cluster_providers: providers.clone(),
        namespaces: namespaces.clone(),
        memories: Memories::default(),
        accounts: Accounts::new(accounts_changed),
        events: Events::start(parts.client.clone(), parts.pod_name),
        metrics: parts.metrics,
        tasks: TaskTracker::new(),
        budget_changed: Notify::new(),
        budget: Mutex::new(Budget::new(usize::from(parts.mints_per_credential))),
        nudges: nudges.clone(),
        client: parts.client,
    });

    let drained = CancellationToken::new();
    let around = wake::Wake {
        ctx: Arc::clone(&ctx),
        tokens: tokens.clone(),
        health: Arc::clone(&health),
        secrets_listed: Notify::new(),
    };
    let side = async {
        tokio::join!(
            around.secrets(),
            around.namespaces(namespaces_writer),
            around.providers(providers, providers_writer, changed_accounts),
            around.keys(changed_keys),
            around.turns(),
            around.tidy_keys(),
            around.tidy_memories(),
            heartbeat(&nudges, &health),
        );
    };
    let main = async {
        if around.listed().await.is_err() {
            return;
        }
        tracing::info!("all watches have listed; reconciling");
        Controller::for_stream(
            wake::tokens(Arc::clone(&ctx), tokens_writer, Arc::clone(&health)),
            tokens.clone(),
        )
        .with_config(Config::default().concurrency(concurrency))
        .reconcile_on(tokio_stream_of(nudged))
        .graceful_shutdown_on(drained.clone().cancelled_owned())
        .run(isolated, error_policy, Arc::clone(&ctx))
        .for_each(|result| {
            health.beat();
            if let Err(ControllerError::QueueError(problem)) = result {
                tracing::warn!(%problem, "the watch on RealtimeTokens failed and is restarted");
            }
            futures::future::ready(())
        })
        .await;
    };
    let drain = async {
        shutdown.cancelled().await;
        ctx.drain(DRAIN).await;
        drained.cancel();
        tokio::time::sleep(DRAIN).await; // reconciles under way
    };
    tokio::select! {
        () = main => {}
        () = side => {}
        () = drain => {}
    }
}

async fn isolated(token: Arc<Cached>, ctx: Arc<Context>) -> Result<Action, ReconcileError> {
    let began = Instant::now();
    let work = async {
        match token.read() {
            Ok(token) => Ok(reconcile::reconcile(token, &ctx).await?),
            Err(problem) => {
                unreadable::tell(&token, problem, &ctx).await?;
                Err(problem.clone().into())
            }
        }
    };
    let result = contained(work).await;
    let outcome = result.as_ref().map_or_else(ReconcileError::outcome, |_| "ok");
    ctx.metrics.reconciled(outcome, began.elapsed());
    result
}

/// A panic or a hang costs its own object's turn only: kube would end the whole controller on the one and never end
/// the other.
async fn contained(work: impl Future<Output = Result<Action, ReconcileError>>) -> Result<Action, ReconcileError> {
    match AssertUnwindSafe(tokio::time::timeout(RECONCILE_TIMEOUT, work))
        .catch_unwind()
        .await
    {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(ReconcileError::TimedOut),
        Err(_) => Err(ReconcileError::Panicked),
    }
}

/// Kubernetes I/O failed, or the object is broken: provider failures never come here.
#[allow(clippy::needless_pass_by_value, reason = "the signature kube asks for")]
fn error_policy(token: Arc<Cached>, error: &ReconcileError, ctx: Arc<Context>) -> Action {
    let name = Name::of(&*token);
    tracing::warn!(token = %name, %error, "reconcile failed");
    if let ReconcileError::Unreadable(_) = error {
        return Action::await_change();
    }
    let uid = token.uid().unwrap_or_default();
    let failures = ctx.memories.failed(&name, &uid);
    Action::requeue(Duration::from_secs(1 << failures.clamp(1, 6).saturating_sub(1)))
}

/// Sends a name through the scheduler that no object has; its coming out at the other end is the sign of life.
///
/// Until everything was listed there is nothing to schedule: a missing CRD or an API server that is away shows in
/// readiness, and a restart would cure neither.
async fn heartbeat(nudges: &mpsc::UnboundedSender<ObjectRef<Cached>>, health: &Health) {
    loop {
        if health.waiting_for().is_some() {
            health.beat();
        }
        if nudges.send(ObjectRef::new(HEARTBEAT).within(HEARTBEAT)).is_err() {
            return;
        }
        tokio::time::sleep(HEARTBEAT_EVERY).await;
    }
}

fn tokio_stream_of<T>(mut receiver: mpsc::UnboundedReceiver<T>) -> impl futures::Stream<Item = T> {
    futures::stream::poll_fn(move |cx| receiver.poll_recv(cx))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, reason = "tests")]
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_panic_and_a_hang_become_errors_of_one_object() {
        let panics = contained(async { panic!("poison") }).await;
        assert!(matches!(panics, Err(ReconcileError::Panicked)));
        let hangs = contained(futures::future::pending()).await;
        assert!(matches!(hangs, Err(ReconcileError::TimedOut)));
    }
}
