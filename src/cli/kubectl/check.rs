//! `check`: whether this program, the CRDs and the operators of the cluster are of one version, and what of them is there.

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;

use super::screen::table;
use super::{Answer, PluginError};
use crate::api::{CRD_VERSION, GROUP};
use crate::cluster::ClusterError;
use crate::cluster::inspect::Inspector;

const VERSION: &str = env!("CARGO_PKG_VERSION");

struct Line {
    what: String,
    found: String,
    /// What to do, if something is wrong.
    wrong: Option<String>,
}

pub(super) async fn check(cluster: &Inspector) -> Result<Answer, PluginError> {
    let mut lines = vec![Line {
        what: "this program".to_owned(),
        found: VERSION.to_owned(),
        wrong: None,
    }];
    for plural in ["realtimetokens", "clusterrealtimeproviders"] {
        lines.push(crd(cluster, plural).await);
    }
    match cluster.operators().await {
        Ok(operators) if operators.is_empty() => lines.push(Line {
            what: "operator".to_owned(),
            found: "none".to_owned(),
            wrong: Some(
                "install the chart; or it was installed without it, and has no labels to be found by".to_owned(),
            ),
        }),
        Ok(operators) => lines.extend(operators.iter().map(operator)),
        Err(problem) => lines.push(Line {
            what: "operator".to_owned(),
            found: "unknown".to_owned(),
            wrong: Some(problem.to_string()),
        }),
    }
    let failure = lines
        .iter()
        .any(|line| line.wrong.is_some())
        .then_some(PluginError::Versions);
    let rows = lines
        .into_iter()
        .map(|line| vec![line.what, line.found, line.wrong.unwrap_or_else(|| "ok".to_owned())]);
    Ok(Answer {
        text: table(&["WHAT", "VERSION", "VERDICT"], rows),
        failure,
    })
}

/// The operator that serves no ClusterRealtimeProviders has no need of their CRD, but the chart installs both.
async fn crd(cluster: &Inspector, plural: &str) -> Line {
    let what = format!("CRD {plural}");
    let line = |found: &str, wrong| Line {
        what: what.clone(),
        found: found.to_owned(),
        wrong,
    };
    let crd = match cluster.crd(&format!("{plural}.{GROUP}")).await {
        Ok(crd) => crd,
        Err(ClusterError::NotFound) => {
            let cure = "install the chart with crds.install=true, or `realtime-token-operator crd | kubectl apply \
                        --server-side -f -`";
            return line("missing", Some(cure.to_owned()));
        }
        Err(problem) => return line("unknown", Some(problem.to_string())),
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
    let status = deployment.status.as_ref();
    let ready = status.and_then(|status| status.ready_replicas).unwrap_or(0);
    let namespace = deployment.namespace().unwrap_or_default();
    let name = deployment.name_any();
    let none_ready = || format!("no replica is ready: kubectl logs -n {namespace} deployment/{name}");
    Line {
        what: format!("operator {namespace}/{name}, {ready} ready"),
        found: found.to_owned(),
        wrong: if ready == 0 { Some(none_ready()) } else { differs(found) },
    }
}

fn differs(found: &str) -> Option<String> {
    (found != VERSION).then(|| format!("this program is of {VERSION}: upgrade the older of the two"))
}
