//! Retry-After of the Kubernetes API's own limits on requests. They answer with plain text, before anything has looked at
//! the request; kube shows the body of a failure and not its headers. Here such an answer gets a body that says the same.
//!
//! A `Status` that asks to wait is about its request alone: an admission webhook wrote it, or one kind's storage.

use std::task::{Context, Poll};

use axum::body::Body;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, Request, Response, StatusCode};
use serde_json::json;
use tower::{BoxError, Layer, Service};

/// The reason in the `Status` that stands for a limit on requests. The API itself has no such reason.
pub(super) const LIMITED: &str = "RequestsLimited";

/// Turns an answer of 429 or 503 in plain text into a `Status` with its Retry-After.
#[derive(Clone, Copy)]
pub(crate) struct RetryAfterLayer;

impl<S> Layer<S> for RetryAfterLayer {
    type Service = RetryAfter<S>;

    fn layer(&self, inner: S) -> Self::Service {
        RetryAfter(inner)
    }
}

#[derive(Clone)]
pub(crate) struct RetryAfter<S>(S);

impl<S, R, B> Service<Request<R>> for RetryAfter<S>
where
    S: Service<Request<R>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: axum::body::HttpBody<Data = axum::body::Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<R>) -> Self::Future {
        let answer = self.0.call(request);
        Box::pin(async move {
            let answer = answer.await.map_err(Into::into)?;
            Ok(match status(&answer) {
                Some(status) => answer.map(|_| Body::from(status)),
                None => answer.map(Body::new),
            })
        })
    }
}

/// The `Status` for an answer in plain text that says how long to wait.
fn status<B>(answer: &Response<B>) -> Option<String> {
    let code = answer.status();
    let is_limit = matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE);
    if !is_limit || is_json(answer.headers()) {
        return None;
    }
    // The API server sends seconds. A date, which a proxy might send, is left alone.
    let seconds: u32 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    let message = format!("the API server asks to wait for {seconds} s");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "message": message,
        "reason": LIMITED, "details": {"retryAfterSeconds": seconds},
    });
    Some(status.to_string())
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    content_type.is_some_and(|content_type| content_type.starts_with("application/json"))
}
