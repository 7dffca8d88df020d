use super::EndpointError;
use crate::token::MintError;

/// A provider block that can't be asked for, with what to do about it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidBlock(pub String);

/// A 2xx reply that holds no usable token. The text is ours and quotes nothing of the reply.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct UnusableReply(pub String);

impl From<EndpointError> for MintError {
    fn from(error: EndpointError) -> Self {
        Self::Rejected {
            credential: false,
            message: error.to_string(),
        }
    }
}

impl From<InvalidBlock> for MintError {
    fn from(error: InvalidBlock) -> Self {
        Self::Rejected {
            credential: false,
            message: error.to_string(),
        }
    }
}
