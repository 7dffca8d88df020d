//! What the operator's own Secret holds: the CA that signs, the next one, those that are still trusted, and the serving
//! certificate. Read from the Secret's data and written back. What the certificates say is read from themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::plan::{Serving, Stored, Validity};

/// The data of a Secret.
pub(super) type Data = BTreeMap<String, SecretString>;

pub(super) const TLS_CRT: &str = "tls.crt";
pub(super) const TLS_KEY: &str = "tls.key";
/// The bundle for clients; the CA that signs comes first.
pub(super) const CA_CRT: &str = "ca.crt";
const CA_KEY: &str = "ca.key";
const NEXT_CA_CRT: &str = "next-ca.crt";
const NEXT_CA_KEY: &str = "next-ca.key";

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Damage {
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0} is not a certificate in PEM")]
    NoCertificate(&'static str),
    #[error("the first certificate of {0} is not a CA's")]
    NoAuthority(&'static str),
    #[error("{key} is not the key of {certificate}")]
    OtherKey {
        certificate: &'static str,
        key: &'static str,
    },
    #[error("tls.crt is not signed by the CA")]
    OtherIssuer,
}

/// A certificate in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Certificate {
    pub(super) pem: String,
    pub(super) validity: Validity,
}

/// A certificate with its key.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certificate: Certificate,
    pub(super) key: SecretString,
}

#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) authority: Pair,
    pub(super) next: Option<Pair>,
    pub(super) former: Vec<Certificate>,
    pub(super) serving: Option<(Pair, BTreeSet<String>)>,
}

impl Content {
    /// Reads the data of the Secret, and says what is damaged of the rest. The error: there is no CA.
    pub(super) fn read(data: &Data) -> Result<(Self, Vec<Damage>), Damage> {
        let authority = authority(data, CA_CRT, CA_KEY)?;
        let mut damages = Vec::new();
        let next = match data.contains_key(NEXT_CA_CRT) || data.contains_key(NEXT_CA_KEY) {
            true => authority_or_damage(data, &mut damages),
            false => None,
        };
        let known = [Some(&authority), next.as_ref()].into_iter().flatten();
        let known: Vec<&str> = known.map(|pair| pair.certificate.pem.as_str()).collect();
        let all = certificates(data, CA_CRT)?;
        let former = all.iter().filter_map(|der| describe(der, CA_CRT).ok());
        let former = former.filter(|former| !known.contains(&former.pem.as_str())).collect();
        let serving = match serving(data, &authority) {
            Ok(serving) => Some(serving),
            Err(damage) => {
                damages.push(damage);
                None
            }
        };
        let content = Self {
            authority,
            next,
            former,
            serving,
        };
        Ok((content, damages))
    }

    pub(super) fn data(&self) -> Data {
        let mut data = Data::from([
            (CA_CRT.to_owned(), self.bundle().into()),
            (CA_KEY.to_owned(), self.authority.key.clone()),
        ]);
        let mut insert = |pair: &Pair, certificate: &str, key: &str| {
            data.insert(certificate.to_owned(), pair.certificate.pem.clone().into());
            data.insert(key.to_owned(), pair.key.clone());
        };
        if let Some(next) = &self.next {
            insert(next, NEXT_CA_CRT, NEXT_CA_KEY);
        }
        if let Some((serving, _)) = &self.serving {
            insert(serving, TLS_CRT, TLS_KEY);
        }
        data
    }

    /// The CAs that clients are to trust.
    pub(super) fn bundle(&self) -> String {
        let signing = [Some(&self.authority), self.next.as_ref()].into_iter().flatten();
        let all = signing.map(|pair| &pair.certificate).chain(&self.former);
        all.map(|certificate| certificate.pem.as_str()).collect()
    }

    pub(super) fn stored(&self) -> Stored {
        Stored {
            authority: self.authority.certificate.validity,
            next: self.next.as_ref().map(|next| next.certificate.validity),
            former: self.former.iter().map(|former| former.validity).collect(),
            serving: self.serving.as_ref().map(|(pair, names)| Serving {
                validity: pair.certificate.validity,
                names: names.clone(),
            }),
        }
    }
}

fn authority_or_damage(data: &Data, damages: &mut Vec<Damage>) -> Option<Pair> {
    authority(data, NEXT_CA_CRT, NEXT_CA_KEY)
        .map_err(|damage| damages.push(damage))
        .ok()
}

fn authority(data: &Data, certificate: &'static str, key: &'static str) -> Result<Pair, Damage> {
    let der = first(data, certificate)?;
    let parsed = parse(&der, certificate)?;
    if !parsed.is_ca() {
        return Err(Damage::NoAuthority(certificate));
    }
    pair(data, &der, certificate, key)
}

fn serving(data: &Data, authority: &Pair) -> Result<(Pair, BTreeSet<String>), Damage> {
    let der = first(data, TLS_CRT)?;
    let parsed = parse(&der, TLS_CRT)?;
    let issuer = CertificateDer::from_pem_slice(authority.certificate.pem.as_bytes());
    let issuer = issuer.map_err(|_| Damage::NoCertificate(CA_CRT))?;
    let issuer = parse(&issuer, CA_CRT)?;
    if parsed.issuer() != issuer.subject() || parsed.verify_signature(Some(issuer.public_key())).is_err() {
        return Err(Damage::OtherIssuer);
    }
    Ok((pair(data, &der, TLS_CRT, TLS_KEY)?, names(&parsed)))
}

/// The certificate with its key, if they fit.
fn pair(data: &Data, der: &CertificateDer<'_>, certificate: &'static str, key: &'static str) -> Result<Pair, Damage> {
    let secret = data.get(key).ok_or(Damage::Missing(key))?;
    let parsed = parse(der, certificate)?;
    let fits = KeyPair::from_pem(secret.expose_secret())
        .is_ok_and(|key| key.subject_public_key_info() == parsed.public_key().raw);
    if !fits {
        return Err(Damage::OtherKey { certificate, key });
    }
    Ok(Pair {
        certificate: describe(der, certificate)?,
        key: secret.clone(),
    })
}

/// The DNS names and IP addresses for which a certificate is.
fn names(certificate: &X509Certificate<'_>) -> BTreeSet<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let names = extension.value.general_names.iter();
    names
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(octets) => address(octets).map(|address| address.to_string()),
            _ => None,
        })
        .collect()
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn first(data: &Data, name: &'static str) -> Result<CertificateDer<'static>, Damage> {
    let all = certificates(data, name)?;
    all.into_iter().next().ok_or(Damage::NoCertificate(name))
}

fn certificates(data: &Data, name: &'static str) -> Result<Vec<CertificateDer<'static>>, Damage> {
    let pem = data.get(name).ok_or(Damage::Missing(name))?;
    let all = CertificateDer::pem_slice_iter(pem.expose_secret().as_bytes());
    all.collect::<Result<_, _>>().map_err(|_| Damage::NoCertificate(name))
}

fn parse<'a>(der: &'a CertificateDer<'_>, name: &'static str) -> Result<X509Certificate<'a>, Damage> {
    let parsed = X509Certificate::from_der(der);
    parsed
        .map(|(_, parsed)| parsed)
        .map_err(|_| Damage::NoCertificate(name))
}

/// A certificate in our own PEM, so that equal certificates have equal texts.
pub(super) fn describe(der: &CertificateDer<'_>, name: &'static str) -> Result<Certificate, Damage> {
    Ok(Certificate {
        validity: validity(der).ok_or(Damage::NoCertificate(name))?,
        pem: pem::encode_config(
            &pem::Pem::new("CERTIFICATE", der.as_ref()),
            pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
        ),
    })
}

/// From when to when a certificate is valid. X.509's end is the last second of it.
pub(super) fn validity(der: &CertificateDer<'_>) -> Option<Validity> {
    let (_, parsed) = X509Certificate::from_der(der).ok()?;
    let second = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp()).ok();
    Some(Validity {
        not_before: second(parsed.validity().not_before)?,
        not_after: second(parsed.validity().not_after)?,
    })
}

#[cfg(test)]
mod tests;
