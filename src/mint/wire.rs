//! What the adapters share: the key as a header, the token in a reply.

use http::HeaderValue;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::expiry::LONGEST;
use super::{Credential, InvalidBlock, UnusableReply};
use crate::api::{RawObject, SecretField};
use crate::token::MintError;

/// What a session's config may take: OpenAI's reply echoes it, and no more than 64 KiB of a reply are read.
pub(crate) const SESSION: usize = 48 * 1024;
/// No object needs it, and whatever walks a deeper one uses up its stack.
const DEEPEST: usize = 32;

/// A value of the credential as a header, marked sensitive. A key that can't be sent is a wrong key.
pub(crate) fn credential_header(
    credential: &Credential,
    field: &SecretField,
    scheme: &str,
) -> Result<HeaderValue, MintError> {
    let key = secret(credential, field)?.expose_secret();
    let header = sendable(key).and_then(|key| HeaderValue::from_str(&format!("{scheme}{key}")).ok());
    let mut header = header.ok_or_else(|| {
        MintError::wrong_key(format!(
            "the API key holds white space, a line break or a character beyond ASCII: put the bare key in {}",
            credential.place_of(field)
        ))
    })?;
    header.set_sensitive(true);
    Ok(header)
}

/// A value of the credential, which isn't empty.
pub(crate) fn secret<'c>(credential: &'c Credential, field: &SecretField) -> Result<&'c SecretString, MintError> {
    let value = credential.get(field).filter(|value| !value.expose_secret().is_empty());
    let missing = || {
        let place = credential.place_of(field);
        format!("the API key is missing or empty: set {:?} in {place}", field.key)
    };
    value.ok_or_else(|| MintError::wrong_key(missing()))
}

/// What a header should carry. `HeaderValue` would let spaces and UTF-8 pass, which only a slip puts there.
pub(crate) fn sendable(value: &str) -> Option<&str> {
    value.chars().all(|c| c.is_ascii_graphic()).then_some(value)
}

/// Whether an object may be passed on in the provider's own words: at most so many bytes as JSON, and not too deep. CEL
/// can't see into it.
pub(crate) fn bounded(field: &str, object: Option<&RawObject>, limit: usize) -> Result<(), InvalidBlock> {
    let refuse = |what: String| Err(InvalidBlock(format!("{field}: {what}")));
    let Some(object) = object else {
        return Ok(());
    };
    if object.read().values().any(|value| deeper_than(DEEPEST - 1, value)) {
        return refuse(format!("is nested deeper than {DEEPEST} levels; flatten it"));
    }
    let size = object.size();
    if size > limit {
        return refuse(format!(
            "takes {size} bytes as JSON where {limit} are allowed; shorten it"
        ));
    }
    Ok(())
}

/// Whether a value has more than so many levels of objects and lists.
fn deeper_than(levels: usize, value: &Value) -> bool {
    let below = |value: &Value| levels == 0 || deeper_than(levels - 1, value);
    match value {
        Value::Object(fields) => levels == 0 || fields.values().any(below),
        Value::Array(items) => levels == 0 || items.iter().any(below),
        _ => false,
    }
}

/// An object of those members that have a value, in this order.
pub(crate) fn given<'a>(members: impl IntoIterator<Item = (&'a str, Option<Value>)>) -> Map<String, Value> {
    let given = members.into_iter();
    given
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}

/// The reply's object. The text of a parse error would quote the reply, which holds the token.
pub(crate) fn reply_object(body: &[u8]) -> Result<Map<String, Value>, UnusableReply> {
    serde_json::from_slice(body).map_err(|_| UnusableReply("its body is no JSON object".into()))
}

/// Takes the token out of the reply.
pub(crate) fn token(reply: &mut Map<String, Value>, field: &str) -> Result<String, UnusableReply> {
    match reply.remove(field) {
        Some(Value::String(token)) if !token.is_empty() && sendable(&token).is_some() => Ok(token),
        _ => Err(UnusableReply(format!("it holds no token in `{field}`"))),
    }
}

/// A reply that is the token and nothing else, as text.
pub(crate) fn text_token(body: &[u8]) -> Result<String, UnusableReply> {
    let text = std::str::from_utf8(body).map(str::trim).unwrap_or_default();
    if text.is_empty() || sendable(text).is_none() {
        return Err(UnusableReply("its body is no token".into()));
    }
    Ok(text.to_owned())
}

/// A life in seconds, as a number. A fraction is cut off: better a second early than late.
pub(crate) fn seconds(value: &Value) -> Option<SignedDuration> {
    let seconds = value.as_f64().filter(|seconds| (1.0..1e12).contains(seconds))?;
    #[allow(clippy::cast_possible_truncation, reason = "bounded above")]
    Some(SignedDuration::from_secs(seconds as i64))
}

/// A life in seconds that a reply may leave out. One that is there and isn't a life is refused: another in its place
/// would be a guess.
pub(crate) fn stated_life(reply: &Map<String, Value>, field: &str) -> Result<Option<SignedDuration>, UnusableReply> {
    match reply.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(stated) => match seconds(stated) {
            Some(life) if life <= LONGEST => Ok(Some(life)),
            _ => Err(no_expiry(field)),
        },
    }
}

/// A life in seconds, as text (Twilio).
pub(crate) fn seconds_text(value: &Value) -> Option<SignedDuration> {
    let seconds: i64 = value.as_str()?.parse().ok()?;
    (seconds > 0).then(|| SignedDuration::from_secs(seconds))
}

pub(crate) fn rfc3339(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

/// The refusal of a reply that names no end.
pub(crate) fn no_expiry(field: &str) -> UnusableReply {
    UnusableReply(format!("it states no usable `{field}`, and an expiry is never guessed"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const FIELD: SecretField = SecretField {
        key: "api-key",
        env: "X",
    };

    #[test]
    fn the_key_as_a_header() {
        let header = credential_header(&Credential::new([("api-key", "sk-1".into())]), &FIELD, "Bearer ").unwrap();
        assert_eq!(header, "Bearer sk-1");
        assert!(header.is_sensitive());
    }

    #[test]
    fn a_key_that_cannot_be_sent_is_a_wrong_key() {
        for key in [
            "",
            "sk-1\n",
            "sk-1\r\nx-evil: 1",
            "sk-\u{0}",
            "sk-ü",
            "\u{feff}sk-1",
            "sk 1",
            " sk-1",
        ] {
            let credential = Credential::new([("api-key", key.into())]);
            let error = credential_header(&credential, &FIELD, "Bearer ").unwrap_err();
            assert!(
                matches!(error, MintError::Rejected { credential: true, .. }),
                "{key:?}: {error:?}"
            );
            assert!(error.to_string().contains("in the Secret"), "{error}");
            assert!(!error.to_string().contains("sk"), "{error}");
        }
        assert!(credential_header(&Credential::default(), &FIELD, "").is_err());
    }

    #[test]
    fn a_life_is_left_out_or_usable() {
        let life = |reply: Value| stated_life(reply.as_object().unwrap(), "expires_in");
        assert_eq!(life(json!({})), Ok(None));
        assert_eq!(life(json!({"expires_in": null})), Ok(None));
        let seconds = |seconds| Ok(Some(SignedDuration::from_secs(seconds)));
        assert_eq!(life(json!({"expires_in": 1})), seconds(1));
        assert_eq!(life(json!({"expires_in": 599.5})), seconds(599));
        for unusable in [
            json!("30"),
            json!(""),
            json!(0),
            json!(0.5),
            json!(-30),
            json!(true),
            json!([30]),
            json!(1_795_336_200),
            json!(1e300),
        ] {
            let refused = life(json!({"expires_in": unusable})).unwrap_err();
            assert!(refused.0.contains("no usable `expires_in`"), "{unusable}: {refused:?}");
        }
    }

    #[test]
    fn a_token_is_a_word() {
        let take = |value: Value| {
            let mut reply = Map::from_iter([("value".to_owned(), value)]);
            token(&mut reply, "value")
        };
        assert_eq!(take(json!("ek_1")).as_deref(), Ok("ek_1"));
        for value in [
            json!(""),
            json!("two words"),
            json!("line\n"),
            json!(17),
            json!(null),
            json!({"value": "ek_1"}),
        ] {
            assert_eq!(
                take(value.clone()),
                Err(UnusableReply("it holds no token in `value`".into())),
                "{value}"
            );
        }
    }

    #[test]
    fn objects_and_lists_are_levels() {
        for (value, levels) in [
            (json!("text"), 0),
            (json!({}), 1),
            (json!([]), 1),
            (json!({"a": 1, "b": {"c": 2}}), 2),
            (json!([[1]]), 2),
            (json!({"a": [{"b": 1}]}), 3),
        ] {
            assert!(!deeper_than(levels, &value), "{value}");
            assert!(levels == 0 || deeper_than(levels - 1, &value), "{value}");
        }
    }

    #[test]
    fn a_life_of_no_seconds_is_none() {
        let life = |text: &str| seconds_text(&text.into());
        assert_eq!(life("60"), Some(SignedDuration::from_secs(60)));
        assert_eq!([life("0"), life("-1"), life("soon")], [None; 3]);
    }
}
