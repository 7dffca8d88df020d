//! What went wrong with a request to the Kubernetes API, by what helps.

use std::time::Duration;

use kube::core::Status;

use super::Refusal;
use super::retry_after::LIMITED;

/// What answers in a way that Kubernetes never does.
pub(super) const NO_API_SERVER: &str =
    "what answers is no Kubernetes API server: check the address in the kubeconfig, and any proxy on the way";

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// The object was changed or created by another writer: look again and decide anew.
    #[error("the object changed meanwhile")]
    Conflict,
    #[error("the object is gone")]
    NotFound,
    /// Refused by RBAC, a quota, an admission policy or validation.
    #[error("the API server refused with {code} {reason}: {message}")]
    Refused {
        code: u16,
        reason: String,
        /// The API's message, cut.
        message: String,
        why: Refusal,
    },
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// The API server has too many requests, of whatever kind, and says when to come back.
    #[error("the API server has too many requests and asks to wait for {} s", .0.as_secs())]
    Throttled(Duration),
    /// The API server fails or can't be reached.
    #[error("{0}")]
    Unavailable(String),
}

impl ClusterError {
    /// Whether the API server as a whole may be in trouble, and not this request.
    pub(crate) const fn is_unavailable(&self) -> bool {
        match self {
            Self::Timeout(_) | Self::Throttled(_) | Self::Unavailable(_) => true,
            Self::Conflict | Self::NotFound | Self::Refused { .. } => false,
        }
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&Status> for ClusterError {
    fn from(status: &Status) -> Self {
        match status.code {
            0 => Self::Unavailable(NO_API_SERVER.to_owned()), // not its JSON
            404 if status.reason == "NotFound" => Self::NotFound,
            409 => Self::Conflict,
            code @ 400..=499 if code != 408 && code != 429 => Self::Refused {
                code,
                why: Refusal::of(status),
                message: cut(&status.message),
                reason: status.reason.clone(),
            },
            _ if status.reason == LIMITED => Self::Throttled(retry_after(status)),
            code => Self::Unavailable(failed(code, status)),
        }
    }
}

impl From<&kube::Error> for ClusterError {
    fn from(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => Self::from(&**status),
            // A sentence already.
            kube::Error::Service(problem) => Self::Unavailable(cut(&problem.to_string())),
            kube::Error::Auth(problem) => Self::Unavailable(format!(
                "the credentials for the API server can't be got: {}; log in again",
                cut(&problem.to_string())
            )),
            kube::Error::SerdeError(_) => Self::Unavailable(NO_API_SERVER.to_owned()),
            other => Self::Unavailable(format!("the API server is unavailable: {}", cut(&other.to_string()))),
        }
    }
}

/// A failure of the API server, in its own words if it has any.
fn failed(code: u16, status: &Status) -> String {
    let said = cut(status.message.trim());
    match said.is_empty() {
        true => format!("the API server answered {code}"),
        false => format!("the API server answered {code}: {said}"),
    }
}

fn retry_after(status: &Status) -> Duration {
    let details = status.details.as_ref();
    Duration::from_secs(details.map_or(0, |details| details.retry_after_seconds).into())
}

/// Messages of the API server may quote whole objects.
fn cut(message: &str) -> String {
    message.chars().take(500).collect()
}
