//! Asking a provider for a token, whichever provider it is.
//!
//! A mint in order: `endpoint` decides where a key may be sent; the provider's file builds a `request`, or a token with
//! `sign`; `client` sends it; `reply` reads the answer, with `expiry` for the end of the token. Errors become a
//! [`MintError`](crate::token::MintError): `refusal` with `error_body`, `cause`, `scrub` and `retry_after` for replies,
//! `failure` for the network. `exchange` gets access tokens for the tokens of ServiceAccounts, in place of a key.
//! Knows HTTP and no Kubernetes.

mod address;
mod cause;
pub(crate) mod claims;
mod client;
mod credential;
pub(crate) mod endpoint;
mod error;
mod error_body;
pub(crate) mod exchange;
pub(crate) mod expiry;
mod explain;
mod failure;
pub(crate) mod placeholder;
pub(crate) mod refusal;
pub(crate) mod reply;
pub(crate) mod request;
mod resolver;
pub(crate) mod retry_after;
pub(crate) mod scrub;
pub(crate) mod sign;
mod step;
pub(crate) mod wire;

use std::fmt;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

pub use self::client::{ClientConfig, ClientError, ProviderClient};
pub(crate) use self::client::{TIMEOUT, innermost};
pub use self::credential::Credential;
pub use self::endpoint::{Endpoint, EndpointError, EndpointPolicy};
pub(crate) use self::error::{InvalidBlock, UnusableReply};
pub use self::exchange::{AccessToken, SubjectToken};
pub(crate) use self::explain::{explain, placeholders};
pub(crate) use self::refusal::Class;
pub(crate) use self::request::{Body, Request, To};
pub(crate) use self::scrub::scrubbed;
pub use self::step::{Answer, Expiry, Mint, Step};
use crate::api::Exchange;
use crate::providers::Block;
use crate::token::{MintError, Minted};

/// What to mint: a provider block with its account side filled in, and the life to ask for.
#[derive(Clone)]
pub struct Ask {
    pub block: Block,
    /// The life to ask for, where the provider lets us choose.
    pub expiration: SignedDuration,
    /// The namespace of the RealtimeToken.
    pub namespace: String,
    /// Who the token is for, where a caller asked for it on request and said so. It is in the block too, where the
    /// provider has a field for it.
    pub subject: Option<String>,
    /// Whether a caller of a request chose some of it: the subject, or values of the block.
    pub of_caller: bool,
}

/// Without the subject, which is personal data.
impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask")
            .field("block", &self.block)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// Asks a provider for a token. The controller's tests answer in place of [`ProviderClient`].
pub trait Minter: Send + Sync {
    /// Asks once. `now` is our clock as the request is sent.
    fn mint<'a>(
        &'a self,
        ask: &'a Ask,
        credential: &'a Credential,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Minted, MintError>>;

    /// Exchanges a ServiceAccount's token once. `now` is our clock as the request is sent.
    fn exchange<'a>(
        &'a self,
        exchange: &'a Exchange,
        subject: &'a SubjectToken,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<AccessToken, MintError>>;
}
