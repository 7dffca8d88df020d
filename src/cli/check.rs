//! `check`: whether the operator works in this cluster. `helm test` runs it with the operator's image and rights.

pub(in crate::cli) mod requests;
pub(in crate::cli) mod verdict;

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use self::requests::{RequestsArgs, RequestsError, tokens_are_handed_out};
use crate::cluster::client::{self, ClientError};
use crate::cluster::lease::{LEASE_TIMEOUT, LeaseLock};
use crate::cluster::remedy::not_served;
use crate::cluster::{ClusterError, served};
use crate::mint::innermost;

/// Between two attempts of a check that failed.
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
        default_value = "http://127.0.0.1:8081"
    )]
    pub operator_url: String,
    /// Don't ask for ClusterRealtimeProviders, as the operator doesn't serve them.
    #[arg(long, env = "NO_CLUSTER_PROVIDERS")]
    pub no_cluster_providers: bool,
    /// The Lease by which replicas elect their leader: a replica must hold and renew it. Left out without election.
    #[arg(long, env = "LEASE_NAME", value_name = "NAME")]
    pub lease_name: Option<String>,
    /// The operator's own namespace, where the Lease is.
    #[arg(long, env = "POD_NAMESPACE", default_value = "realtime-token-operator")]
    pub namespace: String,
    /// Tokens on request.
    #[command(flatten)]
    pub requests: RequestsArgs,
    /// For how long to repeat checks that fail.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u16).range(1..))]
    pub timeout_seconds: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("no HTTP client: {0}")]
    Http(String),
    #[error("{}", .0.with_remedy())]
    Cluster(#[from] ClusterError),
    #[error("{}", not_served(.0))]
    NotServed(&'static str),
    #[error("{url} can't be reached ({problem}): does its pod run, and may this one reach it?")]
    Unreachable { url: String, problem: String },
    #[error("the operator isn't ready: {0}")]
    NotReady(String),
    #[error(
        "no replica holds the Lease {0}: does a replica run with --leader-elect, and has it the rights on the Lease?"
    )]
    NoLeader(String),
    #[error("tokens on request: {0}")]
    Requests(#[from] RequestsError),
}

/// Repeats each check until it passes or the time is over. Returns a line for each check, or the first that failed.
pub async fn check(args: CheckArgs) -> Result<String, CheckError> {
    let cluster = client::connect(Arc::new(|_, _, _| ())).await?.client;
    // The operator runs in this cluster; the proxy of the environment is for the providers.
    let http = reqwest::Client::builder().no_proxy().timeout(HTTP_TIMEOUT).build();
    let http = http.map_err(|problem| CheckError::Http(problem.to_string()))?;
    let until = Instant::now() + Duration::from_secs(u64::from(args.timeout_seconds));

    let plurals: &[_] = match args.no_cluster_providers {
        true => &["realtimetokens"],
        false => &["realtimetokens", "clusterrealtimeproviders"],
    };
    let mut passed = vec![retry(until, async || kinds_are_served(&cluster, plurals).await).await?];
    passed.push(retry(until, async || is_ready(&http, &args.operator_url).await).await?);
    if let Some(name) = args.lease_name {
        let lock = LeaseLock::new(cluster, &args.namespace, name);
        let mut first = None;
        passed.push(retry(until, async || lease_is_renewed(&lock, &mut first).await).await?);
    }
    if let Some(url) = &args.requests.requests_url {
        let asked = async || Ok(tokens_are_handed_out(&args.requests, url, &args.namespace).await?);
        passed.push(retry(until, asked).await?);
    }
    Ok(passed.join("\n"))
}

async fn retry(
    until: Instant,
    mut check: impl AsyncFnMut() -> Result<String, CheckError>,
) -> Result<String, CheckError> {
    loop {
        match check().await {
            Err(_) if Instant::now() + PAUSE < until => tokio::time::sleep(PAUSE).await,
            result => return result.map(|passed| format!("ok: {passed}")),
        }
    }
}

async fn kinds_are_served(cluster: &kube::Client, plurals: &[&'static str]) -> Result<String, CheckError> {
    let served = served::kinds(cluster).await?;
    match plurals.iter().find(|plural| !served.iter().any(|kind| kind == *plural)) {
        Some(missing) => Err(CheckError::NotServed(missing)),
        None => Ok(format!("the API server serves {}", plurals.join(" and "))),
    }
}

async fn is_ready(http: &reqwest::Client, operator: &str) -> Result<String, CheckError> {
    let url = format!("{}/readyz", operator.trim_end_matches('/'));
    let unreachable = |problem: reqwest::Error| CheckError::Unreachable {
        url: url.clone(),
        problem: innermost(&problem.without_url()),
    };
    let response = http.get(&url).send().await.map_err(unreachable)?;
    let status = response.status();
    let body = response.text().await.map_err(unreachable)?;
    let body: String = body.trim().chars().take(200).collect();
    match status.is_success() {
        true => Ok(format!("{url} says that the operator is ready")),
        false => Err(CheckError::NotReady(body)),
    }
}

/// A Lease that changed between two reads has a live leader. Comparing its times with our clock would depend on skew.
async fn lease_is_renewed(lock: &LeaseLock, first: &mut Option<String>) -> Result<String, CheckError> {
    let no_leader = || CheckError::NoLeader(lock.name().to_owned());
    let lease = lock.read(LEASE_TIMEOUT).await?.ok_or_else(no_leader)?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity);
    let holder = holder.filter(|holder| !holder.is_empty()).ok_or_else(no_leader)?;
    let version = lease.metadata.resource_version;
    if first.is_none() {
        *first = version;
        return Err(no_leader());
    }
    match version == *first {
        true => Err(no_leader()),
        false => Ok(format!("{holder} holds the Lease {}", lock.name())),
    }
}
