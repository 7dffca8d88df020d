//! Retry-After of the Kubernetes API. kube shows the body of a failure and not its headers, and the API server's own
//! limits on requests answer with plain text: here such an answer gets the body that says the same.

use std::task::{Context, Poll};

use axum::body::Body;
use futures::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use serde_json::json;
use tower::{BoxError, Layer, Service};

/// Puts Retry-After of 429 and 503 into the `Status` of the answer.
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

/// The `Status` of an answer that says how long to wait.
fn status<B>(answer: &Response<B>) -> Option<String> {
    let code = answer.status();
    if !matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    // The API server sends seconds. A date, which a proxy might send, is left alone.
    let seconds: u32 = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    let message = format!("the API server asks to wait for {seconds} s");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "message": message,
        "reason": code.canonical_reason().unwrap_or_default().replace(' ', ""),
        "details": {"retryAfterSeconds": seconds},
    });
    Some(status.to_string())
}
