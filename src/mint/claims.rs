//! The expiry of a token that is a JWT.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::expiry::epoch_seconds;

/// The claims of a real token take hundreds of bytes.
const LONGEST: usize = 16 * 1024;

/// The `exp` claim. The signature isn't checked: the token comes from its issuer over TLS, the issuer's key is
/// unknown, and a wrong `exp` harms only the owner of the token.
pub(crate) fn expiry(token: &str) -> Option<Timestamp> {
    let mut parts = token.split('.');
    let (_header, claims, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || claims.len() > LONGEST {
        return None;
    }
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Map<String, Value> = serde_json::from_slice(&claims).ok()?;
    epoch_seconds(claims.get("exp")?)
}

/// Whether it has the form of a JWT, for replies that are nothing but one.
pub(crate) fn looks_like_one(token: &str) -> bool {
    let base64url = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    token.split('.').count() == 3 && token.split('.').all(base64url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> String {
        format!("eyJhbGciOiJIUzI1NiJ9.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn reads_exp() {
        let expected = Timestamp::from_second(1_795_336_200).ok();
        assert_eq!(expiry(&token(r#"{"iss":"x","exp":1795336200}"#)), expected);
        assert_eq!(expiry(&token(r#"{"exp":1795336200.0,"nested":{"exp":1}}"#)), expected);
        // A claim that encodes to the letters in which base64url differs from base64.
        assert_eq!(expiry(&token(r#"{"exp":1795336200,"name":"ü>?~ÿþ"}"#)), expected);
    }

    #[test]
    fn the_form_of_one() {
        assert!(looks_like_one("eyJhbGciOiJFUzI1NiJ9.eyJleHAiOjF9.fa-_ke"));
        for token in ["", "opaque", "a.b", "a.b.c.d", "a..c", "a.b.c=", "a.<b>.c"] {
            assert!(!looks_like_one(token), "{token}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let whole = token(r#"{"exp":1795336200}"#);
        for token in [
            "".to_owned(),
            "opaque".to_owned(),
            "a.b".to_owned(),
            "a.%%.c".to_owned(),
            format!("{whole}.more"),
            whole.replace('.', ""),
            token(r#"{}"#),
            token(r#"{"exp":"1795336200"}"#),
            token(r#"{"exp":null}"#),
            token("[1795336200]"),
            token("not json"),
            token(&format!(r#"{{"exp":1795336200,"padding":"{}"}}"#, "x".repeat(LONGEST))),
        ] {
            assert_eq!(expiry(&token), None, "{token:.60}");
        }
    }

    #[test]
    fn claims_have_a_largest_size() {
        let expiry = |size: usize| {
            let claims = format!(r#"{{"exp":1,"a":"{}"}}"#, "x".repeat(size - 16));
            assert_eq!(claims.len(), size);
            super::expiry(&format!("h.{}.s", URL_SAFE_NO_PAD.encode(claims)))
        };
        let largest = LONGEST / 4 * 3;
        assert_eq!(expiry(largest), Timestamp::from_second(1).ok());
        assert_eq!(expiry(largest + 1), None);
    }
}
