//! The server: from a connection to a recorded answer.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use jiff::{SignedDuration, Timestamp};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::answer::{Answer, Body, Reset, answer};
use super::asked::Asked;
use super::exchange::Exchange;
use super::face::{Face, Refusal};
use super::faults::Faults;
use super::mint::Minting;
use super::record::{Call, Ledger};
use super::recorded::Recorded;
use super::{Observer, Provider, lock};

/// Settings and records, all behind one lock.
pub(super) struct Desk {
    pub(super) keys: HashMap<Provider, HashSet<String>>,
    pub(super) exchange: Exchange,
    pub(super) lives: HashMap<Provider, i64>,
    pub(super) skew: SignedDuration,
    pub(super) latency: Duration,
    pub(super) signed_url_host: String,
    pub(super) faults: Faults,
    pub(super) ledger: Ledger,
    /// Never set back, or a cleared stand-in would repeat its tokens.
    answered: u64,
    secret: hmac::Key,
    observer: Option<Observer>,
}

/// Serves until it is stopped; whatever is still open then is cut with the runtime.
pub(super) async fn serve(
    listeners: Vec<(TcpListener, Option<Arc<Recorded>>)>,
    exchange: TcpListener,
    desk: Arc<Mutex<Desk>>,
    stopped: oneshot::Receiver<()>,
) {
    let exchanges = super::exchange::accept(exchange, Arc::clone(&desk));
    let all = listeners
        .into_iter()
        .map(|(listener, recorded)| accept(listener, recorded, Arc::clone(&desk)));
    tokio::select! {
        _ = stopped => {}
        _ = futures::future::join_all(all) => {}
        () = exchanges => {}
    }
}

async fn accept(listener: TcpListener, recorded: Option<Arc<Recorded>>, desk: Arc<Mutex<Desk>>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(connection(stream, Arc::clone(&desk), recorded.clone()))),
            // Out of file descriptors, most likely: wait for some to come back.
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn connection(mut stream: TcpStream, desk: Arc<Mutex<Desk>>, recorded: Option<Arc<Recorded>>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| exchange(request, Arc::clone(&desk), recorded.clone()));
    let served = hyper::server::conn::http1::Builder::new()
        .auto_date_header(false) // ours follows the skewed clock
        .serve_connection(TokioIo::new(&mut stream), service)
        .await;
    let by_fault = |error: &hyper::Error| error.source().is_some_and(|source| source.is::<Reset>());
    if served.is_err_and(|error| by_fault(&error)) {
        // Closing without lingering sends RST instead of FIN.
        let _ = stream.set_zero_linger();
    }
}

async fn exchange(
    request: Request<Incoming>,
    desk: Arc<Mutex<Desk>>,
    recorded: Option<Arc<Recorded>>,
) -> Result<Response<Body>, Reset> {
    let (parts, body) = request.into_parts();
    // Fails only if the client is gone, who then takes no notice of a reset either.
    let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
    let answer = lock(&desk).decide(&Asked::new(parts, body), recorded.as_deref());
    tokio::time::sleep(answer.wait).await;
    answer.deliver().await
}

impl Desk {
    pub(super) fn new(seed: u64, observer: Option<Observer>) -> Self {
        let default_key = |provider: Provider| {
            let key = provider.face().map(|face| face.default_key.to_owned());
            (provider, key.into_iter().collect::<HashSet<_>>())
        };
        Self {
            keys: Provider::ALL.map(default_key).into(),
            exchange: Exchange::default(),
            lives: HashMap::new(),
            skew: SignedDuration::ZERO,
            latency: Duration::ZERO,
            signed_url_host: "api.elevenlabs.io".to_owned(),
            faults: Faults::default(),
            ledger: Ledger::new(),
            answered: 0,
            secret: hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes()),
            observer,
        }
    }

    /// The stand-in's clock.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::now() + self.skew
    }

    /// Decides and records at once, so that a recorded call has its answer even while that is under way.
    fn decide(&mut self, asked: &Asked, recorded: Option<&Recorded>) -> Answer {
        let (at, time) = (Instant::now(), Timestamp::now());
        let face = Face::of(&asked.path).filter(|_| recorded.is_none());
        let provider = face
            .map(|face| face.provider)
            .or(recorded.map(|recorded| Provider::Recorded(recorded.field)));
        let api_key = match recorded {
            Some(recorded) => recorded.api_key(asked),
            None => face.and_then(|face| (face.api_key)(asked)),
        };
        let fault = self.faults.take(provider, api_key);
        self.answered += 1;

        // The rules are held even when a fault answers, so that no fault hides a malformed call.
        let minting = Minting {
            now: time + self.skew,
            life: provider.and_then(|provider| self.lives.get(&provider).copied()),
            number: self.answered,
            secret: &self.secret,
            signed_url_host: &self.signed_url_host,
            fault: fault.as_ref(),
        };
        let verdict = match (face, recorded) {
            (_, Some(recorded)) => {
                let keys = &self.keys[&Provider::Recorded(recorded.field)];
                recorded.answer(asked, keys, &minting)
            }
            (None, None) => Err(Refusal::new(404, format!("no provider has the path {}", asked.path))),
            (Some(face), None) => face.answer(asked, &self.keys[&face.provider], &minting),
        };
        let complaint = verdict.as_ref().err().map(Refusal::to_string);

        let request_id = format!("req_standin_{}", self.answered);
        let (mut answer, minted) = answer(verdict, fault, face, api_key, &request_id);
        answer.wait += self.latency;
        answer.add_default_headers(time + self.skew, request_id);

        let call = Call {
            at,
            time,
            provider,
            method: asked.method.clone(),
            path: asked.path_and_query(),
            headers: asked.headers.clone(),
            body: asked.body.clone(),
            api_key: api_key.map(str::to_owned),
            identity: face.and_then(|face| (face.identity)(asked)),
            status: answer.visible_status(),
            token: minted.as_ref().map(|minted| minted.token.clone()),
            complaint,
        };
        if let Some(observer) = &self.observer {
            observer(&call);
        }
        self.ledger.note(call, minted);
        answer
    }
}
