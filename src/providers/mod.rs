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
mod credential;
mod daily;
mod deepgram;
mod elevenlabs;
mod endpoint;
mod error;
mod explain;
mod failure;
#[cfg(test)]
mod fixture;
mod gemini;
mod generic_http;
mod generic_jwt;
mod hume;
mod ice_servers;
mod jwt;
mod life;
mod livekit;
mod mint;
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

use jiff::SignedDuration;
use serde_json::{Map, Value};

pub use block::{AccountMismatch, Block};
pub use client::{ClientConfig, ClientError, ProviderClient};
pub use credential::{Credential, Role};
pub use endpoint::{Endpoint, EndpointError, EndpointPolicy};
pub use error::MintError;
pub use explain::{explain, placeholders};
pub use life::Life;
pub use mint::{Answer, Expiry, Mint, Minted, Step};
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
        let model = self.facts().config_has_model.then(|| self.model()).flatten();
        model
            .map(|model| ("model".to_owned(), model.into()))
            .into_iter()
            .collect()
    }

    /// What a status means.
    fn class(&self, status: u16) -> Class {
        Class::usual(status)
    }

    /// Whether the block itself describes the reply: one that doesn't fit is then the block's fault, and asking again
    /// only mints again.
    fn describes_reply(&self) -> bool {
        false
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
    fn debug_hides_the_key() {
        let credential = Credential::new([("api-key", "canary".into())]);
        assert!(!format!("{credential:?}").contains("canary"));
        let ask: crate::api::OpenAi = serde_json::from_value(serde_json::json!({"model": "m"})).unwrap();
        let request = fixture::request(&ask, 10, &credential).unwrap();
        assert_eq!(format!("{request:?}"), "POST /v1/realtime/client_secrets");
        assert!(!format!("{:?}", request.headers).contains("canary"));
    }
}
