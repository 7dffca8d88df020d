//! `check`: whether this program, the CRDs and the operators of the cluster are of one version, and whether the operators
//! watch this cluster: `lease` looks at their Leases, `url` asks the operator behind a URL.

mod lease;
mod url;

use std::path::PathBuf;

use clap::Args;
use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use super::screen::table;
use super::{Answer, PluginError};
use crate::api::{CRD_VERSION, GROUP};
use crate::cluster::ClusterError;
use crate::cluster::inspect::Inspector;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// An operator to ask whether it watches this cluster.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// A RealtimeToken with `spec.requests`: asks the operator behind the URL in its Secret, too, whether it watches this
    /// cluster. You need the right to read that Secret.
    #[arg(group = "asked")]
    name: Option<String>,
    /// Asks the operator behind this URL, where it hands out tokens on request.
    #[arg(long, value_name = "URL", group = "asked")]
    url: Option<String>,
    /// A file with the CA of the certificate there, in PEM. Left out: the system's CAs are trusted.
    #[arg(long, value_name = "FILE", requires = "url")]
    ca: Option<PathBuf>,
    /// The ServiceAccount with a token of which it is asked; left out, `default`. It needs no right; you need the one to
    /// request its tokens.
    #[arg(long, value_name = "NAME", requires = "asked")]
    service_account: Option<String>,
}

struct Line {
    what: String,
    found: String,
    /// What is well, or what to do.
    verdict: Result<String, String>,
}

fn ok() -> Result<String, String> {
    Ok("ok".to_owned())
}

pub(super) async fn check(cluster: &Inspector, namespace: &str, wanted: Check) -> Result<Answer, PluginError> {
    let mut lines = vec![Line {
        what: "this program".to_owned(),
        found: VERSION.to_owned(),
        verdict: ok(),
    }];
    for plural in ["realtimetokens", "clusterrealtimeproviders"] {
        lines.push(crd(cluster, plural).await);
    }
    match cluster.operators().await {
        Ok(operators) if operators.is_empty() => lines.push(Line {
            what: "operator".to_owned(),
            found: "none".to_owned(),
            verdict: Err(
                "install the chart; or it was installed without it, and has no labels to be found by".to_owned(),
            ),
        }),
        Ok(operators) => {
            lines.extend(operators.iter().map(operator));
            let ready = operators.iter().filter(|it| ready_replicas(it) > 0);
            lines.extend(join_all(ready.map(|it| lease::check_lease(cluster, it))).await);
        }
        Err(problem) => lines.push(Line {
            what: "operator".to_owned(),
            found: "unknown".to_owned(),
            verdict: Err(problem.to_string()),
        }),
    }
    lines.extend(url::check_url(cluster, namespace, wanted).await?);
    let failure = lines
        .iter()
        .any(|line| line.verdict.is_err())
        .then_some(PluginError::NotWell);
    let rows = lines.into_iter().map(|line| {
        let verdict = line.verdict.unwrap_or_else(|remedy| remedy);
        vec![line.what, line.found, verdict]
    });
    Ok(Answer {
        text: table(&["WHAT", "FOUND", "VERDICT"], rows),
        failure,
    })
}

/// The operator that serves no ClusterRealtimeProviders has no need of their CRD, but the chart installs both.
async fn crd(cluster: &Inspector, plural: &str) -> Line {
    let what = format!("CRD {plural}");
    let line = |found: &str, verdict| Line {
        what: what.clone(),
        found: found.to_owned(),
        verdict,
    };
    let crd = match cluster.crd(&format!("{plural}.{GROUP}")).await {
        Ok(crd) => crd,
        Err(ClusterError::NotFound) => {
            let cure = "install the chart with crds.install=true, or `realtime-token-operator crd | kubectl apply \
                        --server-side -f -`";
            return line("missing", Err(cure.to_owned()));
        }
        Err(problem) => return line("unknown", Err(problem.to_string())),
    };
    let found = crd
        .annotations()
        .get(CRD_VERSION)
        .map_or("of no known version", String::as_str);
    line(found, differs(found))
}

fn operator(deployment: &Deployment) -> Line {
    let found = deployment
        .labels()
        .get("app.kubernetes.io/version")
        .map_or("unknown", String::as_str);
    let ready = ready_replicas(deployment);
    let namespace = deployment.namespace().unwrap_or_default();
    let name = deployment.name_any();
    Line {
        what: format!("operator {namespace}/{name}, {ready} ready"),
        found: found.to_owned(),
        verdict: match ready {
            0 => Err(format!("no replica is ready: {}", logs_of(deployment))),
            _ => differs(found),
        },
    }
}

fn ready_replicas(deployment: &Deployment) -> i32 {
    let status = deployment.status.as_ref();
    status.and_then(|status| status.ready_replicas).unwrap_or(0)
}

/// The command that shows them.
fn logs_of(deployment: &Deployment) -> String {
    let namespace = deployment.namespace().unwrap_or_default();
    format!("kubectl logs -n {namespace} deployment/{}", deployment.name_any())
}

fn differs(found: &str) -> Result<String, String> {
    match found == VERSION {
        true => ok(),
        false => Err(format!("this program is of {VERSION}: upgrade the older of the two")),
    }
}
