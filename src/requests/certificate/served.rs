//! What the TLS server presents. It changes while the server runs; connections that are open keep theirs.

use std::sync::Arc;

use parking_lot::RwLock;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// The certificate of every new connection: one for all names, so that a client without SNI is served too.
#[derive(Debug, Default)]
pub(super) struct Served(RwLock<Option<Arc<CertifiedKey>>>);

impl Served {
    /// Whether this is another certificate than before.
    pub(super) fn replace(&self, key: Arc<CertifiedKey>) -> bool {
        let mut served = self.0.write();
        let differs = served.as_ref().is_none_or(|before| before.cert != key.cert);
        *served = Some(key);
        differs
    }

    #[cfg(test)]
    pub(super) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}
