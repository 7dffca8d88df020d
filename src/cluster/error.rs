//! What went wrong with a request to the Kubernetes API, by what helps.

use std::time::Duration;

use super::Refusal;

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
    /// The API server fails or can't be reached.
    #[error("the API server is unavailable: {0}")]
    Unavailable(String),
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match status.code {
                404 if status.reason == "NotFound" => Self::NotFound,
                409 => Self::Conflict,
                code @ 400..=499 if code != 408 && code != 429 => Self::Refused {
                    code,
                    why: Refusal::of(&status),
                    message: cut(&status.message),
                    reason: status.reason,
                },
                code => Self::Unavailable(format!("{code} {}: {}", status.reason, cut(&status.message))),
            },
            other => Self::Unavailable(cut(&other.to_string())),
        }
    }
}

/// Messages of the API server may quote whole objects.
fn cut(message: &str) -> String {
    message.chars().take(500).collect()
}
