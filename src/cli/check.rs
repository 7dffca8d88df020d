//! `check`: does the operator work here? What `helm test` runs, with the operator's own image and rights.

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::cluster::client::{self, ClientError};
use crate::cluster::lease::LeaseLock;
use crate::cluster::{ClusterError, served};
use crate::metrics::Metrics;

/// Between two looks at what isn't right yet.
const PAUSE: Duration = Duration::from_millis(500);
const HTTP_TIMEOUT: Duration = Duration::from_secs(5);

/// What to check.
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// Where the operator serves /readyz.
    #[arg(
        long,
        env = "OPERATOR_URL",
        value_name = "URL",
        default_value = "http://127.0.0.1:8080"
    )]
    pub operator_url: String,
    /// Don't ask for ClusterRealtimeProviders, as the operator doesn't serve them.
    #[arg(long, env = "NO_CLUSTER_PROVIDERS")]
    pub no_cluster_providers: bool,
    /// The Lease that replicas elect their leader by: somebody must keep it. Left out where there is no election.
    #[arg(long, env = "LEASE_NAME", value_name = "NAME")]
    pub lease_name: Option<String>,
    /// The operator's own namespace, where the Lease is.
    #[arg(long, env = "POD_NAMESPACE", default_value = "realtime-token-operator")]
    pub namespace: String,
    /// For how long to wait until all is well.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    pub timeout_seconds: u16,
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// No way to the API server.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The HTTP client can't be built.
    #[error("no HTTP client: {0}")]
    Http(String),
    /// The API server doesn't answer.
    #[error("the Kubernetes API: {0}")]
    Cluster(#[from] ClusterError),
    /// A CRD is missing.
    #[error(
        "the API server doesn't serve {0} of realtime-token.dev/v1alpha1: install the CRDs, with crds.install=true or \
         `realtime-token-operator crd | kubectl apply --server-side -f -`"
    )]
    NotServed(&'static str),
    /// The operator can't be reached.
    #[error("{url} can't be reached ({problem}): does its pod run, and may this one reach it?")]
    Unreachable {
        /// What was asked.
        url: String,
        /// Why.
        problem: String,
    },
    /// The operator says that it isn't ready.
    #[error("the operator isn't ready: {0}")]
    NotReady(String),
    /// There is no leader.
    #[error("nobody keeps the Lease {0}: does a replica run with --leader-elect, and has it the rights on the Lease?")]
    NoLeader(String),
}

/// Checks until all is well or the time is over. A line for each thing that is.
///
/// # Errors
/// What is not well in the end.
pub async fn check(args: CheckArgs) -> Result<String, CheckError> {
    let metrics = Arc::new(Metrics::new(false));
    let cluster = client::connect(metrics).await?;
    // The operator is beside us: a proxy is for the providers.
    let http = reqwest::Client::builder().no_proxy().timeout(HTTP_TIMEOUT).build();
    let http = http.map_err(|problem| CheckError::Http(problem.to_string()))?;
    let until = Instant::now() + Duration::from_secs(u64::from(args.timeout_seconds));

    let plurals: &[_] = match args.no_cluster_providers {
        true => &["realtimetokens"],
        false => &["realtimetokens", "clusterrealtimeproviders"],
    };
    let mut said = vec![well(until, async || kinds(&cluster, plurals).await).await?];
    said.push(well(until, async || ready(&http, &args.operator_url).await).await?);
    if let Some(name) = args.lease_name {
        let lock = LeaseLock::new(cluster, &args.namespace, name);
        let mut first = None;
        said.push(well(until, async || kept(&lock, &mut first).await).await?);
    }
    Ok(said.join("\n"))
}

/// Asks again until the answer is good.
async fn well(until: Instant, mut ask: impl AsyncFnMut() -> Result<String, CheckError>) -> Result<String, CheckError> {
    loop {
        match ask().await {
            Err(_) if Instant::now() + PAUSE < until => tokio::time::sleep(PAUSE).await,
            answer => return answer.map(|good| format!("ok: {good}")),
        }
    }
}

async fn kinds(cluster: &kube::Client, plurals: &[&'static str]) -> Result<String, CheckError> {
    let served = served::kinds(cluster).await?;
    match plurals.iter().find(|plural| !served.iter().any(|kind| kind == *plural)) {
        Some(missing) => Err(CheckError::NotServed(missing)),
        None => Ok(format!("the API server serves {}", plurals.join(" and "))),
    }
}

async fn ready(http: &reqwest::Client, operator: &str) -> Result<String, CheckError> {
    let url = format!("{}/readyz", operator.trim_end_matches('/'));
    let unreachable = |problem: reqwest::Error| CheckError::Unreachable {
        url: url.clone(),
        problem: innermost(&problem.without_url()),
    };
    let answer = http.get(&url).send().await.map_err(unreachable)?;
    let status = answer.status();
    let said = answer.text().await.map_err(unreachable)?;
    let said: String = said.trim().chars().take(200).collect();
    match status.is_success() {
        true => Ok(format!("{url} says that the operator is ready")),
        false => Err(CheckError::NotReady(said)),
    }
}

/// A Lease that changes between two looks has a leader that lives; whose clock says what doesn't matter.
async fn kept(lock: &LeaseLock, first: &mut Option<String>) -> Result<String, CheckError> {
    let nobody = || CheckError::NoLeader(lock.name().to_owned());
    let lease = lock.read().await?.ok_or_else(nobody)?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    let holder = holder.filter(|holder| !holder.is_empty()).ok_or_else(nobody)?;
    let version = lease.metadata.resource_version;
    if first.is_none() {
        *first = version;
        return Err(nobody());
    }
    match version == *first {
        true => Err(nobody()),
        false => Ok(format!("{holder} keeps the Lease {}", lock.name())),
    }
}

/// The last cause of an HTTP error is the one that says something.
fn innermost(problem: &dyn std::error::Error) -> String {
    let mut cause = problem;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
