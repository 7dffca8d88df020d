//! Who may ask for tokens.

use super::reviews::Reviews;

pub(super) enum Access {
    /// Whom RBAC allows it, by reviews of the API server.
    Reviewed(Reviews),
    /// Every program of this machine, on a loopback address.
    OfThisMachine,
}
