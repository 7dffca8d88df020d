//! Asks the operator for a token as a pod would: over TLS, with a ServiceAccount's token. Without a RealtimeToken to ask
//! it expects to be refused, which shows the same way there: Service, NetworkPolicy, certificate, both reviews.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Certificate;
use reqwest::header::CONTENT_TYPE;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;

use super::HTTP_TIMEOUT;
use super::verdict::{Problem, Verdict, url_of_missing_token};
use crate::mint::innermost;

/// The operator gives a provider 25 s to answer.
const MINT_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// Whether tokens are handed out on request.
#[derive(Args, Clone, Debug)]
pub struct RequestsArgs {
    /// Where tokens are handed out on request: https://SERVICE.NAMESPACE.svc. Left out: not checked.
    #[arg(long, value_name = "URL")]
    pub requests_url: Option<String>,
    /// A file with the CA of the certificate there. If it isn't there, the system's CAs are trusted.
    #[arg(long, value_name = "FILE", requires = "requests_url")]
    pub requests_ca: Option<PathBuf>,
    /// A file with a ServiceAccount's token for the audience realtime-token.dev.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/var/run/secrets/realtime-token.dev/token"
    )]
    pub requests_token_file: PathBuf,
    /// A RealtimeToken to ask for a token, which is thrown away. Left out: the check asks for one that it has no right
    /// to, and passes if it is refused for that.
    #[arg(long, value_name = "NAMESPACE/NAME", requires = "requests_url", value_parser = namespace_and_name)]
    pub requests_realtime_token: Option<(String, String)>,
}

fn namespace_and_name(text: &str) -> Result<(String, String), String> {
    let named = |part: &str| {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
        !part.is_empty() && part.chars().all(allowed)
    };
    match text.split_once('/') {
        Some((namespace, name)) if named(namespace) && named(name) => Ok((namespace.to_owned(), name.to_owned())),
        _ => Err("a RealtimeToken is named as NAMESPACE/NAME".to_owned()),
    }
}

#[derive(Debug, thiserror::Error)]
pub enum RequestsError {
    #[error("{path}: {problem}")]
    File { path: PathBuf, problem: String },
    #[error("{path} holds no certificates in PEM: {problem}")]
    Ca { path: PathBuf, problem: String },
    #[error(
        "{url} can't be reached ({problem}): is requests.enabled set, may this pod reach that port \
         (networkPolicy.requestsFrom), and is the certificate there of the CA in ca.crt?"
    )]
    Unreachable { url: String, problem: String },
    #[error(
        "{url} answered 401, {problem}: the operator there watches another cluster than the one that issued the token, or \
         the token is not for the audience realtime-token.dev"
    )]
    Unauthenticated { url: String, problem: Problem },
    #[error("{url} answered {status}, {problem}")]
    Refused { url: String, status: u16, problem: Problem },
    #[error("{url} answered {status} without a problem of the operator: something else is listening there")]
    Foreign { url: String, status: u16 },
    #[error("{url} answered 201 without provider, token and expiresAt")]
    NoToken { url: String },
    #[error("{url} answered 201: this check asked for a RealtimeToken that should not exist, and got a token")]
    Open { url: String },
}

/// The four fields of token.json, of which three are always there.
#[derive(Deserialize)]
#[allow(dead_code, reason = "only that they are there matters")]
struct Token {
    provider: serde::de::IgnoredAny,
    token: serde::de::IgnoredAny,
    #[serde(rename = "expiresAt")]
    expires_at: serde::de::IgnoredAny,
}

/// `url` is that of `args`; `namespace` is where the RealtimeToken that doesn't exist is asked for.
pub(super) async fn tokens_are_handed_out(
    args: &RequestsArgs,
    url: &str,
    namespace: &str,
) -> Result<String, RequestsError> {
    // Read at each attempt: the kubelet replaces both files.
    let http = client(args.requests_ca.as_deref())?;
    let bearer = SecretString::from(read(&args.requests_token_file)?);
    let url = match &args.requests_realtime_token {
        Some((namespace, name)) => {
            let base = url.trim_end_matches('/');
            format!("{base}/v1alpha1/namespaces/{namespace}/realtimetokens/{name}/token")
        }
        None => url_of_missing_token(url, namespace),
    };
    let unreachable = |problem: reqwest::Error| RequestsError::Unreachable {
        url: url.clone(),
        problem: innermost(&problem.without_url()),
    };
    let request = http.post(&url).bearer_auth(bearer.expose_secret().trim());
    let request = request.header(CONTENT_TYPE, "application/json");
    let answer = request.body(r#"{"subject":"helm-test"}"#).send().await;
    let answer = answer.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let body = answer.bytes().await.map_err(unreachable)?;

    let asked_for = args.requests_realtime_token.is_some();
    if status == 201 {
        let token = serde_json::from_slice::<Token>(&body);
        return match (asked_for, token) {
            (true, Ok(_)) => Ok(format!("{url} handed out a token")),
            (true, Err(_)) => Err(RequestsError::NoToken { url }),
            (false, _) => Err(RequestsError::Open { url }),
        };
    }
    match Verdict::of(status, &body) {
        Verdict::WatchesThisCluster(_) if !asked_for => Ok(format!(
            "{url} answers, watches this cluster, and refuses whom it should ({status})"
        )),
        Verdict::DoesNotKnowTheToken(problem) => Err(RequestsError::Unauthenticated { url, problem }),
        Verdict::WatchesThisCluster(problem) | Verdict::Unclear(problem) => {
            Err(RequestsError::Refused { url, status, problem })
        }
        Verdict::NoOperator => Err(RequestsError::Foreign { url, status }),
    }
}

/// The operator is in this cluster: the proxy of the environment is for the providers.
fn client(ca: Option<&Path>) -> Result<reqwest::Client, RequestsError> {
    let mut builder = https().no_proxy();
    let ca = ca.map(|path| (path, std::fs::read(path)));
    match ca {
        Some((path, Ok(pem))) => {
            let wrong = |problem: String| RequestsError::Ca {
                path: path.to_owned(),
                problem,
            };
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|problem| wrong(innermost(&problem)))?;
            if certificates.is_empty() {
                return Err(wrong("the file is empty of them".to_owned()));
            }
            builder = builder.tls_certs_only(certificates);
        }
        Some((path, Err(problem))) if problem.kind() != ErrorKind::NotFound => {
            return Err(RequestsError::File {
                path: path.to_owned(),
                problem: problem.to_string(),
            });
        }
        _ => {}
    }
    builder.build().map_err(|problem| RequestsError::Unreachable {
        url: "HTTPS".to_owned(),
        problem: innermost(&problem),
    })
}

/// A client that sends a ServiceAccount's token to the host of the URL and to no other.
pub(in crate::cli) fn https() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .https_only(true)
        .connect_timeout(HTTP_TIMEOUT)
        .timeout(MINT_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
}

fn read(path: &Path) -> Result<String, RequestsError> {
    std::fs::read_to_string(path).map_err(|problem| RequestsError::File {
        path: path.to_owned(),
        problem: problem.to_string(),
    })
}

#[cfg(test)]
mod tests;
