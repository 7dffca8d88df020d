//! Tokens that are signed here, with the key. Pure: the clock and the ids are arguments.
//!
//! The parts are signed as they are written, so that the token equals the one of the provider's own SDK.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Map, Value};

use crate::token::MintError;

/// How a token is signed. alg=none is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
    Rs256,
    Es256,
}

impl Algorithm {
    /// The name in the header.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }

    fn sign(self, key: &[u8], message: &[u8]) -> Result<Vec<u8>, MintError> {
        let mac = |algorithm| {
            let key = hmac::Key::new(algorithm, key);
            Ok(hmac::sign(&key, message).as_ref().to_vec())
        };
        match self {
            Self::Hs256 => mac(hmac::HMAC_SHA256),
            Self::Hs384 => mac(hmac::HMAC_SHA384),
            Self::Hs512 => mac(hmac::HMAC_SHA512),
            Self::Rs256 => {
                let pair = match private_key(key)? {
                    PrivateKeyDer::Pkcs1(der) => RsaKeyPair::from_der(der.secret_pkcs1_der()),
                    PrivateKeyDer::Pkcs8(der) => RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()),
                    _ => return Err(unsuitable_key(self)),
                };
                let pair = pair.map_err(|_| unsuitable_key(self))?;
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature)
                    .map_err(|_| unsuitable_key(self))?;
                Ok(signature)
            }
            Self::Es256 => {
                let PrivateKeyDer::Pkcs8(der) = private_key(key)? else {
                    return Err(unsuitable_key(self));
                };
                let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.secret_pkcs8_der())
                    .map_err(|_| unsuitable_key(self))?;
                let signature = pair
                    .sign(&SystemRandom::new(), message)
                    .map_err(|_| unsuitable_key(self))?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }
}

/// A compact JWT of these parts, in their order.
pub(crate) fn jwt(
    algorithm: Algorithm,
    key: &[u8],
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
) -> Result<String, MintError> {
    let part = |part: &Map<String, Value>| {
        // Maps of JSON values: serde_json can't fail on them.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(part).unwrap_or_default())
    };
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = algorithm.sign(key, signed.as_bytes())?;
    Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

fn private_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, MintError> {
    PrivateKeyDer::from_pem_slice(pem)
        .map_err(|_| MintError::wrong_key("the key is no private key in PEM (-----BEGIN PRIVATE KEY-----)"))
}

fn unsuitable_key(algorithm: Algorithm) -> MintError {
    let name = algorithm.name();
    MintError::wrong_key(format!(
        "the private key can't sign {name}: RS256 takes an RSA key of at least 2048 bits, ES256 one of \
         the curve P-256 in PKCS #8"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_sdks_own_signature() {
        let token = jwt(
            Algorithm::Hs256,
            b"secretsecretsecretsecretsecret32",
            &map(json!({"alg": "HS256"})),
            &map(
                json!({"video": {"roomJoin": true, "room": "room-1"}, "iss": "APIdevkey", "exp": 1795356000, "nbf": 1795334400, "sub": "user-1"}),
            ),
        );
        assert!(token.unwrap().ends_with(".duxDCYwN_rnz4IYXJ3b_dp01LlZ8sxc5Y7QZd01vMhU"));
    }

    #[test]
    fn an_rsa_key_signs_in_both_of_its_forms() {
        use aws_lc_rs::encoding::AsDer;
        use aws_lc_rs::rsa::{KeyPair, KeySize};
        let pkcs8 = KeyPair::generate(KeySize::Rsa2048).unwrap().as_der().unwrap();
        let token = |label: &str, der: &[u8]| {
            let pem = pem::encode(&pem::Pem::new(label, der));
            jwt(Algorithm::Rs256, pem.as_bytes(), &Map::new(), &Map::new()).unwrap()
        };
        // RFC 5208: which algorithm it is for, in 26 bytes, and then the key in PKCS #1.
        let in_pkcs1 = token("RSA PRIVATE KEY", &pkcs8.as_ref()[26..]);
        assert_eq!(in_pkcs1, token("PRIVATE KEY", pkcs8.as_ref()), "RS256 has no nonce");
    }

    #[test]
    fn a_key_of_the_wrong_kind_says_so() {
        for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
            let error = jwt(algorithm, b"canary", &Map::new(), &Map::new()).unwrap_err();
            assert!(error.to_string().contains("no private key in PEM"), "{error}");
            assert!(!error.to_string().contains("canary"));
        }
        let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let error = jwt(Algorithm::Rs256, elliptic.as_bytes(), &Map::new(), &Map::new());
        assert!(error.unwrap_err().to_string().contains("can't sign RS256"));
        let token = jwt(Algorithm::Es256, elliptic.as_bytes(), &Map::new(), &Map::new()).unwrap();
        let signature = token.rsplit('.').next().unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(signature).unwrap().len(), 64);
    }
}
