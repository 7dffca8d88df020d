//! The edits that `kubectl annotate` and `kubectl patch` would make, and what comes of them.

use std::time::Duration;

use clap::Args;
use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::report::Report;
use super::{Answer, PluginError, missing};
use crate::api::{RENEW_REQUESTED_AT, RealtimeToken};
use crate::clock::now;
use crate::cluster::Name;
use crate::cluster::inspect::Inspector;

/// The RealtimeTokens that are renewed at a time: an API server has other users.
const AT_A_TIME: usize = 16;
/// Between two looks at a RealtimeToken that is being renewed.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Which RealtimeTokens.
#[derive(Args, Debug)]
pub(super) struct Which {
    /// The RealtimeTokens.
    names: Vec<String>,
    /// All of the namespace.
    #[arg(long, conflicts_with = "names")]
    all: bool,
}

/// Which to renew, and how long to wait.
#[derive(Args, Debug)]
pub(super) struct Renewal {
    #[command(flatten)]
    which: Which,
    /// How long to wait for the new tokens; 0 doesn't wait. Two mints of one RealtimeToken are at least ten seconds apart.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    timeout_seconds: u16,
}

impl Which {
    async fn names(self, cluster: &Inspector, namespace: &str) -> Result<Vec<Name>, PluginError> {
        if self.all {
            let tokens = cluster.tokens(Some(namespace)).await;
            let tokens = tokens.map_err(|problem| PluginError::Cluster {
                what: format!("listing the RealtimeTokens of {namespace}"),
                problem,
            })?;
            return Ok(tokens.iter().map(Name::of).collect());
        }
        if self.names.is_empty() {
            return Err(PluginError::NoNames);
        }
        Ok(self.names.into_iter().map(|name| Name::new(namespace, name)).collect())
    }
}

pub(super) async fn suspend(
    cluster: &Inspector,
    namespace: &str,
    which: Which,
    suspend: bool,
) -> Result<String, PluginError> {
    let mut lines = String::new();
    for name in which.names(cluster, namespace).await? {
        let patch = json!({"spec": {"suspend": suspend}});
        let patched = cluster.patch(&name, &patch).await;
        patched.map_err(|problem| missing(&name, problem))?;
        let what = if suspend {
            "suspended: its token runs out"
        } else {
            "resumed"
        };
        lines += &format!("{name} {what}\n");
    }
    Ok(lines)
}

pub(super) async fn renew(cluster: &Inspector, namespace: &str, renewal: Renewal) -> Result<Answer, PluginError> {
    let patience = Some(renewal.timeout_seconds).filter(|seconds| *seconds > 0);
    let until = patience.map(|seconds| Instant::now() + Duration::from_secs(seconds.into()));
    let names = renewal.which.names(cluster, namespace).await?;
    let renewals = names.iter().map(|name| renew_one(cluster, name, until));
    let (mut done, mut failed) = (String::new(), Vec::new());
    let results: Vec<_> = stream::iter(renewals).buffered(AT_A_TIME).collect().await;
    for result in results {
        match result {
            Ok(Ok(line)) => done += &format!("{line}\n"),
            Ok(Err(line)) => failed.push(line),
            Err(problem) => failed.push(problem.to_string()),
        }
    }
    let failure = (!failed.is_empty()).then_some(PluginError::NotRenewed(failed));
    Ok(Answer { text: done, failure })
}

/// A line that says how it went.
async fn renew_one(
    cluster: &Inspector,
    name: &Name,
    until: Option<Instant>,
) -> Result<Result<String, String>, PluginError> {
    let request = now().to_string();
    let patch = json!({"metadata": {"annotations": {RENEW_REQUESTED_AT: request}}});
    let mut token = cluster
        .patch(name, &patch)
        .await
        .map_err(|problem| missing(name, problem))?;
    let Some(until) = until else {
        return Ok(Ok(format!("{name} is asked to renew")));
    };
    loop {
        if is_renewed(&token, &request) {
            let status = token.status.unwrap_or_default();
            let revision = status.revision.unwrap_or_default();
            let end = status
                .usable_until
                .map(|at| format!(", usable until {}", at.0))
                .unwrap_or_default();
            return Ok(Ok(format!("{name} renewed: revision {revision}{end}")));
        }
        if Instant::now() >= until {
            return Ok(Err(format!(
                "{name} is not renewed yet: {}",
                why_not_renewed(&token, now())
            )));
        }
        tokio::time::sleep(LOOK_EVERY).await;
        token = cluster.token(name).await.map_err(|problem| missing(name, problem))?;
    }
}

fn is_renewed(token: &RealtimeToken, request: &str) -> bool {
    let handled = token
        .status
        .as_ref()
        .and_then(|status| status.last_handled_renew_request.as_deref());
    handled == Some(request)
}

fn why_not_renewed(token: &RealtimeToken, now: Timestamp) -> String {
    let report = Report::new(token, now);
    format!("{}, {}", report.state, report.message)
}
