//! How to ask for a token and how to read the answer.
//!
//! A provider is one file with two pure functions, [`Provider::request`] and [`Provider::read`]; everything that
//! touches the network is in [`ProviderClient`] and shared. Wire facts come from the providers' documentation and
//! from requests recorded from their official SDKs (`tests/recordings`).
//!
//! The way of a mint: `endpoint` says where to, the provider's file what to send, `client` sends it, `reply` reads
//! the answer with `clock` for its expiry, or turns it into a [`MintError`] with `refusal`, `scrub` and `retry_after`
//! for what the provider said and `failure` for what the network did.

mod client;
mod clock;
mod elevenlabs;
mod endpoint;
mod error;
mod failure;
mod jwt;
mod openai;
mod refusal;
mod reply;
mod resolver;
mod retry_after;
mod scrub;
mod wire;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::api::{ElevenLabs, OpenAi};

pub use client::{ClientConfig, ClientError, ProviderClient};
pub use endpoint::{Endpoint, EndpointError, EndpointPolicy};
pub use error::MintError;
pub use scrub::scrubbed;

/// What to ask of whom: a provider block with its account side filled in, and the life to ask for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The provider block.
    pub block: Block,
    /// The life to ask for, where the provider lets us choose.
    pub expiration: SignedDuration,
}

/// The provider blocks of the API. Adding a provider adds an arm here and in [`Block::provider`].
#[derive(Clone, Debug)]
#[allow(missing_docs, reason = "one variant per provider")]
pub enum Block {
    OpenAi(Box<OpenAi>),
    ElevenLabs(Box<ElevenLabs>),
}

impl Block {
    /// The adapter of the block.
    #[must_use]
    pub fn provider(&self) -> &dyn Provider {
        match self {
            Self::OpenAi(block) => block.as_ref(),
            Self::ElevenLabs(block) => block.as_ref(),
        }
    }
}

/// A provider's wire format, free of I/O and clocks.
pub trait Provider: Send + Sync {
    /// The provider's name as TanStack AI writes it into `token.json`.
    fn name(&self) -> &'static str;

    /// The provider's name as messages write it.
    fn title(&self) -> &'static str;

    /// The values that the provider needs from the key Secret. The first one's key can be chosen by `secretRef.key`.
    fn roles(&self) -> &'static [Role];

    /// What `policy.allowedModels` is held against.
    fn model(&self) -> &str;

    /// How the token's life is settled.
    fn life(&self) -> Life;

    /// TanStack's `config`, as published unless the reply says more.
    fn config(&self) -> Map<String, Value>;

    /// Whether the token serves one session only and so doesn't suit a shared Secret.
    fn single_use(&self) -> bool {
        false
    }

    /// The origin to call.
    fn endpoint(&self) -> Endpoint<'_>;

    /// What CEL can't see.
    ///
    /// # Errors
    /// What is wrong with the block and what to do about it.
    fn validate(&self) -> Result<(), InvalidBlock>;

    /// The request, relative to the endpoint's origin, without authentication's failure modes: a credential that no
    /// header can carry is an error here.
    ///
    /// # Errors
    /// The credential can't be sent.
    fn request(
        &self,
        expiration: SignedDuration,
        credential: &Credential,
    ) -> Result<Request, MintError>;

    /// Reads a 2xx reply.
    ///
    /// # Errors
    /// A reply without a token or without an expiry is refused, never guessed at.
    fn read(&self, expiration: SignedDuration, body: &[u8]) -> Result<Answer, UnusableReply>;
}

/// A value that a provider needs from the key Secret.
#[derive(Debug, PartialEq, Eq)]
pub struct Role {
    /// The key in the Secret, unless `secretRef.key` names another.
    pub key: &'static str,
    /// The environment variable from which the provider's own SDK reads it.
    pub env: &'static str,
}

/// How a token's life is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// We ask for one, within the provider's limits.
    Chosen {
        /// The shortest life that the provider grants.
        min: SignedDuration,
        /// The longest life that the provider grants.
        max: SignedDuration,
    },
    /// The provider's documentation fixes it.
    Fixed(SignedDuration),
    /// The provider decides, and the token says.
    Stated,
}

impl Life {
    /// Whether the provider grants what is asked for. CEL refuses the rest at admission.
    ///
    /// # Errors
    /// The limits.
    pub fn admit(self, expiration: SignedDuration) -> Result<(), InvalidBlock> {
        match self {
            Self::Chosen { min, max } if expiration < min || expiration > max => {
                Err(InvalidBlock(format!(
                    "expirationSeconds: {} is outside of what the provider grants, {} to {} seconds",
                    expiration.as_secs(),
                    min.as_secs(),
                    max.as_secs()
                )))
            }
            Self::Chosen { .. } | Self::Fixed(_) | Self::Stated => Ok(()),
        }
    }
}

/// The values of a key Secret, by role.
#[derive(Clone, Debug, Default)]
pub struct Credential {
    values: BTreeMap<&'static str, SecretString>,
}

impl Credential {
    /// A credential from values by role key.
    pub fn new(values: impl IntoIterator<Item = (&'static str, SecretString)>) -> Self {
        Self {
            values: values.into_iter().collect(),
        }
    }

    /// The value of a role.
    #[must_use]
    pub fn get(&self, role: &Role) -> Option<&SecretString> {
        self.values.get(role.key)
    }

    /// All values, for scrubbing error messages and for the credential's revision.
    pub fn values(&self) -> impl Iterator<Item = &SecretString> {
        self.values.values()
    }
}

/// A request relative to an origin. `Debug` prints method and path only: headers carry the key.
pub struct Request {
    /// The method.
    pub method: http::Method,
    /// Path and query, percent-encoded as the official SDK does.
    pub path: String,
    /// Headers; values that carry the key are marked sensitive.
    pub headers: http::HeaderMap,
    /// The JSON body, if there is one.
    pub body: Option<Vec<u8>>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}

/// What a provider's reply says.
#[derive(Debug)]
pub struct Answer {
    /// The token.
    pub value: SecretString,
    /// The end of its usable life.
    pub expiry: Expiry,
    /// TanStack's `config`.
    pub config: Map<String, Value>,
}

/// The forms in which an expiry is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// A point in time on the provider's clock.
    At(Timestamp),
    /// So long after the request was sent.
    After(SignedDuration),
}

/// A token that was minted and not yet stored.
#[derive(Clone, Debug)]
pub struct Minted {
    /// TanStack's provider name.
    pub provider: &'static str,
    /// The token.
    pub value: SecretString,
    /// When the request was sent, by our clock.
    pub issued_at: Timestamp,
    /// Until when the token can start a session, by our clock.
    pub usable_until: Timestamp,
    /// The same instant by the provider's clock: what consumers get to see.
    pub expires_at: Timestamp,
    /// TanStack's `config`.
    pub config: Map<String, Value>,
}

/// A provider block that can't be asked for, with what to do about it.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct InvalidBlock(pub String);

/// A 2xx reply that holds no usable token. The text is ours and quotes nothing of the reply.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct UnusableReply(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lives_outside_of_the_limits_are_refused() {
        let secs = SignedDuration::from_secs;
        let chosen = Life::Chosen {
            min: secs(10),
            max: secs(7200),
        };
        for inside in [10, 1800, 7200] {
            assert_eq!(chosen.admit(secs(inside)), Ok(()));
        }
        for outside in [i64::MIN, 0, 9, 7201, i64::MAX] {
            assert!(
                chosen
                    .admit(secs(outside))
                    .unwrap_err()
                    .0
                    .contains("10 to 7200")
            );
        }
        assert_eq!(Life::Stated.admit(secs(0)), Ok(()));
    }

    #[test]
    fn debug_hides_the_key() {
        let credential = Credential::new([("api-key", "canary".into())]);
        assert!(!format!("{credential:?}").contains("canary"));
        let ask: OpenAi = serde_json::from_value(serde_json::json!({"model": "m"})).unwrap();
        let request = ask
            .request(SignedDuration::from_secs(10), &credential)
            .unwrap();
        assert_eq!(format!("{request:?}"), "POST /v1/realtime/client_secrets");
        assert!(!format!("{:?}", request.headers).contains("canary"));
    }
}
