//! Makes keys and certificates: ECDSA P-256, which every TLS client verifies and which signs a handshake in a tenth of the
//! time that RSA takes.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};
use secrecy::{ExposeSecret, SecretString};

use super::content::{Certificate, Content, Pair, describe};
use super::plan::{Change, Validity, authority_validity, serving_validity};

#[derive(Debug, thiserror::Error)]
pub(super) enum MakeError {
    /// Names are checked with the arguments, so this is a defect or a lack of randomness.
    #[error("no certificate can be made: {0}")]
    Rcgen(#[from] rcgen::Error),
    #[error("no certificate can be made: {0} is a time that X.509 can't hold")]
    Time(Timestamp),
    #[error("no certificate can be made: {0}")]
    Unreadable(#[from] super::content::Damage),
}

/// Carries out a change. `before` is `None` only for [`Change::Begin`].
pub(super) fn apply(
    change: Change,
    before: Option<&Content>,
    names: &BTreeSet<String>,
    life: SignedDuration,
    now: Timestamp,
) -> Result<Content, MakeError> {
    let Some(before) = before.filter(|_| change != Change::Begin) else {
        let authority = authority(life, now)?;
        return signed(authority, Vec::new(), names, now);
    };
    let mut after = before.clone();
    match change {
        Change::Begin => {}
        Change::NextAuthority => after.next = Some(authority(life, now)?),
        Change::DropNext => after.next = None,
        Change::Promote => {
            if let Some(next) = after.next.take() {
                let former = std::iter::once(after.authority.certificate).chain(after.former);
                return signed(next, former.collect(), names, now);
            }
        }
        Change::DropFormer => after.former.clear(),
        Change::Serving => after.serving = Some((serving(&after.authority, names, now)?, names.clone())),
    }
    Ok(after)
}

/// What is stored when this CA begins to sign.
fn signed(
    authority: Pair,
    former: Vec<Certificate>,
    names: &BTreeSet<String>,
    now: Timestamp,
) -> Result<Content, MakeError> {
    Ok(Content {
        serving: Some((serving(&authority, names, now)?, names.clone())),
        authority,
        next: None,
        former,
    })
}

fn authority(life: SignedDuration, now: Timestamp) -> Result<Pair, MakeError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    // A name of its own for each: some clients find the CA of a certificate by name only.
    let name = format!("realtime-token-operator requests {}", now.as_second());
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    set_validity(&mut params, authority_validity(life, now))?;
    let certificate = params.self_signed(&key)?;
    pair(&certificate, &key)
}

fn serving(authority: &Pair, names: &BTreeSet<String>, now: Timestamp) -> Result<Pair, MakeError> {
    let issuer_key = KeyPair::from_pem(authority.key.expose_secret())?;
    let issuer = Issuer::from_ca_cert_pem(&authority.certificate.pem, issuer_key)?;
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names.iter().cloned().collect::<Vec<_>>())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "realtime-token-operator requests");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, serving_validity(authority.certificate.validity, now))?;
    let certificate = params.signed_by(&key, &issuer)?;
    pair(&certificate, &key)
}

fn set_validity(params: &mut CertificateParams, validity: Validity) -> Result<(), MakeError> {
    let x509 = |time: Timestamp| {
        time::OffsetDateTime::from_unix_timestamp(time.as_second()).map_err(|_| MakeError::Time(time))
    };
    params.not_before = x509(validity.not_before)?;
    params.not_after = x509(validity.not_after)?;
    Ok(())
}

fn pair(certificate: &rcgen::Certificate, key: &KeyPair) -> Result<Pair, MakeError> {
    Ok(Pair {
        certificate: describe(certificate.der(), "a new certificate")?,
        key: SecretString::from(key.serialize_pem()),
    })
}
