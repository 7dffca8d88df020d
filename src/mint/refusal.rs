//! Replies without a token: their class of error, and the message about it.

use super::cause::Cause;
use super::error_body::ErrorBody;
use super::reply::Reply;
use super::request::component;
use super::retry_after::{retry_after, retry_after_of_limit};
use super::scrub;
use super::{Credential, Endpoint, Mint, To};
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

/// The error for a reply whose status is not 2xx. Code and type of its body come before the status, unless the block
/// itself says what the status means.
pub(crate) fn refusal(provider: &dyn Provider, mint: &Mint<'_>, reply: &Reply) -> MintError {
    let status = reply.status.as_u16();
    let class = provider.class(status);
    let error_body = ErrorBody::read(&reply.body);
    let cause = if class == Class::usual(status) {
        Cause::of(provider, status, &error_body, mint.ask)
    } else {
        Cause::Status
    };
    let message = message(provider, mint, reply, &error_body, &cause);
    let (delay, arrival) = (error_body.retry_delay.as_deref(), reply.clocks.arrival());
    match class {
        _ if cause == Cause::Quota => MintError::QuotaExhausted { message },
        Class::Throttled => MintError::Throttled {
            retry_after: retry_after_of_limit(&reply.headers, delay, arrival),
            message,
        },
        Class::Unavailable => MintError::Unavailable {
            retry_after: retry_after(&reply.headers, delay, arrival),
            message,
        },
        Class::Granted | Class::Rejected => MintError::Rejected {
            credential: cause.is_of_the_key(),
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

/// The message with what the provider said, unless that repeats the subject of a request, which is personal data.
fn message(provider: &dyn Provider, mint: &Mint<'_>, reply: &Reply, error_body: &ErrorBody, cause: &Cause) -> String {
    let with = |quotes| message_with(provider, mint.credential, reply, error_body, cause, quotes);
    let message = with(reply.responder.built_in);
    if repeats(&message, mint.subject) {
        with(false)
    } else {
        message
    }
}

/// Whether a text holds the subject of a request, as it was sent or encoded for a URL.
pub(super) fn repeats(text: &str, subject: Option<&str>) -> bool {
    subject.is_some_and(|subject| text.contains(subject) || text.contains(&component(subject)))
}

fn message_with(
    provider: &dyn Provider,
    credential: &Credential,
    reply: &Reply,
    error_body: &ErrorBody,
    cause: &Cause,
    quotes: bool,
) -> String {
    let status = reply.status.as_u16();
    let answered = format!("{} answered {status}", reply.responder.name);
    // The body of a user-defined endpoint is not repeated: a status message must not become a way to read from inside
    // the network.
    if !quotes {
        // Of a permission only the kind is known here; its name is the endpoint's text.
        let cause = match cause {
            Cause::Permission(_) => &Cause::Permission(None),
            other => other,
        };
        return format!("{answered}. {}", hint_for(provider, credential, status, cause));
    }
    let cause = match cause {
        Cause::Permission(Some(name)) if !scrub::is_clean(name, credential) => &Cause::Permission(None),
        other => other,
    };
    // A message about a key may repeat parts of it, in forms that no search finds.
    let quoted = match status {
        401 | 403 => code(error_body, credential),
        _ => quoted(error_body, credential),
    };
    let header = ["x-request-id", "apim-request-id"]
        .iter()
        .find_map(|name| reply.headers.get(*name)?.to_str().ok());
    let request_id = header
        .or(error_body.request_id.as_deref())
        .and_then(|id| scrub::word(id, credential))
        .map(|id| format!(" Request id {id}."))
        .unwrap_or_default();
    let hint = hint_for(provider, credential, status, cause);
    format!("{answered}{quoted}. {hint}{request_id}")
}

/// The error's code and message, ready to follow other words.
pub(super) fn quoted(error_body: &ErrorBody, credential: &Credential) -> String {
    let code = code(error_body, credential);
    let text = error_body.message.as_deref().map(|text| scrub::scrub(text, credential));
    let text = text.unwrap_or_default();
    let text = text.trim_end_matches(['.', ' ']);
    if text.is_empty() {
        code
    } else {
        format!("{code}: {text}")
    }
}

/// The error's code in brackets, and Microsoft Entra's own where there is one.
pub(super) fn code(error_body: &ErrorBody, credential: &Credential) -> String {
    let entra = error_body.message.as_deref().and_then(|text| text.split(':').next());
    let entra = entra.filter(|text| text.starts_with("AADSTS"));
    let codes: Vec<_> = [error_body.code.as_deref(), entra]
        .into_iter()
        .flatten()
        .filter_map(|code| scrub::word(code, credential))
        .collect();
    if codes.is_empty() {
        String::new()
    } else {
        format!(" ({})", codes.join(", "))
    }
}

fn hint_for(provider: &dyn Provider, credential: &Credential, status: u16, cause: &Cause) -> String {
    if credential.is_access_token() && cause.is_of_the_key() {
        return "The access token comes from credentials.workloadIdentity: check what its identity may do at the provider."
            .to_owned();
    }
    if let Some(hint) = cause.hint(credential, provider.bound_model()) {
        return hint;
    }
    if *cause == Cause::Key && status == 400 {
        return hint(401, credential);
    }
    if status == 400 && provider.facts().wrong_key_is_400 {
        let title = provider.title();
        return format!(
            "Check the provider block of the spec, and the API key: {title} answers 400 for a wrong key too."
        );
    }
    let status = match (provider.class(status), Class::usual(status)) {
        (Class::Throttled, usual) if usual != Class::Throttled => 429,
        (Class::Unavailable, usual) if usual != Class::Unavailable => 503,
        _ => status,
    };
    hint(status, credential)
}

pub(super) fn hint(status: u16, credential: &Credential) -> String {
    let place = credential.place();
    let asked_once = credential.is_asked_once();
    let hint = match status {
        300..=399 => {
            "Redirects are never followed, so that the key stays with the host it is for: check the endpoint and any \
             proxy on the way."
        }
        400 | 422 => "Check the provider block of the spec.",
        401 => return format!("Check the API key in {place}."),
        403 => return format!("Check the API key in {place}, and whether its account may do this."),
        404 | 410 => "Check the model or agent id in the spec, and whether the API key belongs to its account.",
        429 if asked_once => "The provider limits this API key: wait, then try again.",
        429 => {
            "The provider limits this API key: mints with it wait. If it lasts, raise the limit at the provider or ask \
             for longer lives with expirationSeconds."
        }
        405 => "The API has no such call at this address: check the endpoint, and what it supports.",
        413 => "The request is too large: shorten the session in the spec.",
        415 => "The API does not take a body of this kind: check the endpoint, and the body and headers in the spec.",
        408 | 409 | 500..=599 if asked_once => "The provider is having trouble: try again later.",
        408 | 409 | 500..=599 => "The provider is having trouble: the mint will be tried again.",
        _ => "That is not an answer of the API: check the endpoint and any proxy on the way.",
    };
    hint.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_repeated_as_it_is_or_encoded() {
        let repeats = |text| repeats(text, Some("ann b"));
        assert!(repeats("no user ann b here") && repeats("no /users/ann%20b here"));
        assert!(!repeats("no user ann here") && !super::repeats("ann b", None));
    }

    #[test]
    fn every_status_has_its_hint() {
        let credential = Credential::new([("api-key", "sk-1".into())]);
        let hint_of = |status| hint(status, &credential);
        assert!(hint_of(302).starts_with("Redirects are never followed"));
        assert!(hint_of(403).contains("whether its account may do this"));
        assert!(hint_of(429).contains("mints with it wait") && hint_of(500).contains("will be tried again"));
        let once = credential.clone().asked_once();
        let hint_of = |status| hint(status, &once);
        assert!(hint_of(429).ends_with("wait, then try again.") && hint_of(500).ends_with("try again later."));
    }
}
