//! Whether the operator behind a URL watches this cluster: it is asked with a ServiceAccount's token of this cluster for a
//! RealtimeToken that doesn't exist. Nothing is minted, and the ServiceAccount needs no right.

use std::path::PathBuf;

use secrecy::SecretString;

use super::{Check, Line};
use crate::cli::check::verdict::{Verdict, url_of_missing_token};
use crate::cli::kubectl::PluginError;
use crate::cli::kubectl::endpoint::Endpoint;
use crate::cli::kubectl::request::{RequestError, endpoint_of};
use crate::cluster::inspect::Inspector;
use crate::cluster::{ClusterError, Name};

/// Every namespace has it.
const SERVICE_ACCOUNT: &str = "default";

/// The line of the operator to ask, if there is one.
pub(super) async fn check_url(
    cluster: &Inspector,
    namespace: &str,
    wanted: Check,
) -> Result<Option<Line>, PluginError> {
    let endpoint = match (wanted.name, wanted.url) {
        (Some(name), _) => {
            let name = Name::new(namespace, name);
            match endpoint_of(cluster, &name).await {
                Ok(endpoint) => endpoint,
                // The other lines may say why.
                Err(problem) => {
                    return Ok(Some(Line {
                        what: format!("operator of RealtimeToken {name}"),
                        found: "unknown".to_owned(),
                        verdict: Err(problem.to_string()),
                    }));
                }
            }
        }
        (None, Some(url)) => Endpoint::new(&url, wanted.ca.map(read).transpose()?)?,
        (None, None) => return Ok(None),
    };
    let url = url_of_missing_token(&endpoint.url(), namespace);
    let endpoint = endpoint.with_url(&url)?;
    let host = endpoint.origin();
    let account = Name::new(namespace, wanted.service_account.as_deref().unwrap_or(SERVICE_ACCOUNT));
    let (found, verdict) = match cluster.service_account_token(&account).await {
        Ok(bearer) => finding(ask(cluster, &endpoint, &bearer).await, &cluster.address().to_string()),
        Err(ClusterError::NotFound) => {
            let problem = format!("there is no ServiceAccount {account}: name one with --service-account");
            ("unknown", Err(problem))
        }
        Err(problem) => {
            let problem = format!("a token of ServiceAccount {account}: {problem}");
            ("unknown", Err(problem))
        }
    };
    Ok(Some(Line {
        what: format!("operator at {host}"),
        found: found.to_owned(),
        verdict,
    }))
}

fn read(path: PathBuf) -> Result<Vec<u8>, RequestError> {
    std::fs::read(&path).map_err(|problem| RequestError::Ca {
        path,
        problem: problem.to_string(),
    })
}

async fn ask(cluster: &Inspector, endpoint: &Endpoint, bearer: &SecretString) -> Result<(u16, Verdict), RequestError> {
    let (status, body) = endpoint.ask(cluster, bearer, "{}".to_owned()).await?;
    Ok((status, Verdict::of(status, &body)))
}

/// What was found, and what is well or what to do. `api_server` is that of this cluster.
fn finding(asked: Result<(u16, Verdict), RequestError>, api_server: &str) -> (&'static str, Result<String, String>) {
    match asked {
        Ok((_, Verdict::WatchesThisCluster(_))) => (
            "watches this cluster",
            Ok(format!("ok: it knows the tokens of {api_server}")),
        ),
        Ok((_, Verdict::DoesNotKnowTheToken(problem))) => (
            "does NOT watch this cluster",
            Err(format!(
                "it doesn't know the tokens of {api_server}: use the URL of this cluster's operator (`request-url` in the \
                 Secret of a RealtimeToken, or the chart's requests.url), or --context for the cluster that it watches. Its \
                 answer: {problem}"
            )),
        ),
        Ok((status, Verdict::Unclear(problem))) => (
            "unknown",
            Err(format!(
                "it answered {status}, {problem}: see to that, then check again"
            )),
        ),
        Ok((status, Verdict::NoOperator)) => (
            "no operator",
            Err(format!(
                "the answer, {status}, is not an operator's: give the URL where it hands out tokens on request, and look \
                 for a proxy in between"
            )),
        ),
        Err(problem) => (
            "unknown",
            Err(format!("{problem}: is that its URL, and does the CA fit?")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const API_SERVER: &str = "https://127.0.0.1:6443 (context kind-a)";

    fn of(status: u16, body: &str) -> (&'static str, Result<String, String>) {
        finding(Ok((status, Verdict::of(status, body.as_bytes()))), API_SERVER)
    }

    #[test]
    fn each_finding_says_what_to_do() {
        let (found, verdict) = of(403, r#"{"reason":"Forbidden","detail":"no"}"#);
        assert_eq!(found, "watches this cluster");
        assert_eq!(verdict, Ok(format!("ok: it knows the tokens of {API_SERVER}")));
        for (status, body, finding, remedy) in [
            (
                401,
                r#"{"reason":"Unauthenticated","detail":"no"}"#,
                "does NOT watch this cluster",
                "use the URL of this cluster's operator",
            ),
            (
                503,
                r#"{"reason":"ApiServerUnavailable","detail":"no answer"}"#,
                "unknown",
                "it answered 503, ApiServerUnavailable: no answer: see to that",
            ),
            (200, "<html>", "no operator", "give the URL"),
        ] {
            let (found, verdict) = of(status, body);
            assert_eq!(found, finding);
            let verdict = verdict.unwrap_err();
            assert!(verdict.contains(remedy), "{verdict}");
        }
        let url = "https://a".to_owned();
        let problem = "connection refused".to_owned();
        let (found, verdict) = finding(Err(RequestError::Unreachable { url, problem }), API_SERVER);
        assert_eq!(found, "unknown");
        assert!(
            verdict
                .unwrap_err()
                .starts_with("https://a can't be reached (connection refused)")
        );
    }
}
