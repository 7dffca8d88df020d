use std::time::Duration;

/// A request to the Kubernetes API that failed, by what to do next.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Somebody else wrote first, or the object exists already: look again and decide anew.
    #[error("the object changed meanwhile")]
    Conflict,
    /// The object is gone.
    #[error("the object is gone")]
    NotFound,
    /// The API server will not have it: RBAC, quota, an admission policy.
    #[error("the API server refused with {code} {reason}: {message}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The API's reason.
        reason: String,
        /// The API's message, cut.
        message: String,
    },
    /// No answer in time.
    #[error("no answer from the API server within {0:?}")]
    Timeout(Duration),
    /// The API server, or the way to it, is out of order.
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
                    reason: status.reason,
                    message: status.message.chars().take(500).collect(),
                },
                code => Self::Unavailable(format!("{code} {}", status.reason)),
            },
            other => Self::Unavailable(other.to_string().chars().take(300).collect()),
        }
    }
}
