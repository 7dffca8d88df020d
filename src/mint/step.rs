//! One mint, as an adapter sees it: its inputs, its requests, its result.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{Ask, Credential, Request};
use crate::clock::whole_second;

/// The inputs of an adapter beside its block.
pub struct Mint<'a> {
    /// The life to ask for, or the one that the provider always gives; zero if the provider decides.
    pub expiration: SignedDuration,
    pub credential: &'a Credential,
    /// The namespace of the RealtimeToken.
    pub namespace: &'a str,
    /// Who the token is for, as [`Ask::subject`](super::Ask::subject) has it.
    pub subject: Option<&'a str>,
    /// What is asked for, which a provider's message may repeat. `None`: nothing that was made up by others.
    pub ask: Option<&'a Ask>,
    /// Our clock as the mint begins, for tokens that are signed here.
    pub now: Timestamp,
    /// Random bytes, for ids and salts. Without them two tokens that are signed in the same second would be equal, also
    /// those of two replicas.
    pub nonce: [u8; 16],
}

impl Mint<'_> {
    /// When a token ends that is signed now and lives as long as was asked for. In whole seconds, as `exp` in a token
    /// is: an end with a fraction would be published later than the token's own.
    pub(crate) fn expires_at(&self) -> Timestamp {
        whole_second(self.now.saturating_add(self.expiration).unwrap_or(self.now))
    }

    /// A random UUID (version 4), the same for the same nonce.
    pub(crate) fn uuid(&self) -> String {
        uuid::Builder::from_random_bytes(self.nonce).into_uuid().to_string()
    }

    /// A random number, the same for the same nonce.
    pub(crate) fn random_number(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.nonce;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

/// The next step of a mint.
#[derive(Debug)]
pub enum Step {
    /// Send this and read the reply.
    Send(Request),
    Done(Answer),
}

/// A token, as a reply or a signer gives it.
#[derive(Debug)]
pub struct Answer {
    pub value: SecretString,
    /// The end of its usable life.
    pub expiry: Expiry,
    /// TanStack's `config`.
    pub config: Map<String, Value>,
    /// More keys of the Secret, where a client needs more than one text.
    pub outputs: BTreeMap<Cow<'static, str>, SecretString>,
}

impl Answer {
    /// A token with its expiry and nothing else.
    pub(crate) fn new(value: String, expiry: Expiry, config: Map<String, Value>) -> Self {
        Self {
            value: value.into(),
            expiry,
            config,
            outputs: BTreeMap::new(),
        }
    }
}

/// How the end of a token is given.
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
    pub(crate) fn no_later(stated: Option<Timestamp>, lives: SignedDuration) -> Self {
        stated.map_or(Self::After(lives), |end| Self::Earlier(end, lives))
    }
}
