//! Every answer that is not a token: `application/problem+json` as in RFC 9457, with a reason in the words of the
//! conditions. The texts say what to do, and hold nothing secret.

use axum::body::Body;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::target::Target;
use crate::api::{GROUP, REQUESTS_AUDIENCE, Reason};
use crate::text::escaped;

/// What a caller sent is quoted up to this length.
const QUOTED: usize = 128;

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// CamelCase, also the outcome in metrics: from a fixed list.
    pub(super) reason: &'static str,
    pub(super) detail: String,
    /// Seconds after which asking again makes sense.
    pub(super) retry_after: Option<u64>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            reason,
            detail: escaped(&detail.into()).into_owned(),
            retry_after: None,
        }
    }

    pub(super) fn of(status: StatusCode, reason: Reason, detail: impl Into<String>) -> Self {
        Self::new(status, reason.as_str(), detail)
    }

    /// Says when to ask again, at least a second from now.
    pub(super) fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds.max(1));
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        #[derive(Serialize)]
        struct Json<'a> {
            #[serde(rename = "type")]
            type_: &'static str,
            title: &'a str,
            status: u16,
            detail: &'a str,
            reason: &'static str,
        }
        let json = serde_json::to_vec(&Json {
            type_: "about:blank",
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            reason: self.reason,
        });
        // Strings and a number: serde_json can't fail on them.
        let mut response = Response::new(Body::from(json.unwrap_or_default()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        match self.status {
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.insert(ALLOW, HeaderValue::from_static("POST"));
            }
            StatusCode::UNAUTHORIZED => {
                if let Ok(challenge) = HeaderValue::try_from(format!("Bearer realm=\"{GROUP}\"")) {
                    headers.insert(WWW_AUTHENTICATE, challenge);
                }
            }
            _ => {}
        }
        response
    }
}

/// The problems that callers have with the request itself.
impl Problem {
    pub(super) fn no_such_path() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "NoSuchPath",
            "there is only POST /v1alpha1/namespaces/{namespace}/realtimetokens/{name}/token; the whole URL is in the \
             key request-url of the RealtimeToken's Secret",
        )
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "ask with POST")
    }

    pub(super) fn no_bearer_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Unauthenticated",
            format!(
                "send `Authorization: Bearer <token>` with a ServiceAccount token: mount a projected volume with \
                 `serviceAccountToken: {{audience: {REQUESTS_AUDIENCE}, path: token}}` and read the file for each request"
            ),
        )
    }

    pub(super) fn invalid_bearer_token() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "Unauthenticated",
            format!(
                "the bearer token is not valid here: it has expired, is bound to a pod that is gone, or is not of \
                 audience {REQUESTS_AUDIENCE}. Mount a projected volume with `serviceAccountToken: {{audience: {REQUESTS_AUDIENCE}, path: \
                 token}}` and read the file for each request"
            ),
        )
    }

    pub(super) fn forbidden(user: &str, target: &Target) -> Self {
        let Target { namespace, name } = target;
        Self::new(
            StatusCode::FORBIDDEN,
            "Forbidden",
            format!(
                "{} may not request tokens of RealtimeToken {name} in namespace {namespace}: bind it there to a Role \
                 with the rule {{apiGroups: [{GROUP}], resources: [realtimetokens/token], resourceNames: \
                 [{name}], verbs: [create]}}. A new rule is noticed within 10 s",
                quoted(user)
            ),
        )
    }

    /// The same words for one that does not exist and for one without `spec.requests`.
    pub(super) fn no_such_token(target: &Target) -> Self {
        let Target { namespace, name } = target;
        Self::new(
            StatusCode::NOT_FOUND,
            "NotFound",
            format!("there is no RealtimeToken {name} with spec.requests in namespace {namespace}"),
        )
    }

    pub(super) fn suspended() -> Self {
        Self::of(
            StatusCode::CONFLICT,
            Reason::Suspended,
            "the RealtimeToken is suspended: nothing is minted until spec.suspend is false",
        )
    }

    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "MalformedRequest", why)
    }

    pub(super) fn body_too_large(most: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "BodyTooLarge",
            format!("the body may have at most {most} bytes"),
        )
    }

    pub(super) fn body_too_slow(seconds: u64) -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "BodyTooSlow",
            format!("the body did not arrive within {seconds} s"),
        )
    }

    pub(super) fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "UnsupportedMediaType",
            "a body must have the header `Content-Type: application/json`",
        )
    }

    pub(super) fn subject_required() -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "SubjectRequired",
            "say who the token is for: {\"subject\": \"…\"} with an opaque id of the end user; the RealtimeToken has \
             requests.subject: Required",
        )
    }

    pub(super) fn not_overridable(field: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "NotOverridable",
            format!(
                "{} may not be overridden: the RealtimeToken's requests.overridable does not list it; \
                 leave it out, or add it there",
                quoted(field)
            ),
        )
    }

    pub(super) fn invalid(problem: &str) -> Self {
        Self::of(StatusCode::UNPROCESSABLE_ENTITY, Reason::InvalidSpec, problem)
    }
}

/// The problems that time, or another person than the caller, must solve.
impl Problem {
    pub(super) fn not_ready() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "NotReady",
            "this replica of the operator has just started and does not know all RealtimeTokens yet",
        )
        .retry_after(1)
    }

    /// Not `TooManyRequests`, which one caller causes: no alert about failing requests counts that.
    pub(super) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Overloaded",
            "this replica of the operator is answering as many requests as it can",
        )
        .retry_after(1)
    }

    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "the operator failed over this request, which is a bug in it; its log says where",
        )
    }

    pub(super) fn api_server_away() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ApiServerUnavailable",
            "the Kubernetes API server did not say whether this caller may have a token",
        )
        .retry_after(1)
    }

    pub(super) fn too_many_of_caller(most: usize) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            format!("{most} requests of this ServiceAccount are being answered by this replica: await some of them"),
        )
        .retry_after(1)
    }

    pub(super) fn too_many_unknown() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRequests",
            "too many bearer tokens from this address are being reviewed",
        )
        .retry_after(1)
    }

    pub(super) fn too_many_rejected(seconds: u64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyRejectedTokens",
            "too many bearer tokens that are not valid came from this address",
        )
        .retry_after(seconds)
    }

    pub(super) fn too_many_forbidden(seconds: u64) -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "TooManyForbidden",
            "this caller has asked too often for RealtimeTokens whose tokens it may not request",
        )
        .retry_after(seconds)
    }

    pub(super) fn too_slow() -> Self {
        Self::of(
            StatusCode::GATEWAY_TIMEOUT,
            Reason::ProviderUnavailable,
            "the provider gave no token in time. It may have minted one that nobody has: asking again mints another",
        )
    }
}

/// What a caller sent, as it may stand in an answer.
fn quoted(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn parts(problem: Problem) -> (http::HeaderMap, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.headers, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn is_problem_json_with_status_title_detail_and_reason() {
        let (headers, body) = parts(Problem::busy()).await;
        assert_eq!(headers["content-type"], "application/problem+json");
        assert_eq!(headers["cache-control"], "no-store");
        assert_eq!(headers["retry-after"], "1");
        let expected = json!({
            "type": "about:blank", "title": "Service Unavailable", "status": 503, "reason": "Overloaded",
            "detail": "this replica of the operator is answering as many requests as it can",
        });
        assert_eq!(body, expected);
    }

    #[tokio::test]
    async fn what_http_asks_of_401_and_405() {
        let (headers, _) = parts(Problem::no_bearer_token()).await;
        assert_eq!(headers["www-authenticate"], "Bearer realm=\"realtime-token.dev\"");
        let (headers, _) = parts(Problem::method_not_allowed()).await;
        assert_eq!(headers["allow"], "POST");
        assert!(!headers.contains_key("retry-after"));
    }

    #[tokio::test]
    async fn what_a_caller_sent_is_cut_and_on_one_line() {
        let field = format!("a\r\nb{}", "x".repeat(1000));
        let (_, body) = parts(Problem::not_overridable(&field)).await;
        let detail = body["detail"].as_str().unwrap();
        assert!(detail.contains("a\\r\\nbxxx") && detail.len() < 250, "{detail}");
    }
}
