//! Replies without a token: their class of error, and the message about it.

use serde_json::{Map, Value};

use super::reply::Reply;
use super::retry_after::retry_after;
use super::scrub;
use super::{Credential, Endpoint, To};
use crate::providers::Provider;
use crate::token::MintError;

/// What a status means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The body holds the token.
    Granted,
    /// Too many requests: wait.
    Throttled,
    /// Try again.
    Unavailable,
    /// Asking again changes nothing.
    Rejected,
}

impl Class {
    /// What it means with all providers but those that override [`Provider::class`].
    pub(crate) const fn usual(status: u16) -> Self {
        match status {
            200..=299 => Self::Granted,
            429 => Self::Throttled,
            408 | 409 | 500..=599 => Self::Unavailable,
            _ => Self::Rejected,
        }
    }
}

/// The error for a reply whose status is not 2xx.
pub(crate) fn refusal(provider: &dyn Provider, credential: &Credential, reply: &Reply) -> MintError {
    let status = reply.status.as_u16();
    let error_body = ErrorBody::read(&reply.body);
    let wrong_key = error_body.is_wrong_key(status, provider);
    let message = message(provider, credential, reply, error_body);
    match provider.class(status) {
        Class::Throttled => {
            let retry_after = retry_after(&reply.headers, reply.clocks.arrival());
            MintError::Throttled { retry_after, message }
        }
        Class::Unavailable => MintError::Unavailable { message },
        Class::Granted | Class::Rejected => MintError::Rejected {
            credential: wrong_key,
            message,
        },
    }
}

/// The host that answered.
#[derive(Clone, Debug)]
pub(crate) struct Responder {
    /// Its name in messages.
    pub(crate) name: String,
    /// Whether it is a host of the provider's own, whose messages may be repeated.
    pub(crate) built_in: bool,
}

/// The host that answers a request to this address.
pub(crate) fn responder(provider: &dyn Provider, to: &To) -> Responder {
    let (name, built_in) = match (to, provider.endpoint()) {
        (
            To::Service {
                title, built_in: true, ..
            },
            _,
        ) => ((*title).to_owned(), true),
        (To::Service { origin, .. }, _) => (format!("The endpoint {origin}"), false),
        (To::Endpoint, Endpoint::BuiltIn(_) | Endpoint::Tenant(_) | Endpoint::Local) => {
            (provider.title().to_owned(), true)
        }
        (To::Endpoint, Endpoint::Custom(origin)) => (format!("The endpoint {origin}"), false),
    };
    Responder { name, built_in }
}

fn message(provider: &dyn Provider, credential: &Credential, reply: &Reply, error_body: ErrorBody) -> String {
    let status = reply.status.as_u16();
    let answered = format!("{} answered {status}", reply.responder.name);
    let also = format!(
        "Check the provider block of the spec, and the API key: {} answers 400 for a wrong key too.",
        provider.title()
    );
    let hint = match status {
        400 if provider.facts().wrong_key_is_400 => also.as_str(),
        status => match (provider.class(status), Class::usual(status)) {
            (Class::Throttled, usual) if usual != Class::Throttled => hint(429),
            (Class::Unavailable, usual) if usual != Class::Unavailable => hint(503),
            _ => hint(status),
        },
    };
    // The body of a user-defined endpoint is not repeated: a status message must not become a way to read from inside
    // the network.
    if !reply.responder.built_in {
        return format!("{answered}. {hint}");
    }

    let word = |text: Option<&str>| text.and_then(|text| scrub::word(text, credential)).map(str::to_owned);
    let code = word(error_body.code.as_deref())
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    let text = error_body
        .message
        .map(|text| scrub::scrub(&text, credential))
        .unwrap_or_default();
    let text = text.trim_end_matches(['.', ' ']);
    let text = if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    };
    let header = ["x-request-id", "apim-request-id"]
        .iter()
        .find_map(|name| reply.headers.get(*name)?.to_str().ok());
    let request_id = word(header.or(error_body.request_id.as_deref()));
    let request_id = request_id.map(|id| format!(" Request id {id}.")).unwrap_or_default();
    format!("{answered}{code}{text}. {hint}{request_id}")
}

fn hint(status: u16) -> &'static str {
    match status {
        300..=399 => {
            "Redirects are never followed, so that the key stays with the host it is for: check the endpoint and any \
             proxy on the way."
        }
        400 | 422 => "Check the provider block of the spec.",
        401 => "Check the API key in the Secret.",
        403 => "Check the API key in the Secret, and whether its account may do this.",
        404 | 410 => "Check the model or agent id in the spec, and whether the API key belongs to its account.",
        429 => "The provider limits this API key: mints with it wait.",
        408 | 409 | 500..=599 => "The provider is having trouble: the mint will be tried again.",
        _ => "That is not an answer of the API: check the endpoint and any proxy on the way.",
    }
}

/// The fields of an error body, whichever shape it has.
#[derive(Debug, Default, PartialEq)]
struct ErrorBody {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
}

impl ErrorBody {
    /// Whether it is the key that was refused. A key that only looks wrong is worth another look at once; a wrong
    /// spec isn't helped by a new key.
    fn is_wrong_key(&self, status: u16, provider: &dyn Provider) -> bool {
        let code = |known: &[&str]| {
            let code = self.code.as_deref().unwrap_or_default();
            known.iter().any(|known| code.eq_ignore_ascii_case(known))
        };
        match status {
            401 | 403 => true,
            // OAuth (RFC 6749) and Google refuse a client and a key with 400.
            400 if code(&[
                "API_KEY_INVALID",
                "invalid_client",
                "unauthorized_client",
                "invalid_api_key",
            ]) =>
            {
                true
            }
            400 if provider.facts().wrong_key_is_400 => {
                let text = self.message.as_deref().unwrap_or_default().to_ascii_lowercase();
                text.contains("api key")
            }
            _ => false,
        }
    }

    /// Reads the error shapes of all providers (`{"error": {..}}`, `{"detail": ..}`, flat). A body that isn't JSON
    /// is ignored: it is rarely the provider that sent it.
    fn read(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => Self::from_object(&body),
            Ok(Value::String(message)) => Self::of(None, Some(message)),
            _ => Self::default(),
        }
    }

    fn of(code: Option<String>, message: Option<String>) -> Self {
        Self {
            code,
            message,
            request_id: None,
        }
    }

    fn from_object(body: &Map<String, Value>) -> Self {
        let inner = match (body.get("error"), body.get("detail")) {
            (Some(Value::Object(error)), _) => Self {
                code: reason(error).or(Self::from_fields(error).code),
                ..Self::from_fields(error)
            },
            (Some(Value::String(error)), Some(Value::String(detail))) => {
                Self::of(None, Some(format!("{error}: {detail}")))
            }
            (_, Some(Value::Object(detail))) => Self::from_fields(detail),
            (_, Some(Value::Array(details))) => Self::from_validation(details),
            (_, Some(Value::String(detail))) => Self::of(None, Some(detail.clone())),
            // OAuth (RFC 6749) and Daily: `error` is a code if the sentence is in another field.
            (Some(Value::String(error)), _) => match description(body) {
                Some(sentence) => Self::of(Some(error.clone()), Some(sentence)),
                None => Self::of(None, Some(error.clone())),
            },
            _ => Self::default(),
        };
        let outer = Self::from_fields(body);
        Self {
            code: inner.code.or(outer.code),
            message: inner.message.or(outer.message),
            request_id: inner.request_id.or(outer.request_id),
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
        Self {
            code: text(&[
                "code",
                "err_code",
                "error_code",
                "status",
                "error_type",
                "category",
                "type",
            ])
            .or_else(|| number().map(|code| code.to_string())),
            message: text(&["message", "err_msg", "error_message"]),
            request_id: text(&["request_id"]),
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
        Self::of(code, message)
    }
}

/// The sentence beside a code in `error`.
fn description(body: &Map<String, Value>) -> Option<String> {
    let text = ["error_description", "info"]
        .iter()
        .find_map(|name| body.get(*name)?.as_str())?;
    Some(text.to_owned())
}

/// Google's code for what is wrong, within the details.
fn reason(error: &Map<String, Value>) -> Option<String> {
    let details = error.get("details")?.as_array()?;
    let reason = details.iter().find_map(|detail| detail.get("reason")?.as_str())?;
    Some(reason.to_owned())
}

#[cfg(test)]
mod tests;
