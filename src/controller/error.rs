//! A reconcile that failed, and by when it must be tried again.

use std::time::Duration;

use jiff::SignedDuration;

use crate::cluster::{ClusterError, Unreadable};

/// The longest that a reconcile may take. Its requests are bounded on their own, this bounds the rest.
pub(super) const TIMEOUT: Duration = Duration::from_secs(60);

/// A reconcile that failed. Provider failures are states and not among these.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReconcileError {
    #[error("{error}")]
    Cluster {
        error: ClusterError,
        /// The time in which it must be tried again.
        within: Option<SignedDuration>,
    },
    #[error("the resource can't be read: {0}")]
    Unreadable(#[from] Unreadable),
    #[error("the reconcile panicked; this is a bug of the operator")]
    Panicked,
    #[error("the reconcile did not end within {} s", TIMEOUT.as_secs())]
    TimedOut,
}

impl From<ClusterError> for ReconcileError {
    fn from(error: ClusterError) -> Self {
        Self::cluster(error, None)
    }
}

impl ReconcileError {
    pub(super) const fn cluster(error: ClusterError, within: Option<SignedDuration>) -> Self {
        Self::Cluster { error, within }
    }

    pub(super) const fn within(&self) -> Option<SignedDuration> {
        match self {
            Self::Cluster { within, .. } => *within,
            Self::Unreadable(_) | Self::Panicked | Self::TimedOut => None,
        }
    }

    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Cluster { .. } => "api_error",
            Self::Unreadable(_) => "unreadable",
            Self::Panicked => "panic",
            Self::TimedOut => "timeout",
        }
    }
}
