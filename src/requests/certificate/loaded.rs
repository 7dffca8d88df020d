//! A serving certificate that was read from a Secret and found usable, made by the operator or not.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use secrecy::ExposeSecret;

use super::content::{CA_CRT, Data, TLS_CRT, TLS_KEY, validity};

/// Why a certificate is not served. What was served before stays.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("it has no {0}")]
    Missing(&'static str),
    #[error("its {0} holds no PEM of a {1}")]
    Unreadable(&'static str, &'static str),
    #[error("its tls.key is not the key of its tls.crt, or of a kind that TLS can't use")]
    OtherKey,
    #[error("its certificate has ended at {0}")]
    Ended(Timestamp),
}

#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: Arc<CertifiedKey>,
    pub(super) not_after: Timestamp,
    /// The CAs that clients are to trust; `None` if theirs already do.
    pub(super) ca_bundle: Option<String>,
}

impl Loaded {
    pub(super) fn read(data: &Data, now: Timestamp) -> Result<Self, Unusable> {
        let value = |name: &'static str| data.get(name).ok_or(Unusable::Missing(name));
        let chain = CertificateDer::pem_slice_iter(value(TLS_CRT)?.expose_secret().as_bytes());
        let chain: Result<Vec<CertificateDer<'static>>, _> = chain.collect();
        let unreadable = Unusable::Unreadable(TLS_CRT, "certificate");
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(unreadable)?;
        let not_after = chain
            .first()
            .and_then(validity)
            .ok_or(Unusable::Unreadable(TLS_CRT, "certificate"))?
            .not_after;
        let key = PrivateKeyDer::from_pem_slice(value(TLS_KEY)?.expose_secret().as_bytes());
        let key = key.map_err(|_| Unusable::Unreadable(TLS_KEY, "private key"))?;
        let key = CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider());
        let key = key.map_err(|_| Unusable::OtherKey)?;
        if now >= not_after {
            return Err(Unusable::Ended(not_after));
        }
        let bundle = data.get(CA_CRT).map(|bundle| bundle.expose_secret().to_owned());
        Ok(Self {
            key: Arc::new(key),
            not_after,
            ca_bundle: bundle.filter(|bundle| !bundle.trim().is_empty()),
        })
    }

    /// Whether a client that connects to this host accepts the certificate's names.
    pub(super) fn covers(&self, host: &str) -> bool {
        let (Ok(certificate), Ok(name)) = (self.key.end_entity_cert(), ServerName::try_from(host)) else {
            return false;
        };
        ParsedCertificate::try_from(certificate).is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
    }
}
