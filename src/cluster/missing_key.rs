//! What is said of a key that is not there.

use crate::api::Reason;
use crate::resolve::KeyRef;
use crate::token::Blocked;

/// As the type of a Secret: it holds a key, as one of type `Opaque` may. As a label with the value `true`: the key is read
/// from this Secret whatever its type.
pub(super) const CREDENTIALS: &str = "realtime-token.dev/credentials";

#[derive(Clone, Debug)]
pub(super) enum Missing {
    Secret,
    /// It has more keys than a key Secret may have, or is larger.
    TooBig,
    Key {
        name: String,
        /// The keys that are there, separated by commas.
        others: String,
    },
    /// It is of a type that keys aren't read from, and not labelled as one to read.
    OfType(String),
    Unreadable(String),
}

impl Missing {
    /// The message for the owner of the RealtimeToken or of the ClusterRealtimeProvider, with what to do.
    pub(super) fn blocked(self, key: &KeyRef) -> Blocked {
        let secret = format!("Secret {}/{}", key.namespace, key.name);
        let reason = match self {
            Self::OfType(_) => Reason::CredentialNotAllowed,
            Self::Secret | Self::TooBig | Self::Key { .. } | Self::Unreadable(_) => Reason::CredentialNotFound,
        };
        let message = match self {
            Self::Secret => format!(
                "{secret} does not exist; create it with `kubectl create secret generic {} -n {} \
                 --from-literal={}=...`",
                key.name, key.namespace, key.key
            ),
            Self::TooBig => format!(
                "{secret} is too big to be a key Secret: it may have 64 keys and 256 KiB, metadata included; put the key \
                 into a Secret of its own"
            ),
            Self::Key { name, others } if others.is_empty() => {
                format!("{secret} is empty; it must have the key {name}")
            }
            Self::Key { name, others } => format!(
                "{secret} has no key {name}, or nothing in it; it has {others}. Add it, or name another in \
                 secretRef.key"
            ),
            Self::OfType(type_) => format!(
                "{secret} is of type {type_}, and keys are read from Secrets of type Opaque or {CREDENTIALS}: put the key \
                 into one of these, or, if this Secret is meant to be sent to the provider, `kubectl label secret {} -n {} \
                 {CREDENTIALS}=true`",
                key.name, key.namespace
            ),
            Self::Unreadable(problem) => format!("{secret} can't be read: {problem}"),
        };
        Blocked::new(reason, message)
    }
}
