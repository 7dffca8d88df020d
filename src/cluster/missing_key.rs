//! What is said of a key that is not there.

use crate::api::Reason;
use crate::resolve::KeyRef;
use crate::token::Blocked;

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
    Unreadable(String),
}

impl Missing {
    /// The message for the owner of the RealtimeToken or of the ClusterRealtimeProvider, with what to do.
    pub(super) fn blocked(self, key: &KeyRef) -> Blocked {
        let secret = format!("Secret {}/{}", key.namespace, key.name);
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
            Self::Unreadable(problem) => format!("{secret} can't be read: {problem}"),
        };
        Blocked::new(Reason::CredentialNotFound, message)
    }
}
