//! An API server that has one Lease, and fails on demand.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::json;
use tokio::time::Instant;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    Status(u16),
    /// Not applied and never answered.
    Hang,
    /// The connection breaks before the request was applied.
    ResetBefore,
    /// The connection breaks after the request was applied.
    ResetAfter,
    /// Applied after this time.
    SlowRequest(Duration),
    /// Applied at once, answered after this time.
    SlowAnswer(Duration),
}

/// The n-th request of all, and the replica it comes from, to what happens to it.
type Faults = Box<dyn Fn(usize, &str) -> Option<Fault> + Send>;

struct State {
    lease: Option<Lease>,
    version: u64,
    requests: Vec<String>,
    faults: Faults,
    /// When the Lease was last written.
    written: Instant,
}

#[derive(Clone)]
pub(super) struct FakeApi(Arc<Mutex<State>>);

impl FakeApi {
    pub(super) fn new(faults: impl Fn(usize, &str) -> Option<Fault> + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(State {
            lease: None,
            version: 0,
            requests: Vec::new(),
            faults: Box::new(faults),
            written: Instant::now(),
        })))
    }

    /// The client of one replica.
    pub(super) fn client(&self, replica: &'static str) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request| {
            // In a task of its own, since a request that the client gave up may still be applied.
            let answer = tokio::spawn(api.clone().serve(replica, request));
            async { answer.await.unwrap() }
        });
        Client::new(service, "rto")
    }

    pub(super) fn set_faults(&self, faults: impl Fn(usize, &str) -> Option<Fault> + Send + 'static) {
        self.0.lock().faults = Box::new(faults);
    }

    /// Method and holder of each request so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.0.lock().requests.clone()
    }

    pub(super) fn lease(&self) -> Option<Lease> {
        self.0.lock().lease.clone()
    }

    pub(super) fn last_written(&self) -> Instant {
        self.0.lock().written
    }

    /// A write by someone who takes no part in the election.
    pub(super) fn edit(&self, change: impl FnOnce(&mut Lease)) {
        let mut state = self.0.lock();
        let mut lease = state.lease.clone().unwrap();
        change(&mut lease);
        state.store(lease);
    }

    async fn serve(self, replica: &'static str, request: Request<Body>) -> Result<Response<Body>, std::io::Error> {
        let (head, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let sent: Option<Lease> = (!body.is_empty()).then(|| serde_json::from_slice(&body).unwrap());
        let fault = self.0.lock().note(&head.method, sent.as_ref(), replica);
        let reset = || std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        match fault {
            Some(Fault::Status(code)) => return Ok(failure(StatusCode::from_u16(code).unwrap())),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::ResetBefore) => return Err(reset()),
            Some(Fault::SlowRequest(time)) => tokio::time::sleep(time).await,
            Some(Fault::ResetAfter | Fault::SlowAnswer(_)) | None => {}
        }
        let answer = self.0.lock().apply(&head.method, sent);
        match fault {
            Some(Fault::ResetAfter) => return Err(reset()),
            Some(Fault::SlowAnswer(time)) => tokio::time::sleep(time).await,
            _ => {}
        }
        Ok(answer)
    }
}

impl State {
    fn note(&mut self, method: &Method, sent: Option<&Lease>, replica: &str) -> Option<Fault> {
        let holder = sent.and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
        let holder = holder.map(|holder| format!(" {holder}")).unwrap_or_default();
        self.requests.push(format!("{method}{holder}"));
        (self.faults)(self.requests.len(), replica)
    }

    fn apply(&mut self, method: &Method, sent: Option<Lease>) -> Response<Body> {
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        match (method.as_str(), &self.lease, sent) {
            ("GET" | "PUT", None, _) => failure(StatusCode::NOT_FOUND),
            ("GET", Some(lease), None) => answer(StatusCode::OK, lease),
            ("POST", None, Some(sent)) => {
                assert_eq!(version(&sent), None);
                answer(StatusCode::CREATED, self.store(sent))
            }
            ("PUT", Some(lease), Some(sent)) if version(lease) == version(&sent) => {
                answer(StatusCode::OK, self.store(sent))
            }
            ("POST" | "PUT", ..) => failure(StatusCode::CONFLICT),
            (method, ..) => panic!("{method} is not needed for a Lease"),
        }
    }

    fn store(&mut self, mut lease: Lease) -> &Lease {
        self.version += 1;
        self.written = Instant::now();
        lease.metadata.resource_version = Some(self.version.to_string());
        self.lease.insert(lease)
    }
}

fn failure(code: StatusCode) -> Response<Body> {
    let reason = match code {
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::CONFLICT => "Conflict",
        _ => "InternalError",
    };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "it failed", "reason": reason, "code": code.as_u16(),
    });
    answer(code, &status)
}

fn answer(code: StatusCode, body: &impl serde::Serialize) -> Response<Body> {
    let body = Body::from(serde_json::to_vec(body).unwrap());
    Response::builder().status(code).body(body).unwrap()
}
