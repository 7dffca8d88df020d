//! The reply, as the block describes it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::Value;

use super::super::Provider as _;
use super::check::asks_for_an_instant;
use crate::api::{Http, HttpCombine, HttpExpiry, HttpExpiryFrom, HttpFormat, HttpResponse, HttpUnit};
use crate::mint::expiry::epoch_seconds;
use crate::mint::wire::{rfc3339, seconds, seconds_text, sendable, text_token};
use crate::mint::{Answer, Expiry, Mint, UnusableReply, claims};

/// Token, end and further keys.
pub(crate) fn read(block: &Http, mint: &Mint<'_>, body: &[u8]) -> Result<Answer, UnusableReply> {
    let response = block.account.response.as_ref();
    let response = response.ok_or_else(|| UnusableReply("http.response isn't set".into()))?;
    let (json, token) = match response.format {
        HttpFormat::Text => (Value::Null, text_token(body)?),
        HttpFormat::JsonString => (Value::Null, token_text(&parsed(body)?, "its body")?),
        HttpFormat::Json => {
            let json = parsed(body)?;
            let pointer = response.token.as_deref().unwrap_or_default();
            let none = || UnusableReply(format!("it holds nothing at {pointer}"));
            let token = json.pointer(pointer).ok_or_else(none)?;
            let token = token_text(token, &format!("its value at {pointer}"))?;
            (json, token)
        }
    };
    let mut stated = response
        .expiry
        .iter()
        .filter_map(|source| expiry(block, source, mint, &json, &token));
    let expiry = match response.combine {
        HttpCombine::First => stated.next(),
        HttpCombine::Earliest => stated.reduce(earlier),
    };
    let expiry = expiry.ok_or_else(|| {
        UnusableReply("none of http.response.expiry is in it as described, and an expiry is never guessed".into())
    })?;
    let longest = SignedDuration::from_secs(response.max_seconds);
    let lives = match expiry {
        Expiry::At(end) => end.duration_since(mint.now),
        Expiry::After(lives) => lives,
        Expiry::Earlier(end, lives) => lives.min(end.duration_since(mint.now)),
    };
    if lives > longest {
        return Err(UnusableReply(format!(
            "the token's expiry is further away than http.response.maxSeconds allows, {} s",
            longest.as_secs()
        )));
    }
    let mut answer = Answer::new(token, expiry, block.config());
    answer.outputs = outputs(response, &json)?;
    Ok(answer)
}

fn outputs(response: &HttpResponse, json: &Value) -> Result<BTreeMap<Cow<'static, str>, SecretString>, UnusableReply> {
    let found = response.outputs.iter().map(|(key, pointer)| {
        let value = match json.pointer(pointer) {
            None | Some(Value::Null) => {
                return Err(UnusableReply(format!(
                    "it holds nothing at {pointer}, where http.response.outputs.{key} is to come from"
                )));
            }
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        Ok((key.clone().into(), SecretString::from(value)))
    });
    found.collect()
}

/// The text of a parse error would quote the reply, which holds the token.
fn parsed(body: &[u8]) -> Result<Value, UnusableReply> {
    serde_json::from_slice(body).map_err(|_| UnusableReply("its body is no JSON".into()))
}

fn token_text(value: &Value, what: &str) -> Result<String, UnusableReply> {
    match value.as_str() {
        Some(text) if !text.is_empty() && sendable(text).is_some() => Ok(text.to_owned()),
        _ => Err(UnusableReply(format!("{what} is no token"))),
    }
}

fn expiry(block: &Http, source: &HttpExpiry, mint: &Mint<'_>, json: &Value, token: &str) -> Option<Expiry> {
    match source.from {
        // Where the request names an instant, the provider keeps it by its own clock.
        HttpExpiryFrom::Ttl if asks_for_an_instant(block) => Some(Expiry::At(mint.expires_at())),
        HttpExpiryFrom::Ttl => Some(Expiry::After(mint.expiration)),
        HttpExpiryFrom::Jwt => claims::expiry(token).map(Expiry::At),
        HttpExpiryFrom::Reply => {
            let value = json.pointer(source.pointer.as_deref()?)?;
            match source.unit? {
                HttpUnit::Seconds => seconds(value).map(Expiry::After),
                HttpUnit::SecondsText => seconds_text(value).map(Expiry::After),
                HttpUnit::EpochSeconds => epoch_seconds(value).map(Expiry::At),
                HttpUnit::EpochMillis => {
                    let at = Timestamp::from_millisecond(value.as_i64()?);
                    at.ok().map(Expiry::At)
                }
                HttpUnit::Rfc3339 => rfc3339(value).map(Expiry::At),
            }
        }
    }
}

fn earlier(one: Expiry, other: Expiry) -> Expiry {
    let parts = |expiry| match expiry {
        Expiry::At(end) => (Some(end), None),
        Expiry::After(lives) => (None, Some(lives)),
        Expiry::Earlier(end, lives) => (Some(end), Some(lives)),
    };
    let (a, b) = (parts(one), parts(other));
    let end = a.0.into_iter().chain(b.0).min();
    let lives = a.1.into_iter().chain(b.1).min();
    match (end, lives) {
        (Some(end), Some(lives)) => Expiry::Earlier(end, lives),
        (Some(end), None) => Expiry::At(end),
        (None, lives) => Expiry::After(lives.unwrap_or_default()),
    }
}
