//! The fields of an error body, whichever provider's shape it has.

use serde_json::{Map, Value};

/// What is kept of a body that is no JSON, to look for known sentences.
const TEXT_CAP: usize = 1024;

/// What kind of text a body is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Format {
    #[default]
    Empty,
    /// JSON, also if the limit of a reply cut it.
    Json,
    Html,
    Text,
}

impl Format {
    pub(super) fn of(body: &[u8]) -> Self {
        let start = body.trim_ascii_start();
        let tag = |tag: &[u8]| start.get(..tag.len()).is_some_and(|it| it.eq_ignore_ascii_case(tag));
        match start.first() {
            None => Self::Empty,
            Some(b'{' | b'[' | b'"') => Self::Json,
            Some(b'<') if [&b"<!doctype"[..], b"<html", b"<head", b"<body"].into_iter().any(tag) => Self::Html,
            Some(_) => Self::Text,
        }
    }
}

/// The fields of an error body, whichever shape it has.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ErrorBody {
    /// The most telling code, for messages.
    pub(super) code: Option<String>,
    pub(super) message: Option<String>,
    pub(super) request_id: Option<String>,
    pub(super) format: Format,
    /// Every code, type, status and reason, to class the error by.
    words: Vec<String>,
    /// Google's names of the quotas that are used up.
    quotas: Vec<String>,
    /// Google's `RetryInfo`: a duration such as `45.8s`.
    pub(super) retry_delay: Option<String>,
    /// The beginning of a body that is plain text. Only ever searched, never repeated.
    text: String,
}

impl ErrorBody {
    /// Reads the error shapes of all providers (`{"error": {..}}`, `{"detail": ..}`, flat). A body that isn't JSON
    /// is ignored: it is rarely the provider that sent it.
    pub(super) fn read(body: &[u8]) -> Self {
        let format = Format::of(body);
        let fields = match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => Self::from_object(&body),
            // Google wraps some errors in a list.
            Ok(Value::Array(list)) => list
                .first()
                .and_then(Value::as_object)
                .map(Self::from_object)
                .unwrap_or_default(),
            Ok(Value::String(message)) => Self {
                message: Some(message),
                ..Self::default()
            },
            _ if format == Format::Text => Self {
                text: String::from_utf8_lossy(&body[..body.len().min(TEXT_CAP)]).to_lowercase(),
                ..Self::default()
            },
            _ => Self::default(),
        };
        Self { format, ..fields }
    }

    /// The error inside a reply whose status is 2xx, if it says that it is one.
    pub(super) fn within_success(body: &[u8]) -> Option<Self> {
        let Ok(Value::Object(reply)) = serde_json::from_slice(body) else {
            return None;
        };
        let is_error = match reply.get("error")? {
            Value::Object(error) => !error.is_empty(),
            Value::String(error) => !error.is_empty(),
            _ => false,
        };
        is_error.then(|| Self::from_object(&reply))
    }

    /// Whether one of its codes or types is one of these, whatever their case, `_` and `-`.
    pub(super) fn has_code(&self, known: &[&str]) -> bool {
        self.words.iter().any(|word| known.contains(&plain(word).as_str()))
    }

    /// Whether a part of one of its codes or types is one of these.
    pub(super) fn has_code_with(&self, parts: &[&str]) -> bool {
        self.words
            .iter()
            .map(|word| plain(word))
            .any(|word| parts.iter().any(|part| word.contains(part)))
    }

    /// Whether a quota of a day is used up.
    pub(super) fn is_daily_quota(&self) -> bool {
        self.quotas.iter().any(|quota| plain(quota).contains("perday"))
    }

    /// Whether it says one of these, which are in lower case.
    pub(super) fn says(&self, phrases: &[&str]) -> bool {
        let message = self.message.as_deref().unwrap_or_default().to_lowercase();
        phrases
            .iter()
            .any(|phrase| message.contains(phrase) || self.text.contains(phrase))
    }

    /// Whether it is this plain text and nothing else.
    pub(super) fn is_text(&self, text: &str) -> bool {
        self.format == Format::Text && self.text.trim() == text
    }

    fn from_object(body: &Map<String, Value>) -> Self {
        let inner = match (body.get("error"), body.get("detail")) {
            (Some(Value::Object(error)), _) => Self {
                code: Details::of(error)
                    .reasons
                    .into_iter()
                    .next()
                    .or(Self::from_fields(error).code),
                ..Self::from_fields(error)
            },
            (Some(Value::String(error)), Some(Value::String(detail))) => Self {
                message: Some(format!("{error}: {detail}")),
                ..Self::default()
            },
            (_, Some(Value::Object(detail))) => Self::from_fields(detail),
            (_, Some(Value::Array(details))) => Self::from_validation(details),
            (_, Some(Value::String(detail))) => Self {
                message: Some(detail.clone()),
                ..Self::default()
            },
            // OAuth (RFC 6749) and Daily: `error` is a code, and the sentence is in another field.
            (Some(Value::String(error)), _) if description(body).is_some() => Self {
                code: Some(error.clone()),
                message: description(body),
                ..Self::default()
            },
            (Some(Value::String(error)), _) => Self {
                message: Some(error.clone()),
                ..Self::default()
            },
            _ => Self::default(),
        };
        let outer = Self::from_fields(body);
        let details = body
            .get("error")
            .and_then(Value::as_object)
            .map(Details::of)
            .unwrap_or_default();
        let words = [inner.words, outer.words, details.reasons].concat();
        Self {
            words: words.into_iter().chain(inner.code.clone()).collect(),
            code: inner.code.or(outer.code),
            message: inner.message.or(outer.message),
            request_id: inner.request_id.or(outer.request_id),
            quotas: details.quotas,
            retry_delay: details.retry_delay,
            ..Self::default()
        }
    }

    fn from_fields(fields: &Map<String, Value>) -> Self {
        let text = |names: &[&str]| {
            names.iter().find_map(|name| match fields.get(*name)? {
                Value::String(text) if !text.is_empty() => Some(text.clone()),
                _ => None,
            })
        };
        // Numbers come last: Google's only repeat the HTTP status.
        let number = || {
            ["code", "err_code", "error_code"]
                .iter()
                .find_map(|name| fields.get(*name)?.as_i64())
        };
        let codes = [
            "code",
            "err_code",
            "error_code",
            "status",
            "error_type",
            "category",
            "type",
        ];
        Self {
            words: codes.iter().filter_map(|code| text(&[*code])).collect(),
            code: text(&codes).or_else(|| number().map(|code| code.to_string())),
            message: text(&["message", "err_msg", "error_message"]),
            request_id: text(&["request_id"]),
            ..Self::default()
        }
    }

    /// FastAPI's list of validation errors, of which the first is enough.
    fn from_validation(details: &[Value]) -> Self {
        let Some(first) = details.first().and_then(Value::as_object) else {
            return Self::default();
        };
        let place = first.get("loc").and_then(Value::as_array).map(|place| {
            let steps = place
                .iter()
                .map(|step| step.as_str().map_or_else(|| step.to_string(), str::to_owned));
            steps.collect::<Vec<_>>().join(".")
        });
        let message = first.get("msg").and_then(Value::as_str).map(|message| match place {
            Some(place) => format!("{place}: {message}"),
            None => message.to_owned(),
        });
        let code = first.get("type").and_then(Value::as_str).map(str::to_owned);
        Self {
            code,
            message,
            ..Self::default()
        }
    }
}

/// The sentence beside a code in `error`.
fn description(body: &Map<String, Value>) -> Option<String> {
    let text = ["error_description", "info"]
        .iter()
        .find_map(|name| body.get(*name)?.as_str())?;
    Some(text.to_owned())
}

/// What Google says in the details of an error.
#[derive(Default)]
struct Details {
    reasons: Vec<String>,
    quotas: Vec<String>,
    retry_delay: Option<String>,
}

impl Details {
    fn of(error: &Map<String, Value>) -> Self {
        let details = error
            .get("details")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        let text = |value: &Value, field: &str| Some(value.get(field)?.as_str()?.to_owned());
        let violations = details
            .iter()
            .filter_map(|detail| detail.get("violations")?.as_array())
            .flatten();
        Self {
            reasons: details.iter().filter_map(|detail| text(detail, "reason")).collect(),
            quotas: violations.filter_map(|violation| text(violation, "quotaId")).collect(),
            retry_delay: details.iter().find_map(|detail| text(detail, "retryDelay")),
        }
    }
}

/// A code in one spelling: providers write `quota_exceeded`, `QuotaExceeded` and `QUOTA_EXCEEDED`.
fn plain(code: &str) -> String {
    let letters = code.chars().filter(char::is_ascii_alphanumeric);
    letters.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests;
