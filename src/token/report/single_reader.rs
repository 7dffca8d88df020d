//! The condition SingleReader: that the token in the Secret doesn't suit several readers, and why.

use super::{TokenKind, Verdict};
use crate::api::{RealtimeTokenSpec, Reason, TargetContent};

/// There only if the Secret holds a token, and its token suits one reader.
pub(crate) fn single_reader(spec: &RealtimeTokenSpec, kind: &TokenKind) -> Option<Verdict> {
    if spec.target.content == TargetContent::Connection {
        return None;
    }
    let single_use = kind.single_use.map(|message| (Reason::SingleUseToken, message));
    let shared = kind.one_reader.map(|message| (Reason::SharedIdentity, message));
    let (reason, message) = single_use.or(shared)?;
    let instead = match spec.requests {
        Some(_) => {
            "Requests get a token of their own each; if nothing reads the one in the Secret, set target.content to Connection"
        }
        None => "To hand out one for each user, set spec.requests and target.content: Connection",
    };
    Some(("True", reason, format!("{message}. {instead}")))
}
