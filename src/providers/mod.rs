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
mod livekit;
mod mistral;
mod openai;
mod soniox;
mod speechmatics;
mod twilio;
mod xai;

use std::borrow::Cow;

use serde_json::{Map, Value};

pub(crate) use self::block::AccountMismatch;
pub use self::block::Block;
use crate::api::{Facts, Lifetime, ProviderBlock, SecretField};
use crate::mint::wire::given;
use crate::mint::{Class, Endpoint, InvalidBlock, Mint, Step, UnusableReply};
use crate::token::MintError;

/// The facts of a block, whichever it is: [`ProviderBlock`] for `dyn Provider`.
pub trait Described {
    fn facts(&self) -> &'static Facts;

    /// How long a token of this block lives.
    fn lifetime(&self) -> Lifetime;

    /// How much longer it works than it starts sessions, in seconds.
    fn further_seconds(&self) -> i64;
}

impl<B: ProviderBlock> Described for B {
    fn facts(&self) -> &'static Facts {
        B::FACTS
    }

    fn lifetime(&self) -> Lifetime {
        ProviderBlock::lifetime(self)
    }

    fn further_seconds(&self) -> i64 {
        ProviderBlock::further_seconds(self)
    }
}

/// A provider's wire format, free of I/O, clocks and random numbers.
///
/// Most providers are two functions: [`Provider::start`] builds what to send, or signs the token itself;
/// [`Provider::read`] reads the reply.
pub trait Provider: Described + Send + Sync {
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

    /// Why the block as it stands can't be asked with an access token in place of a key: a whole sentence. Only called
    /// if [`Facts::exchanges`] names an exchange.
    fn no_access_token(&self) -> Option<&'static str> {
        None
    }

    /// The model, deployment or agent that the token is bound to. `None` if it opens any; a policy with allowedModels
    /// then refuses it.
    fn bound_model(&self) -> Option<&str> {
        None
    }

    /// Whether the token is bound to a room or channel, as with [`Self::bound_model`].
    fn is_bound_to_room(&self) -> bool {
        false
    }

    /// Whether the token's holder may take any identity, though it may name an identity for some of what it opens.
    fn is_for_anyone(&self) -> bool {
        false
    }

    /// Whether the token binds its holder to nothing at all; a policy then refuses it.
    fn leaves_all_open(&self) -> bool {
        false
    }

    /// TanStack's `config`, as published unless the reply has more.
    fn config(&self) -> Map<String, Value> {
        let model = self.bound_model().filter(|_| self.facts().config_has_model);
        given([("model", model.map(Value::from))])
    }

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

    /// Why the token suits one reader at a time, though it can be used again, if it does: a whole sentence.
    fn one_reader(&self) -> Option<&'static str> {
        None
    }

    fn endpoint(&self) -> Endpoint<'_>;

    /// What CEL can't see.
    fn validate(&self) -> Result<(), InvalidBlock> {
        Ok(())
    }

    /// Whether the block has a place for the subject of a request that no field of its own names, and that only a
    /// subject can fill.
    fn uses_subject(&self) -> bool {
        false
    }

    /// What of a valid block only this subject breaks. Called where [`Provider::uses_subject`].
    fn validate_for(&self, _subject: &str) -> Result<(), InvalidBlock> {
        Ok(())
    }

    /// The first request, or the token itself where it is signed here.
    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError>;

    /// Reads a 2xx reply: the token, or the next request. `nth` counts the replies from 0.
    /// A reply without a token or without an expiry is refused, never guessed at.
    fn read(&self, _mint: &Mint<'_>, _nth: usize, _body: &[u8]) -> Result<Step, UnusableReply> {
        Err(UnusableReply("this provider signs its tokens and sends nothing".into()))
    }
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
        assert_eq!(format!("{request:?}"), "Request { method: POST, .. }");
        assert!(!format!("{:?}", request.headers).contains("canary"));
    }
}
