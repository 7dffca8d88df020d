//! The providers: the trait, the list and one small file each.
//!
//! A provider is two pure functions, [`Provider::start`] and [`Provider::read`]; everything that touches the network is
//! in [`crate::mint`] and shared. Wire facts come from the providers' documentation and from requests recorded from
//! their official SDKs (`tests/recordings`).

mod agora;
mod assemblyai;
mod azure_openai;
mod azure_speech;
mod block;
mod cartesia;
#[cfg(test)]
mod conformance;
mod daily;
mod deepgram;
mod elevenlabs;
#[cfg(test)]
mod fixture;
mod gemini;
mod http;
mod hume;
mod ice_servers;
mod jwt;
mod life;
mod livekit;
mod mistral;
mod openai;
mod soniox;
mod speechmatics;
mod twilio;
mod xai;

use std::borrow::Cow;

use serde_json::{Map, Value};

pub use self::block::{AccountMismatch, Block};
pub use self::life::Life;
use crate::mint::{Class, Endpoint, InvalidBlock, Mint, SecretField, Step, UnusableReply};
use crate::token::MintError;

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
    fn secret_fields(&self) -> &'static [SecretField] {
        self.facts().secret_fields
    }

    /// What `policy.allowedModels` is held against: the model, the agent, the room. `None` if the token is bound to
    /// none; a policy with allowedModels then refuses it.
    fn policy_subject(&self) -> Option<&str>;

    /// How the token's life is settled.
    fn life(&self) -> Life;

    /// TanStack's `config`, as published unless the reply says more.
    fn config(&self) -> Map<String, Value> {
        let model = self.facts().config_has_model.then(|| self.policy_subject()).flatten();
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

/// The facts by type, where there is no block yet.
pub trait Described {
    /// What never changes about the provider.
    const FACTS: &'static Facts;
}

/// The account side of a block, which a ClusterRealtimeProvider can hold.
pub trait AccountSide {
    /// The values that the account needs from the key Secret.
    fn secret_fields(&self) -> &'static [SecretField];
}

/// What never changes about a provider.
#[derive(Debug)]
pub struct Facts {
    /// The name in `token.json`, TanStack AI's where it has an adapter.
    pub name: &'static str,
    /// The name in messages.
    pub title: &'static str,
    /// The values from the key Secret, unless they depend on the block.
    pub secret_fields: &'static [SecretField],
    /// The origins that its keys are sent to without being listed; `*` stands for a name of the customer's.
    pub origins: &'static [&'static str],
    /// How its keys and tokens begin, in lower case, so that its error messages can be scrubbed of them.
    pub secret_prefixes: &'static [&'static str],
    /// Whether `model` of TanStack's `config` is what [`Provider::policy_subject`] names.
    pub config_has_model: bool,
    /// Whether it answers 400 for a wrong key as well.
    pub wrong_key_is_400: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mint::Credential;

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
