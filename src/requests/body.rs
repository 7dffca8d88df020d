//! The body of a request: nothing, or a JSON object with a subject and overrides. What it may say is not checked here.

use std::time::Duration;

use axum::body::Body;
use futures::StreamExt;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Map, Value};

use super::problem::Problem;
use super::strict_json;
use crate::api::{MOST_VALUES, count_values};

/// The longest body. The longest session config that a RealtimeToken may have is shorter.
pub(super) const LONGEST: usize = 64 * 1024;
/// From the end of the headers to the end of the body.
pub(super) const WITHIN: Duration = Duration::from_secs(10);

/// What a caller asks for. Has no `Debug`: it holds the subject.
#[derive(Default)]
pub(crate) struct Asked {
    pub(crate) subject: Option<String>,
    pub(crate) overrides: Option<Map<String, Value>>,
}

/// Reads the body, bounded in length and time.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Asked, Problem> {
    let stated = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    let stated = stated.and_then(|text| text.parse::<usize>().ok());
    if stated.is_some_and(|length| length > LONGEST) {
        return Err(Problem::body_too_large(LONGEST));
    }
    let bytes = tokio::time::timeout(WITHIN, collect(body)).await;
    let bytes = bytes.map_err(|_| Problem::body_too_slow(WITHIN.as_secs()))??;
    if bytes.is_empty() {
        return Ok(Asked::default());
    }
    if !is_json(headers) {
        return Err(Problem::not_json());
    }
    parse(&bytes)
}

async fn collect(body: Body) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Problem::malformed("the body broke off"))?;
        if bytes.len() + chunk.len() > LONGEST {
            return Err(Problem::body_too_large(LONGEST));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// `application/json`, whatever its parameters: JSON is UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = value.and_then(|value| value.split(';').next());
    media_type.is_some_and(|text| text.trim().eq_ignore_ascii_case("application/json"))
}

fn parse(bytes: &[u8]) -> Result<Asked, Problem> {
    // Parsed, short values take forty times their text.
    let count = count_values(bytes);
    if count > MOST_VALUES {
        return Err(Problem::malformed(format!(
            "the body has {count} objects, lists and values where {MOST_VALUES} are allowed"
        )));
    }
    let fields = match strict_json::parse(bytes) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) => return Err(Problem::malformed("the body must be a JSON object")),
        Err(problem) => return Err(Problem::malformed(format!("the body is no valid JSON: {problem}"))),
    };
    let mut asked = Asked::default();
    for (field, value) in fields {
        match (field.as_str(), value) {
            ("subject", Value::String(subject)) => asked.subject = Some(subject),
            ("subject", _) => return Err(Problem::malformed("subject must be a string")),
            ("overrides", Value::Object(overrides)) => asked.overrides = Some(overrides),
            ("overrides", _) => return Err(Problem::malformed("overrides must be an object")),
            _ => {
                return Err(Problem::malformed(
                    "the body may have the fields subject and overrides only",
                ));
            }
        }
    }
    Ok(asked)
}

/// What a body asks for, if it may be asked.
#[cfg(any(test, fuzzing))]
pub(crate) fn asked_in(bytes: &[u8]) -> Option<Asked> {
    parse(bytes).ok()
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, StatusCode};

    use super::*;

    async fn status(content_type: Option<&'static str>, body: impl Into<Body>) -> u16 {
        let mut headers = HeaderMap::new();
        if let Some(text) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(text));
        }
        let result = read(&headers, body.into()).await;
        result.err().map_or(200, |problem| problem.status.as_u16())
    }

    const JSON: Option<&str> = Some("application/json");

    #[tokio::test]
    async fn a_body_has_a_bounded_number_of_values() {
        let body = |count: usize| format!(r#"{{"overrides":{{"x":[0{}]}}}}"#, ",0".repeat(count));
        assert_eq!(status(JSON, body(MOST_VALUES / 2)).await, 200);
        assert_eq!(status(JSON, body(MOST_VALUES)).await, 400);
    }

    #[tokio::test]
    async fn a_body_is_empty_or_a_json_object_that_is_said_to_be_one() {
        for (content_type, body, expected) in [
            (None, "", 200),
            (JSON, "", 200),
            (JSON, "{}", 200),
            (Some("application/json; charset=utf-8"), "{}", 200),
            (
                Some("Application/JSON"),
                r#" {"subject": "u", "overrides": {"a": 1}} "#,
                200,
            ),
            (None, "{}", 415),
            (Some("application/x-www-form-urlencoded"), "{}", 415),
            (Some("application/jsonx"), "{}", 415),
            (JSON, " ", 400),
            (JSON, "{", 400),
            (JSON, "[]", 400),
            (JSON, "null", 400),
            (JSON, r#"{"subject": 1}"#, 400),
            (JSON, r#"{"subject": null}"#, 400),
            (JSON, r#"{"overrides": []}"#, 400),
            (JSON, r#"{"overrides": null}"#, 400),
            (JSON, r#"{"Subject": "u"}"#, 400),
            (JSON, r#"{"__proto__": {}}"#, 400),
            (JSON, r#"{"subject": "a", "subject": "b"}"#, 400),
            (JSON, r#"{"subject": "a", "\u0073ubject": "b"}"#, 400),
            (JSON, r#"{"overrides": {"a": {"b": 1, "b": 2}}}"#, 400),
            (JSON, "{} {}", 400),
        ] {
            assert_eq!(status(content_type, body).await, expected, "{content_type:?} {body}");
        }
        assert_eq!(status(JSON, b"{\"subject\": \"\xff\"}".to_vec()).await, 400, "no UTF-8");
    }

    #[tokio::test]
    async fn a_long_body_is_refused_whether_its_length_is_stated_or_not() {
        let long = format!("{{\"subject\": \"{}\"}}", "x".repeat(LONGEST));
        assert_eq!(status(JSON, long.clone()).await, 413);
        let chunks = futures::stream::iter(vec![long; 3].into_iter().map(Ok::<_, std::io::Error>));
        assert_eq!(status(JSON, Body::from_stream(chunks)).await, 413);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_LENGTH, HeaderValue::from_static("65537"));
        let unread = Body::from_stream(futures::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        let problem = read(&headers, unread).await.err().unwrap();
        assert_eq!(problem.status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_is_given_up() {
        let trickle = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            Some((Ok::<_, std::io::Error>(" "), ()))
        });
        assert_eq!(status(JSON, Body::from_stream(trickle)).await, 408);
    }

    #[tokio::test]
    async fn a_deep_body_does_not_exhaust_the_stack() {
        let deep = format!(
            "{{\"overrides\": {{\"a\": {}{}}}}}",
            "[".repeat(30_000),
            "]".repeat(30_000)
        );
        assert_eq!(status(JSON, deep).await, 400);
    }
}
