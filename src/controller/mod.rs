//! Reconciles RealtimeTokens: the streams that wake them, the controller that runs their reconciles, and shutdown.

mod api_server;
mod context;
mod error;
mod guard;
mod lifecycles;
mod look;
mod mint;
mod providers;
mod reconcile;
mod report;
mod tidy;
mod unreadable;
mod wake;
mod write;

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Client;
use kube::runtime::Controller;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{self, ObjectRef, Store};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) use self::context::Context;
use self::error::ReconcileError;
use self::guard::{Guard, no_errors};
use self::lifecycles::Lifecycles;
use crate::cluster::events::Events;
use crate::cluster::target::Targets;
use crate::cluster::{Cached, Name, Scope};
use crate::health::Health;
use crate::issuer::{Issuer, Resolver, Writers};
use crate::leader::Leadership;
use crate::metrics::Metrics;
use crate::mint::EndpointPolicy;
use crate::resolve::MetadataPolicy;
use crate::token::Connection;

/// How long mints under way may go on after the order to stop; well within a pod's 30 s.
const DRAIN: Duration = Duration::from_secs(10);
/// The non-existent object that the liveness check schedules: Kubernetes allows no `#` in a name.
const HEARTBEAT: &str = "#heartbeat";
const HEARTBEAT_EVERY: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub struct Options {
    pub client: Client,
    pub issuer: Arc<Issuer>,
    pub endpoints: EndpointPolicy,
    /// Which labels and annotations Secrets may be given.
    pub metadata: MetadataPolicy,
    /// Where ClusterRealtimeProviders' keys live.
    pub operator_namespace: String,
    pub scope: Scope,
    /// The operator's pod, for Events.
    pub pod_name: Option<String>,
    /// RealtimeTokens worked on at a time.
    pub concurrency: u16,
    /// Where tokens on request are asked for, once that is known; `None` if this installation hands out none.
    pub connection: Option<watch::Receiver<Option<Connection>>>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

/// Runs until `shutdown` is cancelled, then stops minting, stores what was minted, and returns. While another may lead,
/// reconciles wait; mints under way go on, and their tokens are kept.
pub async fn run(options: Options, leadership: Leadership, shutdown: CancellationToken) {
    let health = Arc::clone(&options.health);
    let concurrency = options.concurrency;
    let (nudges, nudged) = mpsc::unbounded_channel();
    let changed_keys = options.issuer.subscribe_to_keys();
    let changed_credentials = options.issuer.budgets.subscribe();
    let (tokens, tokens_writer) = reflector::store::<Cached>();
    let _shown = options.metrics.observe_store(tokens.clone());
    let (ctx, writers) = shared_context(options, tokens.clone(), leadership, nudges.clone());

    let drained = CancellationToken::new();
    let wakes = wake::Wake {
        ctx: Arc::clone(&ctx),
        health: Arc::clone(&health),
        secrets_listed: Notify::new(),
    };
    let wake_reconciles = async {
        tokio::join!(
            wakes.secrets(),
            wakes.namespaces(writers.namespaces),
            wakes.providers(writers.cluster_providers, changed_credentials),
            wakes.keys(changed_keys),
            wakes.connection(),
            wakes.slots(),
            wakes.tidy_keys(),
            wakes.sweep_lifecycles(),
            ctx.follow_api_server(),
            heartbeat(&nudges, &health),
        );
    };
    let reconcile_tokens = async {
        if wakes.listed().await.is_err() {
            return;
        }
        tracing::info!("all watches have listed; reconciling");
        let changes = wake::tokens(Arc::clone(&ctx), tokens_writer, Arc::clone(&health));
        let controller = Controller::for_stream(changes, tokens.clone())
            .with_config(Config::default().concurrency(concurrency))
            .reconcile_on(tokio_stream_of(nudged))
            .graceful_shutdown_on(drained.clone().cancelled_owned());
        reconcile_all(controller, Arc::clone(&ctx), Arc::clone(&health)).await;
    };
    let drain = async {
        shutdown.cancelled().await;
        ctx.drain(DRAIN).await;
        drained.cancel();
        tokio::time::sleep(DRAIN).await; // reconciles under way
    };
    tokio::select! {
        () = reconcile_tokens => {}
        () = wake_reconciles => {}
        () = drain => {}
    }
}

/// What every reconcile shares, and what fills the resolver's stores.
fn shared_context(
    options: Options,
    tokens: Store<Cached>,
    leadership: Leadership,
    nudges: mpsc::UnboundedSender<ObjectRef<Cached>>,
) -> (Arc<Context>, Writers) {
    let (resolver, writers) = Resolver::new(
        options.scope,
        options.operator_namespace,
        options.endpoints,
        options.metadata,
    );
    let ctx = Context {
        targets: Targets::new(options.client.clone()),
        issuer: options.issuer,
        resolver,
        tokens,
        lifecycles: Lifecycles::default(),
        events: Events::new(options.client.clone(), options.pod_name),
        metrics: options.metrics,
        leadership,
        api_server: Arc::default(),
        tasks: TaskTracker::new(),
        connection: options.connection,
        nudges,
        client: options.client,
    };
    (Arc::new(ctx), writers)
}

/// Runs the controller of RealtimeTokens to its end.
async fn reconcile_all(controller: Controller<Cached>, ctx: Arc<Context>, health: Arc<Health>) {
    let guard = Guard::new("RealtimeToken", &ctx, &health);
    let reconcile_one = move |token: Arc<Cached>, ctx: Arc<Context>| {
        let guard = Arc::clone(&guard);
        async move {
            let name = Name::of(&*token);
            guard.reconcile_guarded(name, reconcile_token(&token, &ctx)).await
        }
    };
    let results = controller.run(reconcile_one, no_errors, ctx);
    results
        .for_each(|_| {
            health.beat();
            futures::future::ready(())
        })
        .await;
}

async fn reconcile_token(token: &Cached, ctx: &Arc<Context>) -> Result<Action, ReconcileError> {
    match token.read() {
        Ok(token) => reconcile::reconcile(token, ctx).await,
        Err(problem) => {
            ctx.issuer.budgets.leave(&Name::of(token));
            unreadable::report(token, problem, ctx).await?;
            Err(problem.clone().into())
        }
    }
}

/// Liveness: schedules a non-existent object and waits for it to be dequeued.
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
mod tests;
