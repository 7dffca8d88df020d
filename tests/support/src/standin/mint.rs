//! Minting: expiries, random parts and JWTs, bent by the fault in force.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::faults::Fault;

/// What a provider needs for one mint.
pub(super) struct Minting<'a> {
    /// The stand-in's clock, skew included.
    pub(super) now: Timestamp,
    /// The life to grant instead of the provider's own.
    pub(super) life: Option<i64>,
    /// The number of the call, from 1.
    pub(super) number: u64,
    pub(super) secret: &'a hmac::Key,
    pub(super) signed_url_host: &'a str,
    pub(super) fault: Option<&'a Fault>,
}

/// A token and the reply that carries it.
pub(super) struct Minted {
    pub(super) token: String,
    /// The reply's field with the token.
    pub(super) token_field: &'static str,
    pub(super) expires_at: Timestamp,
    pub(super) single_use: bool,
    pub(super) reply: Map<String, Value>,
    /// A status and a whole body in place of `reply`.
    pub(super) whole: Option<(u16, String)>,
}

impl Minting<'_> {
    /// When a token ends that was to live this many seconds.
    pub(super) fn expires_at(&self, seconds: i64) -> Timestamp {
        self.now + SignedDuration::from_secs(self.life.unwrap_or(seconds))
    }

    /// An expiry as the reply states it; `None` if a fault leaves it out.
    pub(super) fn stated(&self, expires_at: Timestamp) -> Option<Value> {
        let seconds = expires_at.as_second();
        match self.fault {
            Some(Fault::MissingExpiry) => None,
            Some(Fault::ExpiryInPast) => Some(json!(self.now.as_second() - 60)),
            Some(Fault::ExpiryAbsurd) => Some(json!(seconds * 1000)),
            // Whole, as JSON writers without integers send it: 1795336200.0
            Some(Fault::ExpiryAsFloat) => Some(json!(seconds as f64)),
            Some(Fault::ExpiryAsString) => Some(json!(seconds.to_string())),
            _ => Some(json!(seconds)),
        }
    }

    /// Random-looking text: the same for the same seed, call and purpose, different otherwise.
    pub(super) fn random(&self, purpose: &str) -> String {
        let tag = hmac::sign(self.secret, format!("{purpose}/{}", self.number).as_bytes());
        let bytes = tag.as_ref().iter().take(16);
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    /// A signed JWT, or something with two dots that only looks like one.
    pub(super) fn jwt(&self, claims: &Value) -> String {
        if matches!(self.fault, Some(Fault::UndecodableJwt)) {
            return format!("eyJub3QtYS1qd3Q.%%{}%%.sig", self.random("undecodable"));
        }
        let encode = |part: &[u8]| URL_SAFE_NO_PAD.encode(part);
        let header = encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", encode(claims.to_string().as_bytes()));
        let signature = encode(hmac::sign(self.secret, signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

/// What no client may trip over: a field that nothing documents, with decoys inside.
pub(super) fn unknown_field() -> (String, Value) {
    let decoys = json!({"token": "not-the-token", "expires_at": 1, "nested": [null, {}]});
    ("standin_unknown".to_owned(), decoys)
}
