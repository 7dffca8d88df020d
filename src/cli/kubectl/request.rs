//! `request`: asks for a token as an application in the cluster would: with a token of its ServiceAccount, over TLS, by
//! the URL and the CA that stand in the RealtimeToken's Secret. Only the way to a Service is another: a port-forward.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::endpoint::Endpoint;
use super::{PluginError, missing};
use crate::cli::check::verdict::Problem;
use crate::cluster::inspect::Inspector;
use crate::cluster::{ClusterError, Name};

/// Whose token, and for whom.
#[derive(Args, Debug)]
pub(super) struct Request {
    /// The RealtimeToken.
    name: String,
    /// The ServiceAccount to ask as, which needs the right to `create` `realtimetokens/token`. You need the right to
    /// request its tokens.
    #[arg(long, value_name = "NAME")]
    service_account: String,
    /// Who the token is for: an opaque id or a hash.
    #[arg(long, value_name = "TEXT")]
    subject: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(
        "Secret {secret} has no `{key}`: `spec.requests` of RealtimeToken {token} is not set, or this installation hands \
         out no tokens on request (condition Serving says which)"
    )]
    NoUrl {
        secret: Name,
        token: Name,
        key: &'static str,
    },
    #[error("`{url}` is not a URL that begins with https://")]
    NotHttps { url: String },
    #[error("{path}: {problem}")]
    Ca { path: PathBuf, problem: String },
    #[error("no ready pod is behind Service {0}")]
    NoPod(Name),
    #[error("{what}: {problem}")]
    Cluster { what: String, problem: ClusterError },
    #[error("{url} can't be reached ({problem})")]
    Unreachable { url: String, problem: String },
    #[error("the port-forward to {pod}: {problem}")]
    Forward { pod: Name, problem: String },
    #[error("the operator answered {status} {problem}")]
    Refused { status: u16, problem: Problem },
    #[error("the answer of {url}, {status}, is not an operator's: look for a proxy in between")]
    NotOperators { url: String, status: u16 },
}

/// The token as the operator answers it.
pub(super) async fn request(cluster: &Inspector, namespace: &str, wanted: Request) -> Result<String, PluginError> {
    let name = Name::new(namespace, &*wanted.name);
    let endpoint = endpoint_of(cluster, &name).await?;
    let account = Name::new(namespace, &*wanted.service_account);
    let bearer = cluster.service_account_token(&account).await;
    let bearer = bearer.map_err(|problem| RequestError::Cluster {
        what: format!("a token of ServiceAccount {account}"),
        problem,
    })?;
    let body = match wanted.subject {
        Some(subject) => json!({"subject": subject}),
        None => json!({}),
    };
    let (status, body) = endpoint.ask(cluster, &bearer, body.to_string()).await?;
    if status != 201 {
        return Err(match serde_json::from_slice(&body) {
            Ok(problem) => RequestError::Refused { status, problem },
            Err(_) => RequestError::NotOperators {
                url: endpoint.url(),
                status,
            },
        }
        .into());
    }
    let token = String::from_utf8(body).map_err(|problem| RequestError::Unreachable {
        url: endpoint.url(),
        problem: problem.to_string(),
    })?;
    Ok(token + "\n")
}

/// Where the tokens of this RealtimeToken are handed out, as its Secret says.
pub(super) async fn endpoint_of(cluster: &Inspector, name: &Name) -> Result<Endpoint, PluginError> {
    let token = cluster.token(name).await.map_err(|problem| missing(name, problem))?;
    let secret_name = Name::new(&*name.namespace, token.target_name());
    let secret = cluster.secret(&secret_name).await;
    let secret = secret.map_err(|problem| RequestError::Cluster {
        what: format!("Secret {secret_name}"),
        problem,
    })?;
    Ok(Endpoint::of(&secret, &secret_name, name)?)
}
