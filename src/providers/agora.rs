//! Agora: AccessToken2, built here from the app certificate.
//!
//! The layout is that of agora-token 2.0.6: integers are little-endian, texts carry their length in two bytes.

use aws_lc_rs::hmac::{HMAC_SHA256, Key, sign};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;

use super::Provider;
use crate::api::{Agora, AgoraRole, ProviderBlock, SecretField};
use crate::mint::wire::secret;
use crate::mint::{Answer, Endpoint, Expiry, InvalidBlock, Mint, Step};
use crate::token::MintError;

const RTC: u16 = 1;
const RTM: u16 = 2;
/// Join, publish audio, publish video, publish data.
const PUBLISHER: &[u16] = &[1, 2, 3, 4];
const JOIN: &[u16] = &[1];

impl Provider for Agora {
    fn is_bound_to_room(&self) -> bool {
        self.rtc.is_some()
    }

    /// A channel without a user takes any.
    fn is_for_anyone(&self) -> bool {
        self.rtc
            .as_ref()
            .is_some_and(|rtc| rtc.uid.is_none() && rtc.account.is_none())
    }

    fn endpoint(&self) -> Endpoint<'_> {
        Endpoint::Local
    }

    fn validate(&self) -> Result<(), InvalidBlock> {
        if self.rtc.is_none() && self.rtm.is_none() {
            return Err(InvalidBlock(
                "agora: set rtc, rtm or both; without either the token opens nothing".into(),
            ));
        }
        Ok(())
    }

    fn start(&self, mint: &Mint<'_>) -> Result<Step, MintError> {
        let [certificate, app_id] = Self::FACTS.secret_fields else {
            return Err(InvalidBlock("agora needs two values".into()).into());
        };
        let expire = u32::try_from(mint.expiration.as_secs()).unwrap_or(u32::MAX);
        let token = Token {
            app_id: hex32(mint, app_id)?,
            issued_at: u32::try_from(mint.now.as_second()).unwrap_or(u32::MAX),
            expire,
            salt: salt(mint.nonce),
            services: self.services(expire),
        };
        let packed = token.packed(hex32(mint, certificate)?);
        let deflated = miniz_oxide::deflate::compress_to_vec_zlib(&packed, 6);
        let text = format!("007{}", BASE64.encode(deflated));
        // Every privilege ends with the token, so its end is the token's.
        let ends = Expiry::At(mint.expires_at());
        Ok(Step::Done(Answer::new(text, ends, self.config())))
    }
}

impl Agora {
    /// What the token opens, packed, by type.
    fn services(&self, expire: u32) -> Vec<Vec<u8>> {
        let rtc = self.rtc.as_ref().map(|rtc| {
            let privileges = match rtc.role {
                AgoraRole::Publisher => PUBLISHER,
                AgoraRole::Subscriber => JOIN,
            };
            // The empty text stands for any user.
            let user = match (&rtc.account, rtc.uid) {
                (Some(account), _) => account.clone(),
                (None, Some(uid)) => uid.to_string(),
                (None, None) => String::new(),
            };
            let mut packed = service(RTC, privileges, expire);
            text(&mut packed, &rtc.channel);
            text(&mut packed, &user);
            packed
        });
        let rtm = self.rtm.as_ref().map(|rtm| {
            let mut packed = service(RTM, JOIN, expire);
            text(&mut packed, &rtm.user_id);
            packed
        });
        rtc.into_iter().chain(rtm).collect()
    }
}

struct Token<'a> {
    app_id: &'a str,
    issued_at: u32,
    expire: u32,
    salt: u32,
    services: Vec<Vec<u8>>,
}

impl Token<'_> {
    /// Signature and content, as they are deflated.
    fn packed(&self, certificate: &str) -> Vec<u8> {
        let mut info = Vec::new();
        text(&mut info, self.app_id);
        for number in [self.issued_at, self.expire, self.salt] {
            info.extend(number.to_le_bytes());
        }
        info.extend(length(self.services.len()).to_le_bytes());
        for service in &self.services {
            info.extend(service);
        }
        let mac = |key: &[u8], message: &[u8]| sign(&Key::new(HMAC_SHA256, key), message);
        let by_time = mac(&self.issued_at.to_le_bytes(), certificate.as_bytes());
        let key = mac(&self.salt.to_le_bytes(), by_time.as_ref());
        let signature = mac(key.as_ref(), &info);
        let mut packed = Vec::new();
        bytes(&mut packed, signature.as_ref());
        packed.extend(info);
        packed
    }
}

fn service(kind: u16, privileges: &[u16], expire: u32) -> Vec<u8> {
    let mut packed = kind.to_le_bytes().to_vec();
    packed.extend(length(privileges.len()).to_le_bytes());
    for privilege in privileges {
        packed.extend(privilege.to_le_bytes());
        packed.extend(expire.to_le_bytes());
    }
    packed
}

fn text(packed: &mut Vec<u8>, text: &str) {
    bytes(packed, text.as_bytes());
}

fn bytes(packed: &mut Vec<u8>, bytes: &[u8]) {
    packed.extend(length(bytes.len()).to_le_bytes());
    packed.extend(bytes);
}

/// All lengths here are bounded by the CRD.
fn length(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

/// 1 to 99999999, as Agora's SDK draws it.
fn salt(nonce: [u8; 16]) -> u32 {
    let [a, b, c, d, ..] = nonce;
    u32::from_le_bytes([a, b, c, d]) % 99_999_999 + 1
}

/// App id and certificate are 32 hexadecimal digits each; the SDK answers anything else with an empty token.
fn hex32<'m>(mint: &'m Mint<'_>, field: &SecretField) -> Result<&'m str, MintError> {
    let value = secret(mint.credential, field)?.expose_secret();
    if value.len() == 32 && value.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(value);
    }
    Err(MintError::wrong_key(format!(
        "{} in {} isn't 32 hexadecimal digits, as Agora's console shows it",
        field.key,
        mint.credential.place_of(field)
    )))
}

#[cfg(test)]
mod tests;
