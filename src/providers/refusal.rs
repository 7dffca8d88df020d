//! Replies that grant nothing: which class of error, and what to say about it.

use serde_json::{Map, Value};

use super::reply::Reply;
use super::retry_after::retry_after;
use super::{Credential, Endpoint, MintError, Provider, scrub};

/// The error for a reply whose status is not 2xx.
pub(super) fn refusal(
    provider: &dyn Provider,
    credential: &Credential,
    reply: &Reply,
) -> MintError {
    let status = reply.status.as_u16();
    let message = message(provider, credential, reply);
    match status {
        429 => {
            let retry_after = retry_after(&reply.headers, reply.clocks.arrival());
            MintError::Throttled {
                retry_after,
                message,
            }
        }
        408 | 409 | 500..=599 => MintError::Unavailable { message },
        401 | 403 => MintError::Rejected {
            credential: true,
            message,
        },
        _ => MintError::Rejected {
            credential: false,
            message,
        },
    }
}

/// Who answered, as messages say it.
pub(super) fn speaker(provider: &dyn Provider) -> String {
    match provider.endpoint() {
        Endpoint::BuiltIn(_) => provider.title().to_owned(),
        Endpoint::Custom(origin) => format!("The endpoint {origin}"),
    }
}

fn message(provider: &dyn Provider, credential: &Credential, reply: &Reply) -> String {
    let status = reply.status.as_u16();
    let answered = format!("{} answered {status}", speaker(provider));
    let hint = hint(status);
    // What a user-defined endpoint says stays unread: a status message must not become a way to read from inside the
    // network what one can't reach.
    if matches!(provider.endpoint(), Endpoint::Custom(_)) {
        return format!("{answered}. {hint}");
    }

    let told = Told::read(&reply.body);
    let word = |text: Option<&str>| {
        text.and_then(|text| scrub::word(text, credential))
            .map(str::to_owned)
    };
    let code = word(told.code.as_deref())
        .map(|code| format!(" ({code})"))
        .unwrap_or_default();
    let text = told
        .message
        .map(|text| scrub::scrub(&text, credential))
        .unwrap_or_default();
    let text = text.trim_end_matches(['.', ' ']);
    let text = if text.is_empty() {
        String::new()
    } else {
        format!(": {text}")
    };
    let header = reply
        .headers
        .get("x-request-id")
        .and_then(|id| id.to_str().ok());
    let request_id = word(header.or(told.request_id.as_deref()));
    let request_id = request_id
        .map(|id| format!(" Request id {id}."))
        .unwrap_or_default();
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
        404 | 410 => {
            "Check the model or agent id in the spec, and whether the API key belongs to its account."
        }
        429 => "The provider limits this API key: mints with it wait.",
        408 | 409 | 500..=599 => "The provider is having trouble: the mint will be tried again.",
        _ => "That is not an answer of the API: check the endpoint and any proxy on the way.",
    }
}

/// What an error body says, in whichever shape.
#[derive(Debug, Default, PartialEq)]
struct Told {
    code: Option<String>,
    message: Option<String>,
    request_id: Option<String>,
}

impl Told {
    /// Reads the error shapes of all providers (`{"error": {..}}`, `{"detail": ..}`, flat). A body that isn't JSON
    /// says nothing: it is rarely the provider that sent it.
    fn read(body: &[u8]) -> Self {
        match serde_json::from_slice(body) {
            Ok(Value::Object(body)) => Self::from_object(&body),
            Ok(Value::String(message)) => Self {
                message: Some(message),
                ..Self::default()
            },
            _ => Self::default(),
        }
    }

    fn from_object(body: &Map<String, Value>) -> Self {
        let inner = match (body.get("error"), body.get("detail")) {
            (Some(Value::Object(error)), _) => Self::from_fields(error),
            (_, Some(Value::Object(detail))) => Self::from_fields(detail),
            (_, Some(Value::Array(details))) => Self::from_validation(details),
            (_, Some(Value::String(detail))) => Self {
                message: Some(detail.clone()),
                ..Self::default()
            },
            (Some(Value::String(error)), _) => Self {
                message: Some(error.clone()),
                ..Self::default()
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
        // A word before a number: Google's numbers only repeat the HTTP status.
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

    /// FastAPI's list of validation errors, of which the first tells enough.
    fn from_validation(details: &[Value]) -> Self {
        let Some(first) = details.first().and_then(Value::as_object) else {
            return Self::default();
        };
        let place = first.get("loc").and_then(Value::as_array).map(|place| {
            let steps = place.iter().map(|step| {
                step.as_str()
                    .map_or_else(|| step.to_string(), str::to_owned)
            });
            steps.collect::<Vec<_>>().join(".")
        });
        let message = first
            .get("msg")
            .and_then(Value::as_str)
            .map(|message| match place {
                Some(place) => format!("{place}: {message}"),
                None => message.to_owned(),
            });
        let code = first.get("type").and_then(Value::as_str).map(str::to_owned);
        Self {
            code,
            message,
            request_id: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> (Option<String>, Option<String>) {
        let told = Told::read(body.as_bytes());
        (told.code, told.message)
    }

    #[test]
    fn every_shape() {
        for (shape, code, message) in [
            (
                r#"{"error":{"message":"M","type":"T","param":null,"code":"C"}}"#,
                "C",
                "M",
            ),
            (
                r#"{"error":{"message":"M","type":"T","param":null,"code":null}}"#,
                "T",
                "M",
            ),
            (
                r#"{"error":{"code":400,"message":"M","status":"INVALID_ARGUMENT"}}"#,
                "INVALID_ARGUMENT",
                "M",
            ),
            (r#"{"code":"C","error":"M"}"#, "C", "M"),
            (
                r#"{"detail":{"type":"T","code":"C","message":"M","status":"S","request_id":"R"}}"#,
                "C",
                "M",
            ),
            (r#"{"detail":{"status":"S","message":"M"}}"#, "S", "M"),
            (
                r#"{"detail":[{"loc":["query","agent_id"],"msg":"Field required","type":"missing"}]}"#,
                "missing",
                "query.agent_id: Field required",
            ),
            (
                r#"{"detail":[{"loc":["body",0,"x"],"msg":"M","type":"T"}]}"#,
                "T",
                "body.0.x: M",
            ),
            (
                r#"{"err_code":"C","err_msg":"M","request_id":"R"}"#,
                "C",
                "M",
            ),
            (
                r#"{"category":"C","message":"M","details":"D","request_id":"R"}"#,
                "C",
                "M",
            ),
            (
                r#"{"status_code":401,"error_type":"C","message":"M","request_id":"R"}"#,
                "C",
                "M",
            ),
            (
                r#"{"error_code":401,"error_type":"C","error_message":"M"}"#,
                "C",
                "M",
            ),
            (
                r#"{"code":20003,"message":"M","more_info":"I","status":401}"#,
                "20003",
                "M",
            ),
            (r#"{"code":401,"error":"E","detail":"M"}"#, "401", "M"),
            (r#"{"status":"error","message":"M"}"#, "error", "M"),
        ] {
            assert_eq!(
                told(shape),
                (Some(code.into()), Some(message.into())),
                "{shape}"
            );
        }
        assert_eq!(told(r#"{"detail":"M"}"#), (None, Some("M".into())));
        assert_eq!(told(r#""M""#), (None, Some("M".into())));
    }

    #[test]
    fn the_request_id_is_found_inside_and_outside() {
        let id = |body: &str| Told::read(body.as_bytes()).request_id;
        assert_eq!(
            id(r#"{"detail":{"message":"M","request_id":"R"}}"#).as_deref(),
            Some("R")
        );
        assert_eq!(
            id(r#"{"err_msg":"M","request_id":"R"}"#).as_deref(),
            Some("R")
        );
    }

    #[test]
    fn what_has_no_shape_says_nothing() {
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "17",
            "<html>sk-secret</html>",
            r#"{"error":{}}"#,
            r#"{"detail":[]}"#,
            r#"{"error":{"message":"cut o"#,
        ] {
            assert_eq!(told(body), (None, None), "{body}");
        }
    }
}
