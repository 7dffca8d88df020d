//! A JWT for a provider that has no block of its own: claims from a template, signed here. It always ends.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::Provider;
use crate::api::{Jwt, JwtAccount, JwtAlgorithm, JwtKeyEncoding, ProviderBlock, RawObject, SecretField};
use crate::mint::placeholder::{KEY_ID, LARGEST, SUBJECT, Text, Values, check_params, filled, param, rehearse, texts};
use crate::mint::sign::{Algorithm, jwt};
use crate::mint::wire::secret;
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Step};
use crate::token::MintError;

const KEY: &SecretField = &Jwt::FACTS.secret_fields[0];
const WITH_ID: &[SecretField] = &[*KEY, KEY_ID];

/// What we set ourselves, each with the way to choose it.
const OWN_CLAIMS: [(&str, &str); 3] = [
    ("exp", "is always set, to now and expirationSeconds: a token must end"),
    ("iat", "is set by jwt.iat and jwt.skewSeconds"),
    ("nbf", "is set by jwt.nbf and jwt.skewSeconds"),
];
const OWN_HEADER: [(&str, &str); 4] = [
    ("alg", "is set by jwt.algorithm"),
    ("typ", "is set by jwt.typ"),
    ("crit", "changes what a signature means"),
    ("b64", "changes what a signature means"),
];

impl JwtAccount {
    fn parts(&self) -> impl Iterator<Item = (&'static str, &RawObject)> {
        let header = self.header.iter().map(|part| ("jwt.header", part));
        header.chain(self.claims.iter().map(|part| ("jwt.claims", part)))
    }

    fn texts(&self) -> Result<Vec<Text>, InvalidBlock> {
        let mut found = Vec::new();
        for (place, part) in self.parts() {
            found.extend(texts(&part.read(), place)?);
        }
        Ok(found)
    }

    fn algorithm(&self) -> Result<Algorithm, InvalidBlock> {
        match self.algorithm {
            Some(JwtAlgorithm::HS256) => Ok(Algorithm::Hs256),
            Some(JwtAlgorithm::HS384) => Ok(Algorithm::Hs384),
            Some(JwtAlgorithm::HS512) => Ok(Algorithm::Hs512),
            Some(JwtAlgorithm::RS256) => Ok(Algorithm::Rs256),
            Some(JwtAlgorithm::ES256) => Ok(Algorithm::Es256),
            None => Err(InvalidBlock("jwt.algorithm: set it".into())),
        }
    }

    fn is_symmetric(&self) -> bool {
        !matches!(self.algorithm, Some(JwtAlgorithm::RS256 | JwtAlgorithm::ES256))
    }
}

impl Jwt {
    fn rehearse(&self, subject: Option<&str>) -> Result<(), InvalidBlock> {
        let life = SignedDuration::from_hours(1);
        rehearse(&[KEY_ID], life, subject, |mint| self.header_and_claims(mint))
    }

    fn header_and_claims(&self, mint: &Mint<'_>) -> Result<[Map<String, Value>; 2], MintError> {
        let (account, values) = (
            &self.account,
            Values {
                mint,
                params: &self.params,
                key: KEY,
            },
        );
        let fill = |part: &Option<RawObject>, place| match part {
            Some(part) => filled(&part.read(), place, &values),
            None => Ok(Map::new()),
        };
        let algorithm = account.algorithm()?;
        let mut header = Map::from_iter([("alg".to_owned(), algorithm.name().into())]);
        if account.typ.unwrap_or(true) {
            header.insert("typ".into(), "JWT".into());
        }
        header.extend(fill(&account.header, "jwt.header")?);

        let mut claims = fill(&account.claims, "jwt.claims")?;
        let since = mint.now.as_second() - account.skew_seconds.unwrap_or_default();
        if account.iat.unwrap_or(true) {
            claims.insert("iat".into(), since.into());
        }
        if account.nbf.unwrap_or_default() {
            claims.insert("nbf".into(), since.into());
        }
        // Last, so that nothing can take its place.
        claims.insert("exp".into(), mint.expires_at().as_second().into());
        let size = Value::Object(claims.clone()).to_string().len();
        if size > LARGEST {
            return Err(InvalidBlock(format!(
                "jwt.claims: {size} bytes of JSON once filled in, and at most {LARGEST} are allowed"
            ))
            .into());
        }
        Ok([header, claims])
    }

    fn key(&self, mint: &Mint<'_>) -> Result<Vec<u8>, MintError> {
        let text = secret(mint.credential, KEY)?.expose_secret();
        let place = mint.credential.place_of(KEY);
        let refuse = |problem: &str| Err(MintError::wrong_key(format!("{} in {place} {problem}", KEY.key)));
        if self.account.is_symmetric() && text.contains("-----BEGIN") {
            return refuse(
                "is a key in PEM, and HS256, HS384 and HS512 sign with a text that both sides know: choose RS256 or ES256",
            );
        }
        match self.account.key_encoding {
            Some(JwtKeyEncoding::Base64) => match BASE64.decode(text) {
                Ok(bytes) if !bytes.is_empty() => Ok(bytes),
                _ => refuse("is no base64, which jwt.keyEncoding says it is"),
            },
            Some(JwtKeyEncoding::Text) | None => Ok(text.as_bytes().to_vec()),
        }
    }
}

impl Provider for Jwt {
    fn published(&self) -> Cow<'static, str> {
        self.account.name.clone().map_or(Self::FACTS.name.into(), Cow::Owned)
    }

    fn secret_fields(&self) -> &'static [SecretField] {
        let texts = self.account.texts().unwrap_or_default();
        let uses_id = texts.iter().any(|text| text.uses("keyId"));
        if uses_id { WITH_ID } else { Self::FACTS.secret_fields }
    }

    fn bound_model(&self) -> Option<&str> {
        param(&self.params, "model")
    }

    fn is_bound_to_room(&self) -> bool {
        param(&self.params, "room").is_some()
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Local
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        let account = &self.account;
        account.algorithm()?;
        if account.key_encoding.is_some() && !account.is_symmetric() {
            return Err(InvalidBlock(
                "jwt.keyEncoding: RS256 and ES256 sign with a private key in PEM; remove it".into(),
            ));
        }
        let claims = account.claims.as_ref();
        let claims = claims.ok_or_else(|| InvalidBlock("jwt.claims: set them".into()))?;
        for (names, place, own) in [
            (Some(claims), "jwt.claims", OWN_CLAIMS.as_slice()),
            (account.header.as_ref(), "jwt.header", &OWN_HEADER),
        ] {
            let set = |(name, _): &&(&str, &str)| names.is_some_and(|it| it.get(name).is_some());
            if let Some((name, why)) = own.iter().find(set) {
                return Err(InvalidBlock(format!("{place}.{name}: {why}; remove it")));
            }
        }
        let texts = account.texts()?;
        if texts.iter().any(|text| text.uses("credential")) {
            return Err(InvalidBlock(
                "jwt: {{ credential }} is the key that signs, and every reader of the token would have it".into(),
            ));
        }
        check_params("jwt", &self.params, &texts)?;
        self.rehearse(None)
    }

    fn uses_subject(&self) -> bool {
        let texts = self.account.texts().unwrap_or_default();
        texts.iter().any(|text| text.uses(SUBJECT))
    }

    fn validate_for(&self, subject: &str) -> Result<(), InvalidBlock> {
        self.rehearse(Some(subject))
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let [header, claims] = self.header_and_claims(mint)?;
        let token = jwt(self.account.algorithm()?, &self.key(mint)?, &header, &claims)?;
        let expiry = Expiry::At(mint.expires_at());
        Ok(Step::Done(Answer::new(token, expiry, self.config())))
    }
}

#[cfg(test)]
mod tests;
