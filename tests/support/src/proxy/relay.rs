//! Requests: from a client's connection to the server behind, and the answer back, with the effect of a rule on the way.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use http_body_util::{BodyExt, BodyStream, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use kube::Client;
use kube::client::Body as KubeBody;
use serde_json::json;
use tokio::io::DuplexStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::asked::Asked;
use super::lock;
use super::rules::{Effect, Rules, Verdict};
use crate::cluster::RequestCounts;

type Chunks = BoxStream<'static, Result<Bytes, io::Error>>;
type Body = UnsyncBoxBody<Bytes, io::Error>;

/// What the connections share.
pub(super) struct Relay {
    client: Client,
    rules: Mutex<Rules>,
    counts: Mutex<RequestCounts>,
    /// Watches are numbered from 0; those of smaller numbers than this are silent.
    silent_below: watch::Sender<u64>,
    watches: AtomicU64,
}

/// How a connection ended.
pub(super) enum End {
    Orderly,
    Reset,
}

/// The end of a connection by a rule.
#[derive(Debug, thiserror::Error)]
#[error("reset by a rule")]
struct Reset;

/// Headers that are about one connection, and those that the client of the server behind writes itself.
const OF_A_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::HOST,
    header::UPGRADE,
    header::TE,
];

pub(super) async fn serve(stream: DuplexStream, tls: Option<TlsAcceptor>, relay: Arc<Relay>) -> End {
    let service = service_fn(|request| Arc::clone(&relay).exchange(request));
    let server = auto::Builder::new(TokioExecutor::new());
    let served = match tls {
        None => server.serve_connection(TokioIo::new(stream), service).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
            Err(_) => return End::Orderly,
        },
    };
    match served {
        Err(error) if by_rule(&*error) => End::Reset,
        _ => End::Orderly,
    }
}

fn by_rule(error: &(dyn Error + 'static)) -> bool {
    error.is::<Reset>() || error.source().is_some_and(by_rule)
}

impl Relay {
    pub(super) fn new(client: Client, seed: u64) -> Self {
        Self {
            client,
            rules: Mutex::new(Rules::new(seed)),
            counts: Mutex::default(),
            silent_below: watch::Sender::new(0),
            watches: AtomicU64::new(0),
        }
    }

    pub(super) fn rules(&self) -> MutexGuard<'_, Rules> {
        lock(&self.rules)
    }

    pub(super) fn counts(&self) -> MutexGuard<'_, RequestCounts> {
        lock(&self.counts)
    }

    pub(super) fn silence_watches(&self) {
        self.silent_below.send_replace(self.watches.load(Ordering::Relaxed));
    }

    async fn exchange(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let (parts, body) = request.into_parts();
        let asked = Asked::of(&parts);
        // Fails only if the client is gone, who then takes no notice of a reset either.
        let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
        let Verdict { wait, effect } = self.rules().judge(&asked);
        tokio::time::sleep(wait).await;
        let answer = match &effect {
            Some(Effect::Hang) => {
                self.count(&asked, 0);
                std::future::pending().await
            }
            Some(Effect::ResetBefore) => Err(Reset),
            Some(Effect::ResetAfter) => {
                let _ = self.ask(&parts.method, &parts.uri, &parts.headers, body).await;
                Err(Reset)
            }
            Some(Effect::Status { code, retry_after }) => Ok(status(*code, *retry_after)),
            _ => self
                .ask(&parts.method, &parts.uri, &parts.headers, body)
                .await
                .map(|answer| self.relayed(&asked, answer, effect)),
        };
        self.count(&asked, answer.as_ref().map_or(0, |answer| answer.status().as_u16()));
        answer
    }

    fn count(&self, asked: &Asked, code: u16) {
        self.counts().add(asked.counted(code));
    }

    /// A server behind that can't be reached looks like a connection that breaks.
    async fn ask(
        &self,
        method: &hyper::Method,
        uri: &hyper::Uri,
        headers: &HeaderMap,
        body: Bytes,
    ) -> Result<Response<KubeBody>, Reset> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            if !OF_A_CONNECTION.contains(name) {
                request = request.header(name, value);
            }
        }
        let request = request.body(KubeBody::from(body)).map_err(|_| Reset)?;
        self.client.send(request).await.map_err(|_| Reset)
    }

    fn relayed(&self, asked: &Asked, answer: Response<KubeBody>, effect: Option<Effect>) -> Response<Body> {
        let (mut parts, body) = answer.into_parts();
        for name in &OF_A_CONNECTION {
            parts.headers.remove(name);
        }
        let mut chunks: Chunks = chunks_of(body);
        if asked.verb == "WATCH" {
            let number = self.watches.fetch_add(1, Ordering::Relaxed);
            chunks = until_silenced(chunks, number, self.silent_below.subscribe());
        }
        chunks = match effect {
            Some(Effect::SlowBody { bytes, every }) => slow(chunks, bytes, every),
            Some(Effect::Torn { after }) => torn(chunks, after),
            Some(Effect::SilentWatch) => chunks
                .filter(|_| std::future::ready(false))
                .chain(stream::pending())
                .boxed(),
            Some(Effect::RepeatedWatch) => repeated(chunks),
            Some(Effect::GoneWatch) => stream::iter([Ok(gone())]).boxed(),
            _ => chunks,
        };
        let body = StreamBody::new(chunks.map(|chunk| chunk.map(Frame::data)));
        Response::from_parts(parts, BodyExt::boxed_unsync(body))
    }
}

fn chunks_of(body: KubeBody) -> Chunks {
    BodyStream::new(body)
        .filter_map(|frame| async {
            match frame {
                Ok(frame) => frame.into_data().ok().map(Ok),
                Err(error) => Some(Err(io::Error::other(error))),
            }
        })
        .boxed()
}

/// The watch stays open when it is silent: only its end, which the server behind decides, is passed on no more either.
fn until_silenced(chunks: Chunks, number: u64, silent_below: watch::Receiver<u64>) -> Chunks {
    stream::unfold(
        (chunks, silent_below),
        move |(mut chunks, mut silent_below)| async move {
            let next = tokio::select! {
                biased;
                () = silenced(&mut silent_below, number) => std::future::pending().await,
                next = chunks.next() => next?,
            };
            Some((next, (chunks, silent_below)))
        },
    )
    .boxed()
}

async fn silenced(below: &mut watch::Receiver<u64>, number: u64) {
    if below.wait_for(|below| number < *below).await.is_err() {
        std::future::pending().await
    }
}

fn slow(chunks: Chunks, bytes: usize, every: Duration) -> Chunks {
    let bytes = bytes.max(1);
    let pieces = chunks.flat_map(move |chunk| match chunk {
        Ok(chunk) => stream::iter(
            chunk
                .chunks(bytes)
                .map(|it| Ok(Bytes::copy_from_slice(it)))
                .collect::<Vec<_>>(),
        ),
        Err(error) => stream::iter(vec![Err(error)]),
    });
    let later = move |piece| async move {
        tokio::time::sleep(every).await;
        piece
    };
    pieces.then(later).boxed()
}

fn torn(chunks: Chunks, after: usize) -> Chunks {
    let cut = |left: &mut usize, chunk: Result<Bytes, io::Error>| {
        let chunk = chunk.map(|mut chunk| {
            chunk.truncate(*left);
            *left -= chunk.len();
            chunk
        });
        let ends = chunk.as_ref().is_ok_and(Bytes::is_empty);
        std::future::ready((!ends).then_some(chunk))
    };
    chunks.scan(after, cut).boxed()
}

/// Whole lines only: the second half of an event twice would be no event.
fn repeated(chunks: Chunks) -> Chunks {
    let mut rest: Vec<u8> = Vec::new();
    chunks
        .map(move |chunk| {
            rest.extend_from_slice(&chunk?);
            let end = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let whole: Vec<u8> = rest.drain(..end).collect();
            let twice = whole
                .split_inclusive(|byte| *byte == b'\n')
                .flat_map(|line| [line, line]);
            Ok(Bytes::from(twice.collect::<Vec<_>>().concat()))
        })
        .boxed()
}

fn gone() -> Bytes {
    let event = json!({"type": "ERROR", "object": failure(410, "Expired")});
    Bytes::from(format!("{event}\n"))
}

/// With Retry-After it is the answer of the API server's own limit on requests, which is plain text.
fn status(code: u16, retry_after: Option<u32>) -> Response<Body> {
    let reason = match code {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "Unknown",
    };
    let (text, content_type) = match retry_after {
        None => (failure(code, reason).to_string(), "application/json"),
        Some(_) => (
            "Too many requests, please try again later.\n".to_owned(),
            "text/plain; charset=utf-8",
        ),
    };
    let body = http_body_util::Full::new(Bytes::from(text)).map_err(|never: Infallible| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let content_type = HeaderValue::from_static(content_type);
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

fn failure(code: u16, reason: &str) -> serde_json::Value {
    json!({
        "apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure",
        "message": "a fault of the test's proxy", "reason": reason, "code": code,
    })
}
