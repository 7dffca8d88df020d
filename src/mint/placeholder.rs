//! Placeholders of the generic providers: `{{ ttlSeconds }}` in a text of a request or a claim.
//!
//! No language: a placeholder names a value, perhaps in base64, and each is filled once, so nothing that is filled in
//! is a template again. What is left to bound is size and depth. Problems are named with their place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::wire::secret;
use super::{InvalidBlock, Mint};
use crate::api::SecretField;
use crate::clock::whole_second;
use crate::token::MintError;

/// Levels of objects and lists in a template.
const DEEPEST: usize = 16;
/// A template as JSON, and what is made of it.
pub(crate) const LARGEST: usize = 16 * 1024;
/// The text of a param.
const LONGEST_PARAM: usize = 1024;

/// The value of this key names the key that signs or is sent: an id, not a secret, that lives beside it.
pub(crate) const KEY_ID: SecretField = SecretField {
    key: "key-id",
    env: "KEY_ID",
};

/// What a placeholder names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Name {
    Credential,
    KeyId,
    TtlSeconds,
    Uuid,
    /// Now, or the end of the life that is asked for.
    Time(When, Unit),
    Param(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Now,
    Expires,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Seconds,
    Millis,
    Rfc3339,
}

const KNOWN: &str = "ttlSeconds, now, nowMillis, nowRfc3339, expires, expiresMillis, expiresRfc3339, uuid, credential, \
                     keyId, params.NAME, and base64(…) of them";

impl Name {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "credential" => Self::Credential,
            "keyId" => Self::KeyId,
            "ttlSeconds" => Self::TtlSeconds,
            "uuid" => Self::Uuid,
            "now" => Self::Time(When::Now, Unit::Seconds),
            "nowMillis" => Self::Time(When::Now, Unit::Millis),
            "nowRfc3339" => Self::Time(When::Now, Unit::Rfc3339),
            "expires" => Self::Time(When::Expires, Unit::Seconds),
            "expiresMillis" => Self::Time(When::Expires, Unit::Millis),
            "expiresRfc3339" => Self::Time(When::Expires, Unit::Rfc3339),
            other => {
                let unknown = || {
                    let shown: String = other.chars().take(64).collect();
                    format!("there is no placeholder {shown:?}; there are {KNOWN}")
                };
                let name = other.strip_prefix("params.").ok_or_else(unknown)?;
                Self::Param(name.to_owned())
            }
        })
    }

    /// Whether it says so by an instant rather than by a time from now.
    pub(crate) fn says_instant(&self) -> bool {
        matches!(self, Self::Time(When::Expires, _))
    }

    /// Whether it says how long the token shall live.
    pub(crate) fn says_life(&self) -> bool {
        matches!(self, Self::TtlSeconds | Self::Time(When::Expires, _))
    }
}

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Filled { name: Name, base64: bool },
}

/// A text with its placeholders.
#[derive(Clone, Debug)]
pub(crate) struct Text(Vec<Piece>);

impl Text {
    /// Reads a text.
    ///
    /// # Errors
    /// An unknown placeholder, or one that doesn't end.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let (inside, next) = after
                .split_once("}}")
                .ok_or("a placeholder begins with {{ and doesn't end with }}")?;
            let inside = inside.trim();
            let wrapped = inside.strip_prefix("base64(").and_then(|it| it.strip_suffix(')'));
            let name = Name::parse(wrapped.unwrap_or(inside).trim())?;
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.push(Piece::Filled {
                name,
                base64: wrapped.is_some(),
            });
            rest = next;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// What its placeholders name.
    pub(crate) fn names(&self) -> impl Iterator<Item = &Name> + Clone {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Filled { name, .. } => Some(name),
        })
    }

    /// What stands between its placeholders.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Filled { .. } => None,
        })
    }

    /// Fills it in; `encode` is applied to values and not to what stands between them.
    pub(crate) fn fill(&self, values: &Values<'_>, encode: impl Fn(&str) -> String) -> Result<String, MintError> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Filled { name, base64 } => {
                    filled.push_str(&encode(&values.text(name, *base64)?));
                }
            }
        }
        Ok(filled)
    }

    /// As a value of JSON: of its own type if it is one placeholder and nothing else, else text.
    fn typed(&self, values: &Values<'_>) -> Result<Value, MintError> {
        match self.0.as_slice() {
            [Piece::Filled { name, base64: false }] => values.value(name),
            _ => self.fill(values, str::to_owned).map(Value::from),
        }
    }
}

/// What placeholders stand for in one mint.
pub(crate) struct Values<'a> {
    pub(crate) mint: &'a Mint<'a>,
    pub(crate) params: &'a Map<String, Value>,
    /// The role of the key itself.
    pub(crate) key: &'a SecretField,
}

impl Values<'_> {
    fn value(&self, name: &Name) -> Result<Value, MintError> {
        let at = |when| match when {
            When::Now => self.mint.now,
            When::Expires => self.mint.expires_at(),
        };
        Ok(match name {
            Name::Credential => secret(self.mint.credential, self.key)?.expose_secret().into(),
            Name::KeyId => secret(self.mint.credential, &KEY_ID)?.expose_secret().into(),
            Name::TtlSeconds => self.mint.expiration.as_secs().into(),
            Name::Uuid => self.mint.uuid().into(),
            Name::Time(when, Unit::Seconds) => at(*when).as_second().into(),
            Name::Time(when, Unit::Millis) => at(*when).as_millisecond().into(),
            Name::Time(when, Unit::Rfc3339) => whole_second(at(*when)).to_string().into(),
            Name::Param(name) => self
                .params
                .get(name)
                .cloned()
                .ok_or_else(|| InvalidBlock(format!("params.{name} is used and not set; set it")))?,
        })
    }

    fn text(&self, name: &Name, base64: bool) -> Result<String, MintError> {
        let text = match self.value(name)? {
            Value::String(text) => text,
            other => other.to_string(),
        };
        Ok(if base64 { BASE64.encode(text) } else { text })
    }
}

/// Every text of a JSON template, with its place. Names are no templates.
///
/// # Errors
/// What is wrong with the template, and where.
pub(crate) fn texts(template: &Map<String, Value>, place: &str) -> Result<Vec<Text>, InvalidBlock> {
    let size = Value::Object(template.clone()).to_string().len();
    if size > LARGEST {
        return Err(InvalidBlock(format!(
            "{place}: {size} bytes of JSON, and at most {LARGEST} are allowed"
        )));
    }
    let mut found = Vec::new();
    walk_object(template, place, 1, &mut found)?;
    Ok(found)
}

fn walk_object(
    object: &Map<String, Value>,
    place: &str,
    depth: usize,
    found: &mut Vec<Text>,
) -> Result<(), InvalidBlock> {
    for (name, value) in object {
        let place = format!("{place}/{name}");
        plain_name(name, &place)?;
        walk(value, &place, depth, found)?;
    }
    Ok(())
}

fn walk(value: &Value, place: &str, depth: usize, found: &mut Vec<Text>) -> Result<(), InvalidBlock> {
    if depth > DEEPEST {
        // The place itself is as long as the template is deep.
        let place: String = place.chars().take(128).collect();
        return Err(InvalidBlock(format!("{place}…: more than {DEEPEST} levels deep")));
    }
    match value {
        Value::String(text) => found.push(text_at(text, place)?),
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                walk(item, &format!("{place}/{nth}"), depth + 1, found)?;
            }
        }
        Value::Object(fields) => walk_object(fields, place, depth + 1, found)?,
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
    Ok(())
}

/// A text, its problem named with the place.
///
/// # Errors
/// As [`Text::parse`].
pub(crate) fn text_at(text: &str, place: &str) -> Result<Text, InvalidBlock> {
    Text::parse(text).map_err(|problem| InvalidBlock(format!("{place}: {problem}")))
}

/// A name that isn't a template.
///
/// # Errors
/// A name with a placeholder.
pub(crate) fn plain_name(name: &str, place: &str) -> Result<(), InvalidBlock> {
    if name.contains("{{") || name.contains("}}") {
        return Err(InvalidBlock(format!(
            "{place}: a name can't hold a placeholder, only a value can"
        )));
    }
    Ok(())
}

/// A JSON template with its placeholders filled in.
///
/// # Errors
/// A value that is missing.
pub(crate) fn filled(template: &Map<String, Value>, values: &Values<'_>) -> Result<Map<String, Value>, MintError> {
    let pairs = template
        .iter()
        .map(|(name, value)| Ok((name.clone(), filled_value(value, values)?)));
    pairs.collect()
}

fn filled_value(template: &Value, values: &Values<'_>) -> Result<Value, MintError> {
    Ok(match template {
        Value::String(text) => text_at(text, "the template")?.typed(values)?,
        Value::Array(items) => {
            let items = items.iter().map(|item| filled_value(item, values));
            items.collect::<Result<Vec<_>, _>>()?.into()
        }
        Value::Object(fields) => filled(fields, values)?.into(),
        other => other.clone(),
    })
}

/// Params against the placeholders that use them.
///
/// # Errors
/// A param of a wrong type, one that is a template itself, one that nothing uses, one that is used and missing.
pub(crate) fn check_params<'n>(
    field: &str,
    params: &Map<String, Value>,
    used: impl Iterator<Item = &'n Name> + Clone,
) -> Result<(), InvalidBlock> {
    for (name, value) in params {
        let refuse = |problem: String| {
            let name: String = name.chars().take(64).collect();
            Err(InvalidBlock(format!("{field}.params.{name}: {problem}")))
        };
        match value {
            Value::String(text) if text.is_empty() || text.len() > LONGEST_PARAM => {
                return refuse(format!("a text of 1 to {LONGEST_PARAM} bytes"));
            }
            Value::String(text) if text.contains("{{") => {
                return refuse("holds a placeholder, and what is filled in is no template".into());
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return refuse("a text, a number, true or false".into());
            }
        }
        let is_used = |other: &Name| matches!(other, Name::Param(other) if other == name);
        if !used.clone().any(is_used) {
            return refuse("nothing uses it".into());
        }
    }
    for name in used {
        if let Name::Param(name) = name
            && !params.contains_key(name)
        {
            let name: String = name.chars().take(64).collect();
            return Err(InvalidBlock(format!(
                "{field}.params.{name}: used by a placeholder and not set"
            )));
        }
    }
    Ok(())
}

/// The param that a policy's allowedModels is held against.
pub(crate) fn model(params: &Map<String, Value>) -> Option<&str> {
    params.get("model")?.as_str()
}
