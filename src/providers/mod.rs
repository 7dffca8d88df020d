//! How to ask for a token and how to read the answer.
//!
//! A provider is one file with two pure functions, [`Provider::start`] and [`Provider::read`]; everything that
//! touches the network is in [`ProviderClient`] and shared. Wire facts come from the providers' documentation and
//! from requests recorded from their official SDKs (`tests/recordings`).
//!
//! The way of a mint: `endpoint` says where to, the provider's file what to send (built with `request`) or what to sign
//! (with `sign`), `client` sends it, `reply` reads the answer with `clock` for its expiry, or turns it into a [`MintError`] with `refusal`, `scrub` and `retry_after`
//! for what the provider said and `failure` for what the network did.

mod agora;
mod assemblyai;
mod azure_openai;
mod azure_speech;
mod block;
mod cartesia;
mod client;
mod clock;
#[cfg(test)]
mod conformance;
mod daily;
mod deepgram;
mod elevenlabs;
mod endpoint;
mod error;
mod explain;
mod failure;
mod gemini;
mod generic_http;
mod generic_jwt;
mod hume;
mod ice_servers;
mod jwt;
mod livekit;
mod mistral;
mod openai;
mod placeholder;
mod refusal;
mod reply;
mod request;
mod resolver;
mod retry_after;
mod scrub;
mod sign;
mod soniox;
mod speechmatics;
mod twilio;
mod wire;
mod xai;

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Map, Value};

pub use block::{AccountMismatch, Block};
pub use client::{ClientConfig, ClientError, ProviderClient};
pub use endpoint::{Endpoint, EndpointError, EndpointPolicy};
pub use error::MintError;
pub use explain::{explain, placeholders};
pub use request::{Body, Request, To};
pub use scrub::scrubbed;

/// What to ask of whom: a provider block with its account side filled in, and the life to ask for.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The provider block.
    pub block: Block,
    /// The life to ask for, where the provider lets us choose.
    pub expiration: SignedDuration,
}

/// A provider's wire format, free of I/O, clocks and random numbers.
///
/// Most providers are [`Facts`] and two functions: [`Provider::start`] says what to send, or signs the token itself;
/// [`Provider::read`] reads the reply.
pub trait Provider: Send + Sync {
    /// What never changes about the provider: [`Described::FACTS`].
    fn facts(&self) -> &'static Facts;

    /// The provider's name as TanStack AI writes it into `token.json`.
    fn name(&self) -> &'static str {
        self.facts().name
    }

    /// The name in `token.json`, where the block can choose it.
    fn published(&self) -> Cow<'static, str> {
        self.name().into()
    }

    /// The provider's name as messages write it.
    fn title(&self) -> &'static str {
        self.facts().title
    }

    /// The values that the provider needs from the key Secret. The first one's key can be chosen by `secretRef.key`.
    fn roles(&self) -> &'static [Role] {
        self.facts().roles
    }

    /// What `policy.allowedModels` is held against: the model, the agent, the room. `None` if the token is bound to
    /// none; a policy with allowedModels then refuses it.
    fn model(&self) -> Option<&str>;

    /// How the token's life is settled.
    fn life(&self) -> Life;

    /// TanStack's `config`, as published unless the reply says more.
    fn config(&self) -> Map<String, Value> {
        let model = self
            .facts()
            .config_has_model
            .then(|| self.model())
            .flatten();
        model
            .map(|model| ("model".to_owned(), model.into()))
            .into_iter()
            .collect()
    }

    /// What a status means.
    fn class(&self, status: u16) -> Class {
        Class::usual(status)
    }

    /// Why the token serves one session only and so doesn't suit a shared Secret, if it does: a whole sentence.
    fn single_use(&self) -> Option<&'static str> {
        None
    }

    /// The origin to call.
    fn endpoint(&self) -> Endpoint<'_>;

    /// What CEL can't see.
    ///
    /// # Errors
    /// What is wrong with the block and what to do about it.
    fn validate(&self) -> Result<(), InvalidBlock> {
        Ok(())
    }

    /// The first request, or the token itself where it is signed with the key and nobody is asked.
    ///
    /// # Errors
    /// A credential that can't be sent or can't sign.
    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError>;

    /// Reads a 2xx reply: the token, or the next request. `nth` counts the replies from 0.
    ///
    /// # Errors
    /// A reply without a token or without an expiry is refused, never guessed at.
    fn read(&self, mint: &Mint<'_>, nth: usize, body: &[u8]) -> Result<Step, UnusableReply>;

    /// More keys of the Secret, where the block names them itself: out of the reply that brought the token.
    ///
    /// # Errors
    /// A reply without them.
    fn further(&self, _body: &[u8]) -> Result<BTreeMap<String, SecretString>, UnusableReply> {
        Ok(BTreeMap::new())
    }
}

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The body holds the token.
    Granted,
    /// Too many requests: wait.
    Throttled,
    /// Out of order: try again.
    Unavailable,
    /// Asking again changes nothing.
    Rejected,
}

impl Class {
    /// What it means with all providers, unless they say otherwise.
    #[must_use]
    pub const fn usual(status: u16) -> Self {
        match status {
            200..=299 => Self::Granted,
            429 => Self::Throttled,
            408 | 409 | 500..=599 => Self::Unavailable,
            _ => Self::Rejected,
        }
    }
}

/// The facts by type, where there is no block yet.
pub trait Described {
    /// What never changes about the provider.
    const FACTS: &'static Facts;
}

/// The account side of a block, which a ClusterRealtimeProvider can hold.
pub trait AccountSide {
    /// The values that the account needs from the key Secret.
    fn roles(&self) -> &'static [Role];
}

/// What never changes about a provider.
#[derive(Debug)]
pub struct Facts {
    /// The name in `token.json`, TanStack AI's where it has an adapter.
    pub name: &'static str,
    /// The name in messages.
    pub title: &'static str,
    /// The values from the key Secret, unless they depend on the block.
    pub roles: &'static [Role],
    /// The origins that its keys are sent to without being listed; `*` stands for a name of the customer's.
    pub origins: &'static [&'static str],
    /// How its keys and tokens begin, in lower case, so that its error messages can be scrubbed of them.
    pub secret_prefixes: &'static [&'static str],
    /// Whether `model` of TanStack's `config` is what [`Provider::model`] names.
    pub config_has_model: bool,
    /// Whether it answers 400 for a wrong key as well.
    pub wrong_key_is_400: bool,
}

/// One mint: all that an adapter may look at beside its block.
pub struct Mint<'a> {
    /// The life to ask for, where the provider lets us choose; zero if it decides.
    pub expiration: SignedDuration,
    /// The values of the key Secret.
    pub credential: &'a Credential,
    /// Our clock as the mint begins, for tokens that are signed here.
    pub now: Timestamp,
    /// Random bytes, for ids and salts.
    pub nonce: [u8; 16],
}

impl Mint<'_> {
    /// When a token ends that is signed now and lives as long as was asked for.
    #[must_use]
    pub fn expires_at(&self) -> Timestamp {
        self.now.saturating_add(self.expiration).unwrap_or(self.now)
    }

    /// A random UUID (version 4), the same for the same nonce.
    #[must_use]
    pub fn uuid(&self) -> String {
        let mut bytes = self.nonce;
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let (a, b, c, d, e) = (
            &hex[..8],
            &hex[8..12],
            &hex[12..16],
            &hex[16..20],
            &hex[20..],
        );
        format!("{a}-{b}-{c}-{d}-{e}")
    }
}

/// What a mint comes to.
#[derive(Debug)]
pub enum Step {
    /// Send this and read the reply.
    Send(Request),
    /// Here is the token.
    Done(Answer),
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
    /// We may ask for one within these limits, else the provider decides; the reply says.
    Offered {
        /// The shortest life that may be asked for.
        min: SignedDuration,
        /// The longest life that may be asked for.
        max: SignedDuration,
    },
    /// The provider decides, and the token says.
    Stated,
}

impl Life {
    /// The provider's limits in seconds.
    #[must_use]
    pub const fn chosen(min: i64, max: i64) -> Self {
        Self::Chosen {
            min: SignedDuration::from_secs(min),
            max: SignedDuration::from_secs(max),
        }
    }

    /// What may be asked for in seconds, where the provider decides if nothing is.
    #[must_use]
    pub const fn offered(min: i64, max: i64) -> Self {
        Self::Offered {
            min: SignedDuration::from_secs(min),
            max: SignedDuration::from_secs(max),
        }
    }

    /// Whether the provider grants what is asked for. CEL refuses the rest at admission.
    ///
    /// # Errors
    /// The limits.
    pub fn admit(self, expiration: SignedDuration) -> Result<(), InvalidBlock> {
        match self {
            Self::Offered { .. } if expiration.is_zero() => Ok(()),
            Self::Chosen { min, max } | Self::Offered { min, max }
                if expiration < min || expiration > max =>
            {
                Err(InvalidBlock(format!(
                    "expirationSeconds: {} is outside of what the provider grants, {} to {} seconds",
                    expiration.as_secs(),
                    min.as_secs(),
                    max.as_secs()
                )))
            }
            Self::Chosen { .. } | Self::Offered { .. } | Self::Fixed(_) | Self::Stated => Ok(()),
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

/// What a provider's reply says.
#[derive(Debug)]
pub struct Answer {
    /// The token.
    pub value: SecretString,
    /// The end of its usable life.
    pub expiry: Expiry,
    /// TanStack's `config`.
    pub config: Map<String, Value>,
    /// More keys of the Secret, where a client needs more than one text.
    pub outputs: BTreeMap<&'static str, SecretString>,
}

impl Answer {
    /// A token with its expiry and nothing else.
    #[must_use]
    pub fn new(value: String, expiry: Expiry, config: Map<String, Value>) -> Self {
        Self {
            value: value.into(),
            expiry,
            config,
            outputs: BTreeMap::new(),
        }
    }
}

/// The forms in which an expiry is learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// A point in time on the provider's clock.
    At(Timestamp),
    /// So long after the request was sent.
    After(SignedDuration),
    /// Whichever comes first.
    Earlier(Timestamp, SignedDuration),
}

impl Expiry {
    /// The end that the token states, if it does and that comes first.
    #[must_use]
    pub fn no_later(stated: Option<Timestamp>, lives: SignedDuration) -> Self {
        stated.map_or(Self::After(lives), |end| Self::Earlier(end, lives))
    }
}

/// A token that was minted and not yet stored.
#[derive(Clone, Debug)]
pub struct Minted {
    /// The provider's name as consumers get to see it.
    pub provider: Cow<'static, str>,
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
    /// More keys of the Secret.
    pub outputs: BTreeMap<Cow<'static, str>, SecretString>,
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
        let ask: crate::api::OpenAi =
            serde_json::from_value(serde_json::json!({"model": "m"})).unwrap();
        let request = fixture::request(&ask, 10, &credential).unwrap();
        assert_eq!(format!("{request:?}"), "POST /v1/realtime/client_secrets");
        assert!(!format!("{:?}", request.headers).contains("canary"));
    }
}

#[cfg(test)]
mod fixture {
    //! One step of a mint, for the tests of the adapters.

    use super::*;

    fn mint(expiration: i64, credential: &Credential) -> Mint<'_> {
        Mint {
            expiration: SignedDuration::from_secs(expiration),
            credential,
            now: Timestamp::UNIX_EPOCH,
            nonce: [0; 16],
        }
    }

    pub(super) fn request(
        provider: &dyn Provider,
        expiration: i64,
        credential: &Credential,
    ) -> Result<Request, MintError> {
        match provider.start(&mint(expiration, credential))? {
            Step::Send(request) => Ok(request),
            Step::Done(_) => panic!("nothing to send"),
        }
    }

    pub(super) fn answer(
        provider: &dyn Provider,
        expiration: i64,
        body: &[u8],
    ) -> Result<Answer, UnusableReply> {
        match provider.read(&mint(expiration, &Credential::default()), 0, body)? {
            Step::Done(answer) => Ok(answer),
            Step::Send(_) => panic!("another request"),
        }
    }
}
