//! Where tokens on request are asked for.

/// The server of tokens on request, as a client reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Scheme, host and, if need be, port, such as `https://realtime-token-operator.operator.svc`.
    pub url: String,
    /// The CA certificates to trust, in PEM; `None` if clients trust the certificate's issuer already.
    pub ca_bundle: Option<String>,
}
