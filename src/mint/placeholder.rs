//! Placeholders of `http` and `jwt`: `{{ ttlSeconds }}` in a text of a request or of a claim.
//!
//! Between the braces stands an expression of MiniJinja, the language of `target.template.data`. Which variables a text
//! uses is known before a mint, and an expression is given those and no others. Results aren't evaluated again.

mod json;

use std::collections::BTreeSet;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{SignedDuration, Timestamp};
use minijinja::value::{Serde, ValueKind};
use minijinja::{Environment, Expression};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

pub(crate) use self::json::{LARGEST, filled, plain_name, texts};
use super::wire::secret;
use super::{Credential, InvalidBlock, Mint};
use crate::api::SecretField;
use crate::clock::whole_second;
use crate::template::{environment, problem};
use crate::token::MintError;

/// The text of a param.
const LONGEST_PARAM: usize = 1024;
/// What stands between the braces.
const LONGEST_EXPRESSION: usize = 512;

/// The id of the key that signs or is sent: not a secret, but kept beside it.
pub(crate) const KEY_ID: SecretField = SecretField {
    key: "key-id",
    env: "KEY_ID",
};

/// Who a token on request is for.
pub(crate) const SUBJECT: &str = "subject";

/// Whose token it is. What stands beside it in a text is checked: [`Text::parse`].
const NAMESPACE: &str = "namespace";
/// Stands for a namespace where a block is checked; none is longer.
const ANY_NAMESPACE: &str = "namespace-of-a-tenant-whose-name-is-as-long-as-names-can-be-123";

const VARIABLES: [&str; 12] = [
    "ttlSeconds",
    "now",
    "nowMillis",
    "nowRfc3339",
    "expires",
    "expiresMillis",
    "expiresRfc3339",
    "uuid",
    "credential",
    "keyId",
    SUBJECT,
    NAMESPACE,
];

static LANGUAGE: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let encode = |value: minijinja::Value| scalar(&value).map(|value| BASE64.encode(text_of(value)));
    let mut environment = environment();
    environment.remove_global(NAMESPACE); // MiniJinja's function of that name
    environment.add_function("base64", encode);
    environment.add_filter("base64", encode);
    environment
});

/// A text with its placeholders.
pub(crate) struct Text {
    place: String,
    pieces: Vec<Piece>,
}

enum Piece {
    Literal(String),
    Placeholder(Placeholder),
}

pub(crate) struct Placeholder {
    expression: Expression<'static, 'static>,
    /// The variables that it uses, such as `now` and `params.user`.
    names: BTreeSet<String>,
}

impl Placeholder {
    fn compile(source: &str) -> Result<Self, String> {
        if source.len() > LONGEST_EXPRESSION {
            return Err(format!("a placeholder has at most {LONGEST_EXPRESSION} bytes"));
        }
        let expression = LANGUAGE
            .compile_expression_owned(source.trim().to_owned())
            .map_err(|error| {
                // There are no values yet that the detail could quote.
                let detail: String = error.detail().unwrap_or_default().chars().take(128).collect();
                format!("{}: {detail}", error.kind())
            })?;
        let is_function = |name: &String| LANGUAGE.globals().any(|(known, _)| known == name);
        let used = expression.undeclared_variables(true).into_iter();
        let names: BTreeSet<String> = used.filter(|name| !is_function(name)).collect();
        let is_known = |name: &str| {
            let param = name.strip_prefix("params.");
            VARIABLES.contains(&name) || param.is_some_and(|name| !name.contains('.'))
        };
        if let Some(unknown) = names.iter().find(|name| !is_known(name)) {
            let unknown: String = unknown.chars().take(64).collect();
            let known = VARIABLES.join(", ");
            return Err(format!(
                "there is no placeholder {unknown:?}; there are {known}, params.NAME, and base64(…) of them"
            ));
        }
        let placeholder = Self { expression, names };
        if placeholder.uses(NAMESPACE) && placeholder.is_chosen() {
            return Err(
                "{{ namespace }} is a placeholder of its own where a tenant chooses the rest of the text".to_owned(),
            );
        }
        Ok(placeholder)
    }

    /// Whether it depends on the life that is asked for.
    pub(crate) fn depends_on_life(&self) -> bool {
        self.uses("ttlSeconds") || self.depends_on_end()
    }

    /// Whether it gives the end as an instant rather than as a time from now.
    pub(crate) fn is_instant(&self) -> bool {
        let now = VARIABLES.iter().any(|name| name.starts_with("now") && self.uses(name));
        self.depends_on_end() && !now && !self.uses("ttlSeconds")
    }

    fn depends_on_end(&self) -> bool {
        self.names.iter().any(|name| name.starts_with("expires"))
    }

    pub(crate) fn uses(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether a tenant chooses what it becomes.
    fn is_chosen(&self) -> bool {
        self.uses(SUBJECT) || self.params().next().is_some()
    }

    fn params(&self) -> impl Iterator<Item = &str> {
        self.names.iter().filter_map(|name| name.strip_prefix("params."))
    }

    fn evaluate(&self, values: &Values<'_>, place: &str) -> Result<Value, MintError> {
        let mut variables = Map::new();
        for name in &self.names {
            let value = values.value(name)?;
            match name.strip_prefix("params.") {
                Some(param) => variables.entry("params").or_insert_with(|| Value::Object(Map::new()))[param] = value,
                None => drop(variables.insert(name.clone(), value)),
            }
        }
        let value = self.expression.eval(minijinja::Value::from(Serde(&variables)));
        let value = value.and_then(|value| scalar(&value));
        value.map_err(|error| InvalidBlock(format!("{place}: {}", problem(&error))).into())
    }
}

impl Text {
    /// Reads a text, which stands at this place.
    pub(crate) fn parse(text: &str, place: &str) -> Result<Self, InvalidBlock> {
        let refuse = |problem: &str| InvalidBlock(format!("{place}: {problem}"));
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("{{") {
            let ends = after.split_once("}}");
            let (inside, next) = ends.ok_or_else(|| refuse("a placeholder begins with {{ and doesn't end with }}"))?;
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            let placeholder = Placeholder::compile(inside).map_err(|problem| refuse(&problem))?;
            pieces.push(Piece::Placeholder(placeholder));
            rest = next;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        let place = place.to_owned();
        let text = Self { place, pieces };
        match text.sets_namespace_apart() {
            true => Ok(text),
            false => Err(refuse(
                "{{ namespace }} needs a character such as _ . / or : beside it, which no name of a namespace has: in \
                 {{ namespace }}-{{ params.room }} the namespace shop would pass for shop-b",
            )),
        }
    }

    /// Whether no tenant can choose its part of the text so that the namespace reads as another one.
    fn sets_namespace_apart(&self) -> bool {
        let goes_on = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        let fits = |beside: Option<&Piece>, end: fn(&str) -> Option<char>| match beside {
            None => true,
            Some(Piece::Literal(text)) => !goes_on(end(text)),
            Some(Piece::Placeholder(_)) => false,
        };
        if !self.placeholders().any(Placeholder::is_chosen) {
            return true;
        }
        self.pieces.iter().enumerate().all(|(at, piece)| match piece {
            Piece::Placeholder(placeholder) if placeholder.uses(NAMESPACE) => {
                let before = at.checked_sub(1).and_then(|at| self.pieces.get(at));
                fits(before, |text| text.chars().next_back())
                    && fits(self.pieces.get(at + 1), |text| text.chars().next())
            }
            _ => true,
        })
    }

    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &Placeholder> + Clone {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(_) => None,
            Piece::Placeholder(placeholder) => Some(placeholder),
        })
    }

    /// What stands between its placeholders.
    pub(crate) fn literals(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Placeholder(_) => None,
        })
    }

    pub(crate) fn uses(&self, name: &str) -> bool {
        self.placeholders().any(|placeholder| placeholder.uses(name))
    }

    /// Fills it in; `encode` is applied to values and not to what stands between them.
    pub(crate) fn fill(&self, values: &Values<'_>, encode: impl Fn(&str) -> String) -> Result<String, MintError> {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => filled.push_str(text),
                Piece::Placeholder(placeholder) => {
                    let value = placeholder.evaluate(values, &self.place)?;
                    filled.push_str(&encode(&text_of(value)));
                }
            }
        }
        Ok(filled)
    }

    /// As a value of JSON: of its own type if it is one placeholder and nothing else, else text.
    fn typed(&self, values: &Values<'_>) -> Result<Value, MintError> {
        match self.pieces.as_slice() {
            [Piece::Placeholder(placeholder)] => placeholder.evaluate(values, &self.place),
            _ => self.fill(values, str::to_owned).map(Value::from),
        }
    }
}

/// A result as JSON. Lists and objects are refused: MiniJinja makes them lazily, so that its fuel doesn't bound them.
fn scalar(value: &minijinja::Value) -> Result<Value, minijinja::Error> {
    let wrong = |detail: &'static str| minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, detail);
    match value.kind() {
        ValueKind::Undefined => Err(minijinja::ErrorKind::UndefinedError.into()),
        ValueKind::String | ValueKind::Number | ValueKind::Bool | ValueKind::None => {
            serde_json::to_value(value).map_err(|_| wrong("a number that JSON doesn't have"))
        }
        _ => Err(wrong("neither a text nor a number, true, false or none")),
    }
}

fn text_of(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

/// The values of the variables in one mint.
pub(crate) struct Values<'a> {
    pub(crate) mint: &'a Mint<'a>,
    pub(crate) params: &'a Map<String, Value>,
    /// The field of the key itself.
    pub(crate) key: &'a SecretField,
}

impl Values<'_> {
    fn value(&self, name: &str) -> Result<Value, MintError> {
        let (now, expires) = (self.mint.now, self.mint.expires_at());
        let secret = |field| secret(self.mint.credential, field).map(|value| Value::from(value.expose_secret()));
        Ok(match name {
            "ttlSeconds" => self.mint.expiration.as_secs().into(),
            "now" => now.as_second().into(),
            "nowMillis" => now.as_millisecond().into(),
            "nowRfc3339" => whole_second(now).to_string().into(),
            "expires" => expires.as_second().into(),
            "expiresMillis" => expires.as_millisecond().into(),
            "expiresRfc3339" => whole_second(expires).to_string().into(),
            "uuid" => self.mint.uuid().into(),
            "credential" => secret(self.key)?,
            "keyId" => secret(&KEY_ID)?,
            NAMESPACE => self.mint.namespace.into(),
            SUBJECT => {
                let no_subject = "{{ subject }} is known of a token on request only, whose caller names the subject";
                self.mint.subject.ok_or_else(|| InvalidBlock(no_subject.into()))?.into()
            }
            param => {
                let value = self.params.get(param.trim_start_matches("params."));
                let unset = || InvalidBlock(format!("{param} is used and not set; set it"));
                value.cloned().ok_or_else(unset)?
            }
        })
    }
}

/// Params against the placeholders that use them.
pub(crate) fn check_params(field: &str, params: &Map<String, Value>, texts: &[Text]) -> Result<(), InvalidBlock> {
    let refuse = |name: &str, problem: &str| {
        let name: String = name.chars().take(64).collect();
        Err(InvalidBlock(format!("{field}.params.{name}: {problem}")))
    };
    let used: BTreeSet<&str> = texts
        .iter()
        .flat_map(Text::placeholders)
        .flat_map(Placeholder::params)
        .collect();
    for (name, value) in params {
        match value {
            Value::String(text) if text.is_empty() || text.len() > LONGEST_PARAM => {
                return refuse(name, &format!("a text of 1 to {LONGEST_PARAM} bytes"));
            }
            Value::String(text) if text.contains("{{") => {
                return refuse(name, "holds a placeholder, and what is filled in is no template");
            }
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {}
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return refuse(name, "a text, a number, true or false");
            }
        }
        if !used.contains(name.as_str()) {
            return refuse(name, "nothing uses it");
        }
    }
    match used.into_iter().find(|name| !params.contains_key(*name)) {
        Some(missing) => refuse(missing, "used by a placeholder and not set"),
        None => Ok(()),
    }
}

/// A param that a list of a policy is held against.
pub(crate) fn param<'p>(params: &'p Map<String, Value>, name: &str) -> Option<&'p str> {
    params.get(name)?.as_str()
}

/// Fills a block in with a key and a life that are made up, to find before a mint what would fail in it. The subject is
/// made up as well, unless one is given.
pub(crate) fn rehearse<T>(
    fields: &[SecretField],
    life: SignedDuration,
    subject: Option<&str>,
    fill: impl FnOnce(&Mint<'_>) -> Result<T, MintError>,
) -> Result<(), InvalidBlock> {
    let credential = Credential::new(fields.iter().map(|field| (field.key, "x".into())));
    let mint = Mint {
        expiration: life,
        credential: &credential,
        namespace: ANY_NAMESPACE,
        // A text that is a number too, for blocks that make one of it.
        subject: subject.or(Some("1")),
        ask: None,
        now: Timestamp::UNIX_EPOCH,
        nonce: [0; 16],
    };
    match fill(&mint) {
        Ok(_) => Ok(()),
        Err(MintError::Rejected { message, .. }) => Err(InvalidBlock(message)),
        Err(other) => Err(InvalidBlock(other.to_string())),
    }
}

#[cfg(test)]
mod tests;
